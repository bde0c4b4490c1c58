/* patches.c - cuts a spectrogram into patches, one a row: the convolution whose stride is its
 * kernel is then a linear layer.
 *
 *   y[b, t F' + f, k(i, j)] = x[b, t pt + i, f pf + j]      F' = F / pf, k = i pf + j or j pt + i
 *   dx = dy at the same places, 0 in frames and bins that fill no patch
 *
 * x: (B, T, F)   y: (B, (T / pt) (F / pf), pt pf)
 * k is the order of the weights: time first (BEATs, EAT: (O, 1, time, mel)) or mel first (Dasheng:
 * (O, 1, mel, time)).
 * Used by: patch embeddings of encoders.
 */
#include "kernels/op.h"

#include "base/par.h"

#include <string.h>

static asd_status patches_infer(asd_node *n)
{
    char                    sx[64];
    const asd_patches_attr *a = n->attr;
    asd_shape               x = n->in[0].shape;
    if (a->pt < 1 || a->pf < 1 || x.n != 3 || x.d[0] < 1 || x.d[1] < a->pt || x.d[2] < a->pf ||
        x.d[1] * x.d[2] > INT32_MAX)
        return ASD_FAIL(ASD_E_SHAPE,
                        "patches: x %s, want (B, T, F) with at least one patch of %lld x %lld",
                        asd_shape_text(x, sx, sizeof sx), (long long)a->pt, (long long)a->pf);
    n->y.dtype = a->bf16 ? ASD_BF16 : n->in[0].dtype;
    n->y.shape = ASD_SHAPE3(x.d[0], (x.d[1] / a->pt) * (x.d[2] / a->pf), a->pt * a->pf);
    return ASD_OK;
}

/* Chunk: a row of patches, and in the backward the frames behind the last. */
static void fwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call         *c = ctx;
    const asd_patches_attr *a = c->attr;
    int64_t      T = c->x[0].shape.d[1], F = c->x[0].shape.d[2], rows = T / a->pt, nf = F / a->pf;
    const float *x = (const float *)c->x[0].x + (chunk / rows * T + chunk % rows * a->pt) * F;
    float       *y = (float *)c->y.x + chunk * nf * a->pt * a->pf;
    for (int64_t f = 0; f < nf; ++f, y += a->pt * a->pf)
        for (int64_t i = 0; i < a->pt; ++i) {
            const float *from = x + i * F + f * a->pf;
            if (!a->mel_major)
                memcpy(y + i * a->pf, from, (size_t)a->pf * sizeof *y);
            for (int64_t j = 0; a->mel_major && j < a->pf; ++j)
                y[j * a->pt + i] = from[j];
        }
}

static void bwd_chunk(void *ctx, int64_t chunk)
{
    const asd_call         *c = ctx;
    const asd_patches_attr *a = c->attr;
    int64_t T = c->x[0].shape.d[1], F = c->x[0].shape.d[2], rows = T / a->pt, nf = F / a->pf;
    int64_t b = chunk / (rows + 1), row = chunk % (rows + 1), D = a->pt * a->pf;
    for (int64_t t = row * a->pt; t < (row + 1) * a->pt && t < T; ++t)
        for (int64_t m = 0; m < F; ++m) {
            int64_t f = m / a->pf, i = t % a->pt, j = m % a->pf;
            int64_t at = a->mel_major ? j * a->pt + i : i * a->pf + j;
            float   d = 0, *dx = (float *)c->x[0].g + (b * T + t) * F + m;
            if (row < rows && f < nf)
                d = ((const float *)c->y.g)[((b * rows + row) * nf + f) * D + at];
            *dx = c->acc[0] ? *dx + d : d;
        }
}

static asd_status patches_fwd_cpu(const asd_call *c)
{
    int64_t pt = ((const asd_patches_attr *)c->attr)->pt;
    asd_par_for(c->x[0].shape.d[0] * (c->x[0].shape.d[1] / pt), fwd_chunk, (void *)c);
    return ASD_OK;
}

static asd_status patches_bwd_cpu(const asd_call *c)
{
    /* y = x moved  ->  dx = dy moved back */
    int64_t pt = ((const asd_patches_attr *)c->attr)->pt;
    if (c->x[0].g)
        asd_par_for(c->x[0].shape.d[0] * (c->x[0].shape.d[1] / pt + 1), bwd_chunk, (void *)c);
    return ASD_OK;
}

static const asd_patches_attr square = {16, 16, 0, 0}, small = {2, 4, 0, 0}, wide = {1, 8, 0, 0},
                              odd = {3, 5, 0, 0}, mels = {4, 8, 1, 0}, odd_mels = {3, 5, 1, 0},
                              dasheng = {4, 64, 1, 0};

#define CASE(B, T, F, how, is_bench)                                                               \
    {                                                                                              \
        .name = "B=" #B ",T=" #T ",F=" #F "," #how, .n_in = 1, .bench = is_bench, .attr = &(how),  \
        .in = {{ASD_F32, {3, {B, T, F}}}},                                                         \
    }
static const asd_case patches_cases[] = {
    CASE(1, 16, 16, square, 0),     CASE(2, 5, 8, small, 0),
    CASE(3, 7, 24, wide, 0),        CASE(2, 11, 13, odd, 0),
    CASE(2, 9, 12, small, 0),       CASE(2, 10, 24, mels, 0),
    CASE(3, 7, 11, odd_mels, 0),    CASE(34, 998, 128, square, 1),
    CASE(34, 1001, 64, dasheng, 1), {.name = NULL},
};

const asd_op asd_op_patches = {
    .name   = "patches",
    .min_in = 1,
    .n_in   = 1,
    .infer  = patches_infer,
    .fwd    = {patches_fwd_cpu, ASD_CUDA_FN(patches_fwd_cuda)},
    .bwd    = {patches_bwd_cpu, ASD_CUDA_FN(patches_bwd_cuda)},
    .bf16   = ASD_KEEPS_X(0),
    .cases  = patches_cases,
};
