/* gemm.cc - gemm.h on the CPU, for tests: sums in float in the order of k. */
#include "cuda/gemm.h"
#include "cuda/simt/gpu.h"
#include "cuda/simt/types.h"

#include <vector>

static float get(const void *x, asd_dtype t, int64_t i)
{
    return t == ASD_BF16 ? asd_bf16_to_f32(((const bf16 *)x)[i]) : ((const float *)x)[i];
}

static void put(void *x, asd_dtype t, int64_t i, float v)
{
    if (t == ASD_BF16)
        ((bf16 *)x)[i] = asd_bf16_from_f32(v);
    else
        ((float *)x)[i] = v;
}

/* One matrix of the batch, row by row, so that the inner loop runs along rows of op(b). */
static void product(const asd_cuda_gemm &g, int64_t batch)
{
    std::vector<float> row((size_t)g.n), b((size_t)(g.k * g.n));
    int64_t            a0 = batch * g.step_a, b0 = batch * g.step_b, y0 = batch * g.step_y;
    for (int64_t k = 0; k < g.k; ++k)
        for (int64_t j = 0; j < g.n; ++j)
            b[(size_t)(k * g.n + j)] =
                get(g.b, g.dtype, b0 + (g.transpose_b ? j * g.ldb + k : k * g.ldb + j));
    for (int64_t i = 0; i < g.m; ++i) {
        for (int64_t j = 0; j < g.n; ++j)
            row[(size_t)j] = 0;
        for (int64_t k = 0; k < g.k; ++k) {
            float a = get(g.a, g.dtype, a0 + (g.transpose_a ? k * g.lda + i : i * g.lda + k));
            const float *bk = &b[(size_t)(k * g.n)];
            for (int64_t j = 0; j < g.n; ++j)
                row[(size_t)j] += a * bk[j];
        }
        for (int64_t j = 0; j < g.n; ++j) {
            float y = row[(size_t)j];
            if (g.bias)
                y += g.bias[batch * g.step_bias + j];
            if (g.beta != 0)
                y += g.beta * get(g.y, g.y_dtype, y0 + i * g.ldy + j);
            put(g.y, g.y_dtype, y0 + i * g.ldy + j, y);
        }
    }
}

asd_status asd_cuda_gemm_run(asd_stream *s, const asd_cuda_gemm *g)
{
    asd_cuda_gemm copy = *g;
    return simt::stream_do(s, "gemm", [=] {
        for (int64_t i = 0; i < copy.batch; ++i)
            product(copy, i);
        return ASD_OK;
    });
}
