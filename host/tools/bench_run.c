/* bench_run.c - one line: check, warm up, time ours and the stand-in in turn, cold, peer.
 *
 * Ours and the stand-in take turns (A B A B, twenty rounds), so that a machine whose clock or load
 * drifts drifts under both. A round gives one sample, the median of its calls; median and 20th to
 * 80th percentile are over all calls of all rounds.
 */
#include "tools/bench.h"

#include "base/device.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *bench_pass_name(bench_pass pass)
{
    static const char *const names[] = {
        [BENCH_FWD] = "fwd", [BENCH_BWD] = "bwd", [BENCH_STEP] = "step"};
    return names[pass];
}

double bench_roofline(const bench_device *d, const bench_line *l, char *roof)
{
    *roof = '-';
    if (!(d->flops_per_s > 0) || !(d->bytes_per_s > 0) || !l->ours.hot.n)
        return NAN;
    double compute = l->flops / d->flops_per_s, memory = l->bytes / d->bytes_per_s;
    *roof = compute > memory ? 'c' : 'm';
    return fmax(compute, memory) / l->ours.hot.median;
}

asd_status bench_device_open(bench_device *d, const char *text)
{
    asd_device choice;
    memset(d, 0, sizeof *d);
    ASD_TRY(asd_device_choose(text, &choice));
    return choice.cuda ? bench_cuda_open(d, choice.index) : bench_cpu_open(d);
}

/* One side of the rounds. */
typedef struct side {
    bench_call   call;
    void        *ctx;
    bench_times *times;
    double      *all; /* (BENCH_MAX_TIMES) */
    int          n;
} side;

static asd_status warm_up(bench_device *d, const side *s, double seconds)
{
    int n;
    if (!(seconds > 0))
        return ASD_OK;
    return d->backend->hot(d, s->call, s->ctx, seconds, BENCH_MAX_TIMES, s->all, &n);
}

static asd_status one_round(bench_device *d, side *s, double seconds)
{
    enum { MOST = BENCH_MAX_TIMES / BENCH_ROUNDS };
    double time[MOST];
    int    n;
    ASD_TRY(d->backend->hot(d, s->call, s->ctx, seconds, MOST, time, &n));
    memcpy(s->all + s->n, time, (size_t)n * sizeof *time);
    s->n += n;
    s->times->sample[s->times->n_samples++] = bench_median(time, n);
    return ASD_OK;
}

/* Twenty rounds, fewer (five at the least) when calls are so long that it would take four times the
 * time asked for. */
static asd_status take_turns(bench_device *d, side *sides, int n_sides, const bench_options *o)
{
    double begin = asd_now();
    for (int i = 0; i < n_sides; ++i)
        ASD_TRY(warm_up(d, sides + i, o->warm_seconds));
    for (int round = 0; round < BENCH_ROUNDS; ++round) {
        if (round >= 5 && asd_now() - begin > 4 * n_sides * o->min_seconds + o->warm_seconds)
            break;
        for (int i = 0; i < n_sides; ++i)
            ASD_TRY(one_round(d, sides + i, o->min_seconds / BENCH_ROUNDS));
    }
    for (int i = 0; i < n_sides; ++i)
        sides[i].times->hot = bench_spread_of(sides[i].all, sides[i].n);
    return ASD_OK;
}

static asd_status time_cold(bench_device *d, const side *s, int calls)
{
    double time[BENCH_MAX_COLD];
    if (calls < 1)
        return ASD_OK;
    ASD_TRY(d->backend->cold(d, s->call, s->ctx, calls, time));
    s->times->cold = bench_spread_of(time, calls);
    return ASD_OK;
}

/* A stand-in that computes something else must not give a ratio. */
static asd_status agree(bench_device *d, const bench_subject *s, bench_standin *lib)
{
    double       difference;
    const double limit = s->line.dtype == ASD_BF16 ? 3e-2 : 1e-4;
    ASD_TRY(s->call(s->ctx));
    ASD_TRY(lib->call(lib->ctx));
    ASD_TRY(d->backend->wait(d));
    ASD_TRY(lib->difference(lib->ctx, &difference));
    if (difference <= limit)
        return ASD_OK;
    asd_warn("%s %s %s: %s gives another result (difference %.2g of its size): no ratio",
             s->line.op, s->line.case_name, bench_pass_name(s->line.pass), lib->name, difference);
    bench_standin_close(lib);
    return ASD_OK;
}

static asd_status time_both(bench_device *d, bench_subject *s, const bench_options *o,
                            bench_standin *lib, double *room)
{
    bench_line *l        = &s->line;
    side        sides[2] = {{s->call, s->ctx, &l->ours, room, 0},
                            {lib->call, lib->ctx, &l->library, room + BENCH_MAX_TIMES, 0}};
    if (lib->call)
        snprintf(l->library_name, sizeof l->library_name, "%s", lib->name);
    ASD_TRY(take_turns(d, sides, lib->call ? 2 : 1, o));
    return time_cold(d, sides, o->cold_calls);
}

asd_status bench_run(bench_device *d, bench_subject *s, const bench_options *o, bench_peer *peer)
{
    bench_standin lib = {.call = NULL};
    char          why[200];
    ASD_TRY(s->check(s->ctx, &s->line.check));
    if (!s->line.check.passed)
        return ASD_OK;
    double *room = malloc(2 * (size_t)BENCH_MAX_TIMES * sizeof *room);
    if (!room)
        return ASD_FAIL(ASD_E_OOM, "no memory for times");
    asd_status st = o->library ? bench_standin_open(&lib, d, s) : ASD_OK;
    if (!st && lib.call)
        st = agree(d, s, &lib);
    if (!st)
        st = time_both(d, s, o, &lib, room);
    bench_standin_close(&lib);
    free(room);
    if (!st && peer) {
        st = bench_peer_time(peer, s, o->min_seconds, &s->line.peer_seconds, why, sizeof why);
        if (!st && s->line.peer_seconds > 0)
            snprintf(s->line.peer_name, sizeof s->line.peer_name, "%s", bench_peer_name(peer));
        else if (!st)
            asd_detail("%s %s %s: no time from the peer: %s", s->line.op, s->line.case_name,
                       bench_pass_name(s->line.pass), why);
    }
    return st;
}
