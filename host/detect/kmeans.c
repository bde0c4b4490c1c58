/* kmeans.c - see kmeans.h. Lloyd's iterations from k-means++ starts (Arthur and Vassilvitskii
 * 2007): the next centre is a row drawn with probability proportional to its squared distance to
 * the centres so far.
 */
#include "detect/kmeans.h"

#include "base/par.h"
#include "base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 300 };

typedef struct run {
    const double *y; /* (n, D) */
    int64_t       n, D, K, restarts;
    uint64_t      seed;
    double       *centre; /* (restarts, K, D) */
    double       *square; /* (restarts, n) to the nearest centre */
    int32_t      *label;  /* (restarts, n) */
    double       *sum;    /* (restarts) of squares */
    int64_t      *filled; /* (restarts, K) members */
} run;

static double square_distance(const double *a, const double *b, int64_t D)
{
    double sum = 0;
    for (int64_t d = 0; d < D; ++d)
        sum += (a[d] - b[d]) * (a[d] - b[d]);
    return sum;
}

static void start(const run *j, int64_t r, double *centre, double *square)
{
    asd_rng rng;
    asd_rng_init(&rng, j->seed, ASD_RNG_DETECT, (uint64_t)r, asd_rng_hash("kmeans"));
    int64_t at = asd_rng_below(&rng, (uint32_t)j->n);
    for (int64_t k = 0; k < j->K; ++k) {
        double total = 0;
        memcpy(centre + k * j->D, j->y + at * j->D, (size_t)j->D * sizeof *centre);
        for (int64_t i = 0; i < j->n; ++i) {
            double d  = square_distance(j->y + i * j->D, centre + k * j->D, j->D);
            square[i] = k && square[i] < d ? square[i] : d;
            total += square[i];
        }
        double left = asd_rng_uniform(&rng) * total;
        for (at = 0; at + 1 < j->n && left >= square[at]; ++at)
            left -= square[at];
    }
}

/* Nearest centres, of those that have members (all at first). Returns whether a label changed. */
static int assign(const run *j, const double *centre, const int64_t *filled, double *square,
                  int32_t *label, double *sum)
{
    int changed = 0;
    *sum        = 0;
    for (int64_t i = 0; i < j->n; ++i) {
        int32_t best = -1;
        double  d    = 0;
        for (int64_t k = 0; k < j->K; ++k) {
            if (!filled[k])
                continue;
            double e = square_distance(j->y + i * j->D, centre + k * j->D, j->D);
            if (best < 0 || e < d) {
                best = (int32_t)k;
                d    = e;
            }
        }
        changed |= label[i] != best;
        label[i]  = best;
        square[i] = d;
        *sum += d;
    }
    return changed;
}

static void average(const run *j, const int32_t *label, int64_t *filled, double *centre)
{
    memset(filled, 0, (size_t)j->K * sizeof *filled);
    memset(centre, 0, (size_t)(j->K * j->D) * sizeof *centre);
    for (int64_t i = 0; i < j->n; ++i) {
        ++filled[label[i]];
        for (int64_t d = 0; d < j->D; ++d)
            centre[label[i] * j->D + d] += j->y[i * j->D + d];
    }
    for (int64_t k = 0; k < j->K; ++k)
        for (int64_t d = 0; d < j->D && filled[k]; ++d)
            centre[k * j->D + d] /= (double)filled[k];
}

static void restart(void *ctx, int64_t r)
{
    const run *j      = ctx;
    double    *centre = j->centre + r * j->K * j->D, *square = j->square + r * j->n;
    int32_t   *label  = j->label + r * j->n;
    int64_t   *filled = j->filled + r * j->K;
    start(j, r, centre, square);
    for (int64_t k = 0; k < j->K; ++k)
        filled[k] = 1;
    for (int64_t i = 0; i < j->n; ++i)
        label[i] = -1;
    for (int step = 0; step < MAX_STEPS; ++step) {
        if (!assign(j, centre, filled, square, label, &j->sum[r]))
            break;
        average(j, label, filled, centre);
    }
}

asd_status asd_kmeans(const double *y, int64_t n, int64_t D, int64_t *K, int64_t restarts,
                      uint64_t seed, double *centre, int32_t *label)
{
    run j    = {.y = y, .n = n, .D = D, .K = *K < n ? *K : n, .restarts = restarts, .seed = seed};
    j.centre = malloc((size_t)(restarts * j.K * D) * sizeof *j.centre);
    j.square = malloc((size_t)(restarts * n) * sizeof *j.square);
    j.label  = malloc((size_t)(restarts * n) * sizeof *j.label);
    j.sum    = malloc((size_t)restarts * sizeof *j.sum);
    j.filled = malloc((size_t)(restarts * j.K) * sizeof *j.filled);
    asd_status st = j.centre && j.square && j.label && j.sum && j.filled
                        ? ASD_OK
                        : ASD_FAIL(ASD_E_OOM, "no memory for k-means of %lld rows", (long long)n);
    if (!st) {
        asd_par_for(restarts, restart, &j);
        int64_t best = 0, kept = 0;
        for (int64_t r = 1; r < restarts; ++r)
            if (j.sum[r] < j.sum[best])
                best = r;
        memcpy(label, j.label + best * n, (size_t)n * sizeof *label);
        for (int64_t k = 0; k < j.K; ++k) {
            if (!j.filled[best * j.K + k])
                continue;
            memcpy(centre + kept * D, j.centre + (best * j.K + k) * D, (size_t)D * sizeof *centre);
            for (int64_t i = 0; i < n; ++i)
                if (j.label[best * n + i] == k)
                    label[i] = (int32_t)kept;
            ++kept;
        }
        *K = kept;
    }
    free(j.centre);
    free(j.square);
    free(j.label);
    free(j.sum);
    free(j.filled);
    return st;
}
