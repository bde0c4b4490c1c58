/* adam.c - see adam.h. Memory-bound: 4 reads and 3 writes of 4 bytes a parameter. */
#include "kernels/adam.h"

#include "base/par.h"
#include "kernels/cpu.h"

#include <math.h>

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

static int64_t chunk_size(const adam_job *j, int64_t chunk)
{
    int64_t left = j->n - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

static void norm_chunk(void *ctx, int64_t chunk)
{
    const adam_job *j = ctx;
    j->work[chunk]    = sum_squares(j->g + chunk * CHUNK, chunk_size(j, chunk));
}

static void update_chunk(void *ctx, int64_t chunk)
{
    const adam_job *j = ctx;
    update(j, chunk * CHUNK, chunk_size(j, chunk));
}

double asd_adam_update_cpu(const asd_adam *a, const asd_step *step, int64_t n, float *w,
                           const float *g, float *m, float *v, double *work)
{
    double   t = (double)step->step + 1, lr = step->lr, sum = 0;
    adam_job j = {.n = n, .w = w, .m = m, .v = v, .g = g, .work = work};
    asd_par_for(asd_adam_work(n), norm_chunk, &j);
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
    asd_par_for(asd_adam_work(n), update_chunk, &j);
    return norm;
}
