/* mahalanobis.c - see mahalanobis.h. */
#include "kernels/mahalanobis.h"

typedef asd_status (*fit_fn)(const asd_maha *, const asd_maha_rows *, const unsigned char *,
                             const asd_maha_model *, asd_stream *);
typedef asd_status (*score_fn)(const asd_maha *, const asd_maha_model *, const asd_maha_rows *,
                               double *, double *, double *, asd_stream *);
typedef asd_status (*gram_fn)(const asd_maha *, const asd_maha_rows *, const unsigned char *,
                              const asd_maha_model *, double *, asd_stream *);
typedef asd_status (*axes_fn)(const asd_maha *, const asd_maha_axes *, const asd_maha_rows *,
                              double *, asd_stream *);

static const fit_fn   fit_cuda[]        = {ASD_CUDA_FN(maha_fit_cuda)};
static const score_fn score_cuda[]      = {ASD_CUDA_FN(maha_score_cuda)};
static const fit_fn   covariance_cuda[] = {ASD_CUDA_FN(maha_covariance_cuda)};
static const gram_fn  gram_cuda[]       = {ASD_CUDA_FN(maha_gram_cuda)};
static const axes_fn  axes_cuda[]       = {ASD_CUDA_FN(maha_axes_cuda)};

enum { TILE = 64 }; /* keep in step with mahalanobis.cu: rows of a block's turn, one is the mean */

static asd_status check(const asd_maha *a, const asd_maha_rows *x)
{
    if (a->G < 1 || a->G > 65535 || a->D < 1 || a->D > 32768 || x->n < 1 || x->n > INT32_MAX / 2)
        return ASD_FAIL(ASD_E_SHAPE,
                        "Mahalanobis: %lld machines with %lld rows of %lld, want 1 to 65535, at "
                        "least one row, and 1 to 32768 columns",
                        (long long)a->G, (long long)x->n, (long long)a->D);
    if (!fit_cuda[0])
        return ASD_FAIL(ASD_E_DEVICE,
                        "Mahalanobis on a device: this program was built without CUDA");
    return ASD_OK;
}

asd_status asd_maha_fit(const asd_maha *a, const asd_maha_rows *train,
                        const unsigned char *is_target, const asd_maha_model *to, asd_stream *s)
{
    ASD_TRY(check(a, train));
    return fit_cuda[0](a, train, is_target, to, s);
}

int64_t asd_maha_work(const asd_maha *a, int64_t n)
{
    return a->G * ((n + TILE - 2) / (TILE - 1)) * TILE * a->D;
}

asd_status asd_maha_score(const asd_maha *a, const asd_maha_model *from, const asd_maha_rows *x,
                          double *work, double *score, asd_stream *s)
{
    ASD_TRY(check(a, x));
    return score_cuda[0](a, from, x, work, score, NULL, s);
}

asd_status asd_maha_score_cross(const asd_maha *a, const asd_maha_model *from,
                                const asd_maha_rows *x, double *work, double *score, double *cross,
                                asd_stream *s)
{
    ASD_TRY(check(a, x));
    return score_cuda[0](a, from, x, work, score, cross, s);
}

asd_status asd_maha_covariance(const asd_maha *a, const asd_maha_rows *train,
                               const unsigned char *is_target, const asd_maha_model *to,
                               asd_stream *s)
{
    ASD_TRY(check(a, train));
    return covariance_cuda[0](a, train, is_target, to, s);
}

asd_status asd_maha_gram(const asd_maha *a, const asd_maha_rows *train,
                         const unsigned char *is_target, const asd_maha_model *to, double *gram,
                         asd_stream *s)
{
    ASD_TRY(check(a, train));
    return gram_cuda[0](a, train, is_target, to, gram, s);
}

asd_status asd_maha_score_axes(const asd_maha *a, const asd_maha_axes *axes, const asd_maha_rows *x,
                               double *score, asd_stream *s)
{
    ASD_TRY(check(a, x));
    if (axes->K < 1 || axes->K > a->D)
        return ASD_FAIL(ASD_E_SHAPE, "Mahalanobis: %lld axes of %lld columns", (long long)axes->K,
                        (long long)a->D);
    return axes_cuda[0](a, axes, x, score, s);
}
