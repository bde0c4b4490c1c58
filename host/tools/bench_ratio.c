/* bench_ratio.c - is B slower than A, line by line?
 *
 * The estimate is the ratio of the medians of the samples. Its interval is a bootstrap: in each
 * replicate the samples of A and of B are drawn again with replacement, independently, and the
 * interval holds the central `level` of the replicates' ratios. A sample is the median of one round
 * of calls, twenty rounds a run spread over the time of the measurement, so neighbouring calls that
 * share a disturbance count once. The interval knows nothing of what differs between two runs of
 * the program (placement in memory, a neighbour on the machine): for that, append the JSON lines of
 * several runs to one file; their samples are pooled. Draws are those of base/rng.h: seed 0,
 * ASD_RNG_BOOTSTRAP, a = replicate, b = hash of op/case/dtype/pass, times two, plus one for B.
 */
#include "tools/bench.h"

#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double resampled_median(const bench_record *r, int side, uint64_t replicate, double *room)
{
    char    key[320];
    asd_rng rng;
    snprintf(key, sizeof key, "%s/%s/%s/%s", r->op, r->case_name, r->dtype, r->pass);
    asd_rng_init(&rng, 0, ASD_RNG_BOOTSTRAP, replicate, asd_rng_hash(key) * 2 + (uint64_t)side);
    for (int64_t i = 0; i < r->n; ++i)
        room[i] = r->sample[asd_rng_below(&rng, (uint32_t)r->n)];
    return bench_median(room, r->n);
}

static double quantile(const double *sorted, int64_t n, double q)
{
    double  at = q * (double)(n - 1);
    int64_t i  = (int64_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static asd_status judge(bench_pair *p, double threshold, double level, int64_t replicates)
{
    const bench_record *a = p->a, *b = p->b;
    if (a->failed || b->failed) {
        p->verdict = b->failed ? BENCH_BROKEN : BENCH_SAME;
        p->ratio = p->lo = p->hi = p->median_a = p->median_b = NAN;
        return ASD_OK;
    }
    int64_t most  = a->n > b->n ? a->n : b->n;
    double *room  = malloc((size_t)most * sizeof *room);
    double *ratio = malloc((size_t)replicates * sizeof *ratio);
    if (!room || !ratio) {
        free(room);
        free(ratio);
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld replicates", (long long)replicates);
    }
    memcpy(room, a->sample, (size_t)a->n * sizeof *room);
    p->median_a = bench_median(room, a->n);
    memcpy(room, b->sample, (size_t)b->n * sizeof *room);
    p->median_b = bench_median(room, b->n);
    p->ratio    = p->median_b / p->median_a;
    for (int64_t i = 0; i < replicates; ++i)
        ratio[i] =
            resampled_median(b, 1, (uint64_t)i, room) / resampled_median(a, 0, (uint64_t)i, room);
    bench_median(ratio, replicates); /* sorts */
    p->lo = quantile(ratio, replicates, (1 - level) / 2);
    p->hi = quantile(ratio, replicates, (1 + level) / 2);
    if (p->ratio > 1 + threshold && p->lo > 1)
        p->verdict = BENCH_SLOWER;
    else if (p->ratio < 1 / (1 + threshold) && p->hi < 1)
        p->verdict = BENCH_FASTER;
    free(room);
    free(ratio);
    return ASD_OK;
}

static const bench_record *find(const bench_results *in, const bench_record *r, int any_device)
{
    for (int64_t i = 0; i < in->n; ++i) {
        const bench_record *o = &in->record[i];
        if (!strcmp(o->op, r->op) && !strcmp(o->case_name, r->case_name) &&
            !strcmp(o->dtype, r->dtype) && !strcmp(o->pass, r->pass) &&
            (any_device || !strcmp(o->device, r->device)))
            return o;
    }
    return NULL;
}

/* A file about another device altogether. */
static asd_status check_devices(const bench_results *a, const bench_results *b)
{
    for (int64_t i = 0; i < a->n; ++i)
        for (int64_t k = 0; k < b->n; ++k)
            if (!strcmp(a->record[i].device, b->record[k].device))
                return ASD_OK;
    return ASD_FAIL(ASD_E_DATA,
                    "different devices: %s is of \"%s\", %s of \"%s\"; --force compares them",
                    a->path, a->record[0].device, b->path, b->record[0].device);
}

void bench_comparison_clear(bench_comparison *c)
{
    free(c->pair);
    free(c->only_a);
    free(c->only_b);
    memset(c, 0, sizeof *c);
}

asd_status bench_compare(const bench_results *a, const bench_results *b, double threshold,
                         double level, int64_t replicates, int force, bench_comparison *out)
{
    asd_status st = ASD_OK;
    memset(out, 0, sizeof *out);
    if (!force)
        ASD_TRY(check_devices(a, b));
    out->threshold  = threshold;
    out->level      = level;
    out->replicates = replicates;
    out->pair       = calloc((size_t)a->n + 1, sizeof *out->pair);
    out->only_a     = calloc((size_t)a->n + 1, sizeof *out->only_a);
    out->only_b     = calloc((size_t)b->n + 1, sizeof *out->only_b);
    if (!out->pair || !out->only_a || !out->only_b)
        st = ASD_FAIL(ASD_E_OOM, "no memory for the comparison");
    for (int64_t i = 0; i < a->n && !st; ++i) {
        const bench_record *other = find(b, &a->record[i], force);
        if (!other) {
            out->only_a[out->n_only_a++] = &a->record[i];
            continue;
        }
        bench_pair *p = &out->pair[out->n++];
        p->a          = &a->record[i];
        p->b          = other;
        st            = judge(p, threshold, level, replicates);
        out->n_slower += p->verdict == BENCH_SLOWER || p->verdict == BENCH_BROKEN;
    }
    for (int64_t i = 0; i < b->n && !st; ++i)
        if (!find(a, &b->record[i], force))
            out->only_b[out->n_only_b++] = &b->record[i];
    if (!st && !out->n)
        st = ASD_FAIL(ASD_E_DATA, "%s and %s have no line in common", a->path, b->path);
    if (st)
        bench_comparison_clear(out);
    return st;
}
