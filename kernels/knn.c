/* knn.c - see knn.h. */
#include "kernels/knn.h"

typedef asd_status (*cosine_fn)(const asd_knn *, const float *, const int32_t *,
                                const unsigned char *, const float *, const int32_t *, void *,
                                double *, asd_stream *);

static const cosine_fn cosine_cuda[] = {ASD_CUDA_FN(knn_cosine_cuda)};

int64_t asd_knn_work(const asd_knn *a)
{
    int64_t lists = a->M * asd_knn_slices(a) * 2 * ASD_KNN_MOST;
    return a->G * ((a->N + a->M) * (int64_t)sizeof(double) + lists * (int64_t)sizeof(float));
}

asd_status asd_knn_cosine(const asd_knn *a, const float *bank, const int32_t *n,
                          const unsigned char *is_target, const float *x, const int32_t *m,
                          void *work, double *score, asd_stream *s)
{
    if (a->k < 1 || a->k > ASD_KNN_MOST)
        return ASD_FAIL(ASD_E_SHAPE, "k-NN on a device: k is %d, want 1 to %d", a->k, ASD_KNN_MOST);
    if (a->G < 1 || a->G > 65535 || a->N < 1 || a->N > INT32_MAX / 2 || a->M < 1 ||
        a->M > INT32_MAX / 2 || a->D < 1 || a->D > INT32_MAX / 2)
        return ASD_FAIL(
            ASD_E_SHAPE,
            "k-NN: %lld machines, banks of %lld rows, %lld rows of %lld to score; want 1 "
            "to 65535 machines, and at least 1 of all",
            (long long)a->G, (long long)a->N, (long long)a->M, (long long)a->D);
    if (!cosine_cuda[0])
        return ASD_FAIL(ASD_E_DEVICE, "k-NN on a device: this program was built without CUDA");
    return cosine_cuda[0](a, bank, n, is_target, x, m, work, score, s);
}
