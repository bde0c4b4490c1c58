/* detect_bed.h - clips to try detectors on embeddings with, and every one of them. */
#ifndef ASD_TESTS_DETECT_BED_H
#define ASD_TESTS_DETECT_BED_H

#include "harness.h"

#include "base/rng.h"
#include "detect/embedding.h"

#include <math.h>
#include <string.h>

enum { MAX_N = 120, MAX_D = 40, ROWS = 5 }; /* ROWS: of a clip, for detectors that take several */

/* Clips of one machine: a few shared directions, a domain shift, a mean far from zero. */
typedef struct bed {
    float         x[2][MAX_N * MAX_D];    /* streams */
    double        wide[2][MAX_N * MAX_D]; /* the same numbers */
    unsigned char is_target[MAX_N];
    int           n, D;
    float         many[2][MAX_N * ROWS * MAX_D]; /* rows of clips: of these the first length[] */
    int64_t       length[MAX_N];
} bed;

/* Rows of a clip: its own, and others that drift away from it; what follows the last is NaN. */
static void spread(bed *b)
{
    for (int i = 0; i < b->n; ++i) {
        b->length[i] = ROWS - i % 3;
        for (int s = 0; s < 2; ++s)
            for (int r = 0; r < ROWS; ++r)
                for (int d = 0; d < b->D; ++d)
                    b->many[s][(i * ROWS + r) * b->D + d] =
                        r < b->length[i] ? b->x[s][i * b->D + d] * (1 + 0.01f * (float)(r * r)) +
                                               0.1f * (float)((i + r * 3 + d) % 7)
                                         : NAN;
    }
}

static void make_bed(bed *b, int n, int n_target, int D, uint64_t seed)
{
    asd_rng r;
    memset(b, 0, sizeof *b);
    b->n = n;
    b->D = D;
    asd_rng_init(&r, seed, ASD_RNG_TEST, asd_rng_hash("rows"), 0);
    for (int i = 0; i < n; ++i) {
        b->is_target[i] = i % (n / (n_target ? n_target : n + 1) + 1) == 1;
        double hidden[4];
        for (int k = 0; k < 4; ++k)
            hidden[k] = asd_rng_normal(&r);
        for (int s = 0; s < 2; ++s)
            for (int d = 0; d < D; ++d) {
                double v = 3 + 0.1 * d + 2 * hidden[(d + s) % 4] + 0.5 * hidden[(d * 7) % 3] +
                           0.3 * asd_rng_normal(&r) + b->is_target[i] * (0.7 + 0.05 * d);
                b->x[s][i * D + d]    = (float)v;
                b->wide[s][i * D + d] = (double)b->x[s][i * D + d];
            }
    }
    int count = 0;
    for (int i = 0; i < n; ++i)
        if (b->is_target[i] && ++count > n_target)
            b->is_target[i] = 0;
    spread(b);
}

static asd_clip_rows clips_of(const bed *b, const char *text, int s, int from, int n)
{
    if (strstr(text, "change_point"))
        return (asd_clip_rows){b->many[s] + from * ROWS * b->D, n, ROWS, b->D, b->length + from};
    return (asd_clip_rows){b->x[s] + from * b->D, n, 1, b->D, NULL};
}

static asd_train_rows train_of(const bed *b, const char *text, int n_streams)
{
    asd_train_rows t = {.n = b->n, .n_streams = n_streams, .is_target = b->is_target, .seed = 5};
    for (int s = 0; s < n_streams; ++s)
        t.stream[s] = clips_of(b, text, s, 0, b->n);
    return t;
}

static void fit(asd_pipeline *p, const char *text, const bed *b, double *loo)
{
    assert_ok(asd_pipeline_parse(text, p));
    asd_train_rows t = train_of(b, text, p->n_streams);
    assert_ok(asd_pipeline_fit(p, &t, "fan.section_00", loo));
}

static void score(const asd_pipeline *p, const bed *b, int from, int n, double *s)
{
    asd_clip_rows x[2];
    for (int k = 0; k < 2; ++k)
        x[k] = clips_of(b, p->step[p->n_steps - 1].detector->name, k, from, n);
    assert_ok(asd_pipeline_score(p, x, NULL, "fan.section_00", s));
}

static const char *const every[] = {
    "a = near | mahalanobis(k=9)",
    "a = near | mahalanobis(k=9, centre=all, weight=1)",
    "a = near, far | mahalanobis(k=30, weight=9.95)",
    "a = near | mahalanobis(cov=ledoit_wolf)",
    "a = near | mahalanobis(k=9, loo=refit)",
    "a = near | knn(3)",
    "a = near, far | knn(2, bank=domain, take=kth, distance=euclidean)",
    "a = near | pca(6, whiten=true) | knn(2, bank=domain)",
    "a = near | local_density(k=4, axes=9)",
    "a = near | boundary(clusters=3, k=9)",
    "a = near, far | boundary(k=9)",
    "a = near, far | boundary(k=9, by=domain_channel)",
    "a = near, far | conformity(axes=6)",
    "a = far, near | conformity(axes=6, side=target)",
    "a = near, far | conformity(axes=6, as=residual, folds=3)",
    "a = near | change_point(k=9)",
    "a = near, far | change_point(k=9)",
};
enum { EVERY = sizeof every / sizeof *every };

static void same_scores(const double *a, const double *b, int n, int heads, const char *text)
{
    for (int i = 0; i < n; ++i)
        for (int h = 0; h < heads; ++h)
            if (memcmp(&a[2 * i + h], &b[2 * i + h], sizeof *a))
                fail_msg("%s: clip %d, head %d: %.17g and %.17g", text, i, h, a[2 * i + h],
                         b[2 * i + h]);
}

#endif
