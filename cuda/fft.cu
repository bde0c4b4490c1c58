/* fft.cu - fft.h by cuFFT, which is opened when the first plan is made. */
#include "cuda/fft.h"
#include "cuda/libraries.h"
#include "cuda/stream.cuh"

#include <cufft.h>
#include <limits.h>
#include <stdlib.h>

struct asd_fft {
    asd_library               library;
    decltype(&cufftPlanMany)  plan_many;
    decltype(&cufftDestroy)   destroy;
    decltype(&cufftSetStream) set_stream;
    decltype(&cufftExecR2C)   exec;
    cufftHandle               plan;
    int                       has_plan;
    int64_t                   n, rows;
};

static const char *words(cufftResult r)
{
    switch (r) {
    case CUFFT_ALLOC_FAILED: return "CUFFT_ALLOC_FAILED: no device memory for its scratch";
    case CUFFT_INVALID_PLAN: return "CUFFT_INVALID_PLAN";
    case CUFFT_INVALID_TYPE: return "CUFFT_INVALID_TYPE";
    case CUFFT_INVALID_VALUE: return "CUFFT_INVALID_VALUE";
    case CUFFT_INTERNAL_ERROR: return "CUFFT_INTERNAL_ERROR";
    case CUFFT_EXEC_FAILED: return "CUFFT_EXEC_FAILED";
    case CUFFT_SETUP_FAILED: return "CUFFT_SETUP_FAILED";
    case CUFFT_INVALID_SIZE: return "CUFFT_INVALID_SIZE";
    case CUFFT_INVALID_DEVICE: return "CUFFT_INVALID_DEVICE";
    case CUFFT_NOT_SUPPORTED: return "CUFFT_NOT_SUPPORTED";
    default: return "no name for it";
    }
}

static asd_status check(const asd_fft *f, cufftResult r, const char *what)
{
    return r == CUFFT_SUCCESS
               ? ASD_OK
               : ASD_FAIL(ASD_E_DEVICE,
                          "cuFFT %s: %s of %lld transforms of %lld samples: error %d, %s",
                          f->library.version, what, (long long)f->rows, (long long)f->n, (int)r,
                          words(r));
}

static asd_status make_plan(asd_fft *f)
{
    int n = (int)f->n, in = n + 2, out = n / 2 + 1; /* floats of a row, bins of a row */
    ASD_TRY(asd_library_open(&asd_cufft_spec, &f->library));
    ASD_TRY(ASD_LIBRARY_FUNCTION(&f->library, cufftPlanMany, &f->plan_many));
    ASD_TRY(ASD_LIBRARY_FUNCTION(&f->library, cufftDestroy, &f->destroy));
    ASD_TRY(ASD_LIBRARY_FUNCTION(&f->library, cufftSetStream, &f->set_stream));
    ASD_TRY(ASD_LIBRARY_FUNCTION(&f->library, cufftExecR2C, &f->exec));
    ASD_TRY(check(f,
                  f->plan_many(&f->plan, 1, &n, &in, 1, in, &out, 1, out, CUFFT_R2C, (int)f->rows),
                  "plan"));
    f->has_plan = 1;
    return ASD_OK;
}

asd_status asd_fft_new(asd_stream *s, int64_t n, int64_t rows, asd_fft **out)
{
    *out = NULL;
    if (n < 2 || n % 2 || rows < 1 || (n + 2) > INT_MAX / rows)
        return ASD_FAIL(ASD_E_CONFIG,
                        "cuFFT: %lld transforms of %lld samples; want an even length, at least one "
                        "row, and less than 2^31 values",
                        (long long)rows, (long long)n);
    asd_fft *f = (asd_fft *)calloc(1, sizeof *f);
    if (!f)
        return ASD_FAIL(ASD_E_OOM, "cuFFT: no memory for a plan");
    f->n          = n;
    f->rows       = rows;
    asd_status st = asd_stream_check(s, cudaSetDevice(s->gpu->index), "selecting it for cuFFT");
    if (!st)
        st = make_plan(f);
    if (!st) /* now, not in run: there it may be too late to hear of a failure */
        st = check(f, f->set_stream(f->plan, s->stream), "stream");
    if (st)
        asd_fft_free(f);
    else
        *out = f;
    return st;
}

void asd_fft_free(asd_fft *f)
{
    if (f && f->has_plan)
        f->destroy(f->plan);
    free(f);
}

asd_status asd_fft_run(asd_fft *f, asd_stream *s, float *x)
{
    ASD_TRY(check(f, f->set_stream(f->plan, s->stream), "stream"));
    return check(f, f->exec(f->plan, x, (cufftComplex *)x), "run");
}
