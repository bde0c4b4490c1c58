/* fft.cc - fft.h on the CPU, for tests: kissfft, row by row. */
#include "cuda/fft.h"
#include "cuda/simt/gpu.h"

#include <kiss_fftr.h>
#include <vector>

struct asd_fft {
    kiss_fftr_cfg plan;
    int64_t       n, rows;
};

asd_status asd_fft_new(asd_stream *, int64_t n, int64_t rows, asd_fft **out)
{
    *out = nullptr;
    if (n < 2 || n % 2 || rows < 1)
        return ASD_FAIL(ASD_E_CONFIG, "cuFFT: %lld transforms of %lld samples", (long long)rows,
                        (long long)n);
    *out = new asd_fft{kiss_fftr_alloc((int)n, 0, nullptr, nullptr), n, rows};
    return ASD_OK;
}

void asd_fft_free(asd_fft *f)
{
    if (f)
        kiss_fftr_free(f->plan);
    delete f;
}

asd_status asd_fft_run(asd_fft *f, asd_stream *s, float *x)
{
    return simt::stream_do(s, "fft", [=] {
        std::vector<float>        row((size_t)f->n);
        std::vector<kiss_fft_cpx> bins((size_t)f->n / 2 + 1);
        for (int64_t r = 0; r < f->rows; ++r) {
            float *at = x + r * (f->n + 2);
            row.assign(at, at + f->n);
            kiss_fftr(f->plan, row.data(), bins.data());
            for (size_t k = 0; k < bins.size(); ++k) {
                at[2 * k]     = bins[k].r;
                at[2 * k + 1] = bins[k].i;
            }
        }
        return ASD_OK;
    });
}
