/* adam.c - see adam.h. Memory-bound: 4 reads and 3 writes of 4 bytes a parameter. */
#include "kernels/adam.h"

#include "base/arena.h"
#include "base/par.h"
#include "kernels/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 16384 };

int64_t asd_adam_work(int64_t n)
{
    return (n + CHUNK - 1) / CHUNK;
}

typedef struct adam_job {
    int64_t      n;
    float       *w, *m, *v;
    const float *g;
    double      *work;
    float        beta1_rest, beta2, beta2_rest, eps, step_size, root_correction, shrink, l2, clip;
} adam_job;

/* Eight running sums: the same order for every vector width. */
ASD_SIMD static double sum_squares(const float *g, int64_t n)
{
    double  s[8] = {0};
    int64_t i    = 0;
    for (; i + 8 <= n; i += 8)
        for (int k = 0; k < 8; ++k)
            s[k] += (double)g[i + k] * (double)g[i + k];
    for (; i < n; ++i)
        s[i % 8] += (double)g[i] * (double)g[i];
    return ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
}

ASD_SIMD static void update(const adam_job *j, int64_t o, int64_t n)
{
    float *restrict w       = j->w + o;
    float *restrict m       = j->m + o;
    float *restrict v       = j->v + o;
    const float *restrict g = j->g + o;
    const adam_job a        = *j;
    for (int64_t i = 0; i < n; ++i) {
        float wi = w[i] * a.shrink;
        float gi = g[i] * a.clip + a.l2 * wi;
        float mi = m[i] + a.beta1_rest * (gi - m[i]);
        float vi = a.beta2 * v[i] + a.beta2_rest * gi * gi;
        m[i]     = mi;
        v[i]     = vi;
        w[i]     = wi - a.step_size * (mi / (sqrtf(vi) / a.root_correction + a.eps));
    }
}

static void norm_range(void *ctx, int64_t o, int64_t n)
{
    const adam_job *j  = ctx;
    j->work[o / CHUNK] = sum_squares(j->g + o, n);
}

static void update_range(void *ctx, int64_t o, int64_t n)
{
    update(ctx, o, n);
}

double asd_adam_update_cpu(const asd_adam *a, const asd_step *step, int64_t n, float *w,
                           const float *g, float *m, float *v, double *work)
{
    double   t = (double)step->step + 1, lr = step->lr, sum = 0;
    adam_job j = {.n = n, .w = w, .m = m, .v = v, .g = g, .work = work};
    asd_par_ranges(n, CHUNK, norm_range, &j);
    for (int64_t i = 0; i < asd_adam_work(n); ++i)
        sum += work[i];
    double norm       = sqrt(sum);
    double clip       = a->clip_norm > 0 ? a->clip_norm / (norm + 1e-6) : 1;
    j.beta1_rest      = (float)(1 - a->beta1);
    j.beta2           = (float)a->beta2;
    j.beta2_rest      = (float)(1 - a->beta2);
    j.eps             = (float)a->eps;
    j.step_size       = (float)(lr / (1 - pow(a->beta1, t)));
    j.root_correction = (float)sqrt(1 - pow(a->beta2, t));
    j.shrink          = a->decoupled ? (float)(1 - lr * a->weight_decay) : 1;
    j.l2              = a->decoupled ? 0 : (float)a->weight_decay;
    j.clip            = clip < 1 ? (float)clip : 1;
    asd_par_ranges(n, CHUNK, update_range, &j);
    return norm;
}

/* --- on the device --- */

/* The chunks of one network, in the order of the slices, into chunk unless that is NULL. Returns
 * their number. */
static int64_t cut(const asd_adam_slice *slice, int64_t n_slices, int64_t group,
                   asd_adam_chunk *chunk)
{
    int64_t n = 0;
    for (int64_t i = 0; i < n_slices; ++i)
        for (int64_t at = 0; at < slice[i].n; at += ASD_ADAM_CHUNK) {
            int64_t left = slice[i].n - at;
            if (chunk)
                chunk[n] = (asd_adam_chunk){
                    slice[i].first + group * slice[i].n + at,
                    (int32_t)(left < ASD_ADAM_CHUNK ? left : ASD_ADAM_CHUNK), (int32_t)group};
            ++n;
        }
    return n;
}

asd_status asd_adam_layout_init(asd_adam_layout *l, asd_stream *s, const asd_adam_slice *slice,
                                int64_t n_slices, int64_t groups)
{
    int64_t each = cut(slice, n_slices, 0, NULL);
    memset(l, 0, sizeof *l);
    l->gpu      = asd_stream_gpu(s);
    l->groups   = groups;
    l->n_chunks = each * groups;
    if (each < 1 || groups < 1 || l->n_chunks > INT32_MAX)
        return ASD_FAIL(ASD_E_SHAPE,
                        "adam: %lld chunks of %lld networks, want at least one of each and at most "
                        "2^31 in all",
                        (long long)each, (long long)groups);
    size_t chunks = asd_align_up((size_t)l->n_chunks * sizeof *l->chunk),
           firsts = asd_align_up((size_t)(groups + 1) * sizeof *l->group_chunk),
           sums   = asd_align_up((size_t)l->n_chunks * sizeof *l->partial);
    size_t bytes  = chunks + firsts + sums + sizeof *l->barrier;
    char  *host   = calloc(1, bytes); /* the barrier's counter begins at zero */
    if (!host)
        return ASD_FAIL(ASD_E_OOM, "adam: no memory for %lld chunks", (long long)l->n_chunks);
    for (int64_t g = 0; g < groups; ++g)
        cut(slice, n_slices, g, (asd_adam_chunk *)host + g * each);
    for (int64_t g = 0; g <= groups; ++g)
        ((int32_t *)(host + chunks))[g] = (int32_t)(g * each);
    asd_status st = asd_gpu_alloc(l->gpu, bytes, "the optimiser's tables", "", &l->memory);
    if (!st) {
        char *base     = l->memory;
        l->chunk       = (asd_adam_chunk *)base;
        l->group_chunk = (int32_t *)(base + chunks);
        l->partial     = (double *)(base + chunks + firsts);
        l->barrier     = (unsigned *)(base + chunks + firsts + sums);
        st             = asd_stream_upload(s, base, host, bytes);
    }
    if (!st)
        st = asd_stream_wait(s);
    free(host);
    return st;
}

void asd_adam_layout_clear(asd_adam_layout *l)
{
    if (l->memory)
        asd_gpu_free(l->gpu, l->memory);
    memset(l, 0, sizeof *l);
}

typedef asd_status (*update_fn)(const asd_adam *, const asd_adam_layout *, const asd_step *,
                                float *, const float *, float *, float *, void *, double *,
                                asd_stream *);
static const update_fn update_cuda[] = {ASD_CUDA_FN(adam_update_cuda)};

asd_status asd_adam_update_cuda(const asd_adam *a, const asd_adam_layout *l, const asd_step *step,
                                float *w, const float *g, float *m, float *v, void *w16,
                                double *norm, asd_stream *s)
{
    return update_cuda[0]
               ? update_cuda[0](a, l, step, w, g, m, v, w16, norm, s)
               : ASD_FAIL(ASD_E_DEVICE, "adam on a device: this program was built without CUDA");
}
