/* params.c - see params.h. */
#include "nn/params.h"

#include "base/arena.h"
#include "base/rng.h"
#include "kernels/cpu_bf16.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { PAD = 16 }; /* floats in 64 bytes */

/* Elements of a block that a parameter takes. */
static int64_t room_of(asd_shape shape)
{
    return (asd_count(shape) + PAD - 1) / PAD * PAD;
}

void asd_params_init(asd_params *p)
{
    memset(p, 0, sizeof *p);
}

void asd_params_clear(asd_params *p)
{
    for (int i = 0; i < p->n; ++i) {
        free(p->param[i].name);
        if (p->param[i].mapped)
            free(p->param[i].value);
    }
    free(p->param);
    free(p->w);
    free(p->w16);
    free(p->g);
    free(p->m);
    free(p->v);
    free(p->state);
    if (p->file)
        munmap(p->file, p->file_bytes);
    if (p->gpu)
        asd_gpu_free(p->gpu, p->on_gpu.memory);
    memset(p, 0, sizeof *p);
}

int asd_params_find(const asd_params *p, const char *name)
{
    for (int i = 0; i < p->n; ++i)
        if (!strcmp(p->param[i].name, name))
            return i;
    return -1;
}

asd_status asd_params_need(asd_params *p, const char *name, asd_shape shape, asd_init init,
                           int64_t fan_in, int trainable, int *index)
{
    char s1[64], s2[64];
    *index = asd_params_find(p, name);
    if (*index >= 0) {
        const asd_param *q = &p->param[*index];
        if (!asd_shape_equal(q->shape, shape) || q->trainable != trainable)
            return ASD_FAIL(ASD_E_SHAPE, "parameter %s is %s, the network wants %s", name,
                            asd_shape_text(q->shape, s1, sizeof s1),
                            asd_shape_text(shape, s2, sizeof s2));
        return ASD_OK;
    }
    if (p->allocated)
        return ASD_FAIL(ASD_E_SHAPE, "parameter %s is not in the network that was allocated", name);
    if (p->n == p->room) {
        int        room = p->room ? 2 * p->room : 64;
        asd_param *more = realloc(p->param, (size_t)room * sizeof *more);
        if (!more)
            return ASD_FAIL(ASD_E_OOM, "no memory for parameter %s", name);
        p->param = more;
        p->room  = room;
    }
    char *copy = strdup(name);
    if (!copy)
        return ASD_FAIL(ASD_E_OOM, "no memory for parameter %s", name);
    int64_t *block   = trainable ? &p->n_trainable : &p->n_state;
    *index           = p->n++;
    p->param[*index] = (asd_param){copy, shape, init, fan_in, trainable, *block, NULL, NULL};
    *block += room_of(shape);
    return ASD_OK;
}

void asd_params_map(asd_params *p, int index, const float *value)
{
    ASD_ASSERT(!p->allocated && !p->param[index].mapped);
    p->param[index].mapped = value;
    ++p->n_mapped;
}

void asd_params_keep(asd_params *p, void *map, size_t bytes)
{
    ASD_ASSERT(!p->file);
    p->file       = map;
    p->file_bytes = bytes;
}

asd_status asd_params_alloc(asd_params *p, int training)
{
    size_t  n       = (size_t)p->n_trainable;
    int64_t room[2] = {0, 0}; /* by trainable: what is not mapped */
    ASD_ASSERT(!p->allocated);
    for (int i = 0; i < p->n; ++i) {
        const asd_param *q = &p->param[i];
        if (training && q->trainable && q->mapped)
            return ASD_FAIL(ASD_E_CONFIG, "parameter %s is to be trained, but is only mapped",
                            q->name);
        room[q->trainable != 0] += q->mapped ? 0 : room_of(q->shape);
    }
    p->w     = asd_calloc_aligned((size_t)room[1], sizeof(float));
    p->state = asd_calloc_aligned((size_t)room[0], sizeof(float));
    if (training) {
        p->g = asd_calloc_aligned(n, sizeof(float));
        p->m = asd_calloc_aligned(n, sizeof(float));
        p->v = asd_calloc_aligned(n, sizeof(float));
    }
    if (!p->w || !p->state || (training && (!p->g || !p->m || !p->v)))
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld parameters", (long long)p->n_trainable);
    float *next[2] = {p->state, p->w};
    for (int i = 0; i < p->n; ++i) {
        asd_param *q = &p->param[i];
        if (q->mapped)
            continue;
        q->value = next[q->trainable != 0];
        next[q->trainable != 0] += room_of(q->shape);
    }
    p->allocated = 1;
    return ASD_OK;
}

const float *asd_params_peek(const asd_params *p, int index)
{
    const asd_param *q = &p->param[index];
    return q->value ? q->value : q->mapped;
}

float *asd_params_value(const asd_params *p, int index)
{
    ASD_ASSERT(p->param[index].value); /* a mapped one is read by asd_params_peek */
    return p->param[index].value;
}

asd_status asd_params_own(asd_params *p, int index)
{
    asd_param   *q = &p->param[index];
    const size_t n = (size_t)asd_count(q->shape);
    if (q->value)
        return ASD_OK;
    ASD_ASSERT(q->mapped);
    if (!(q->value = asd_calloc_aligned(n, sizeof(float))))
        return ASD_FAIL(ASD_E_OOM, "no memory for a copy of parameter %s", q->name);
    memcpy(q->value, q->mapped, n * sizeof(float));
    return ASD_OK;
}

/* to: (n_trainable), zero */
static void narrow(const asd_params *p, uint16_t *to)
{
    for (int i = 0; i < p->n; ++i)
        if (p->param[i].trainable)
            asd_bf16_narrow(asd_params_peek(p, i), to + p->param[i].offset,
                            asd_count(p->param[i].shape));
}

asd_status asd_params_round(asd_params *p)
{
    ASD_ASSERT(p->allocated);
    if (!p->w16)
        p->w16 = asd_calloc_aligned((size_t)p->n_trainable, sizeof *p->w16);
    if (!p->w16)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld parameters in bf16",
                        (long long)p->n_trainable);
    narrow(p, p->w16);
    return ASD_OK;
}

void asd_params_reset(asd_params *p, uint64_t seed, uint64_t machine)
{
    for (int i = 0; i < p->n; ++i) {
        const asd_param *q = &p->param[i];
        float           *x = asd_params_value(p, i);
        asd_rng          r;
        double           bound = q->fan_in > 0 ? 1 / sqrt((double)q->fan_in) : 0;
        asd_rng_init(&r, seed, ASD_RNG_INIT, machine, (uint64_t)i);
        for (int64_t k = 0; k < asd_count(q->shape); ++k)
            x[k] = q->init == ASD_INIT_ZERO  ? 0
                   : q->init == ASD_INIT_ONE ? 1
                                             : (float)asd_rng_range(&r, -bound, bound);
    }
}

int64_t asd_params_count(const asd_params *p, int trainable)
{
    int64_t n = 0;
    for (int i = 0; i < p->n; ++i)
        n += p->param[i].trainable == trainable ? asd_count(p->param[i].shape) : 0;
    return n;
}

/* --- on a device --- */

asd_status asd_params_zero_grad(asd_params *p, asd_stream *s)
{
    size_t bytes = (size_t)p->n_trainable * sizeof(float);
    if (s)
        return asd_stream_zero(s, p->on_gpu.g, bytes);
    memset(p->g, 0, bytes);
    return ASD_OK;
}

float *asd_params_value_on_gpu(const asd_params *p, int index)
{
    const asd_param *q = &p->param[index];
    return p->gpu ? (q->trainable ? p->on_gpu.w : p->on_gpu.state) + q->offset : NULL;
}

/* The blocks one behind the other; each length is a multiple of 64 bytes (PAD). */
static asd_status alloc_on_gpu(asd_params *p, asd_gpu *gpu)
{
    size_t n = (size_t)p->n_trainable, n_state = (size_t)p->n_state;
    size_t blocks = p->g ? 4 : 1; /* w, and for training g, m, v */
    char  *memory;
    ASD_TRY(asd_gpu_alloc(
        gpu, (blocks * n + n_state) * sizeof(float) + (p->bf16_weights ? n * sizeof(uint16_t) : 0),
        "the network's parameters", "the model's size", (void **)&memory));
    p->gpu        = gpu;
    p->on_gpu     = (asd_params_on_gpu){.memory = memory, .w = (float *)memory};
    float *behind = p->on_gpu.w + n;
    if (p->g) {
        p->on_gpu.g = behind;
        p->on_gpu.m = behind + n;
        p->on_gpu.v = behind + 2 * n;
        behind += 3 * n;
    }
    p->on_gpu.state = behind;
    if (p->bf16_weights)
        p->on_gpu.w16 = (uint16_t *)(behind + n_state);
    return ASD_OK;
}

static asd_status upload_bf16(const asd_params *p, asd_stream *s)
{
    size_t    n   = (size_t)p->n_trainable;
    uint16_t *w16 = asd_calloc_aligned(n, sizeof *w16);
    if (!w16)
        return ASD_FAIL(ASD_E_OOM, "no memory for %zu parameters in bf16", n);
    narrow(p, w16);
    asd_status st = asd_stream_upload(s, p->on_gpu.w16, w16, n * sizeof *w16);
    if (!st)
        st = asd_stream_wait(s); /* before the host memory goes */
    free(w16);
    return st;
}

/* The block of w or of state. It is as on the host unless values are mapped: those are fetched from
 * where they lie, and what is between them is zero. */
static asd_status upload_values(const asd_params *p, int trainable, asd_stream *s)
{
    float *block = trainable ? p->on_gpu.w : p->on_gpu.state;
    size_t bytes = (size_t)(trainable ? p->n_trainable : p->n_state) * sizeof(float);
    if (!p->n_mapped)
        return asd_stream_upload(s, block, trainable ? p->w : p->state, bytes);
    ASD_TRY(asd_stream_zero(s, block, bytes));
    for (int i = 0; i < p->n; ++i)
        if (p->param[i].trainable == trainable)
            ASD_TRY(asd_stream_upload(s, block + p->param[i].offset, asd_params_peek(p, i),
                                      (size_t)asd_count(p->param[i].shape) * sizeof(float)));
    return ASD_OK;
}

static asd_status download_values(const asd_params *p, int trainable, asd_stream *s)
{
    const float *block = trainable ? p->on_gpu.w : p->on_gpu.state;
    size_t       bytes = (size_t)(trainable ? p->n_trainable : p->n_state) * sizeof(float);
    if (!p->n_mapped)
        return asd_stream_download(s, trainable ? p->w : p->state, block, bytes);
    for (int i = 0; i < p->n; ++i)
        if (p->param[i].trainable == trainable && p->param[i].value)
            ASD_TRY(asd_stream_download(s, p->param[i].value, block + p->param[i].offset,
                                        (size_t)asd_count(p->param[i].shape) * sizeof(float)));
    return ASD_OK;
}

asd_status asd_params_to_gpu(asd_params *p, asd_stream *s)
{
    size_t bytes = (size_t)p->n_trainable * sizeof(float);
    ASD_ASSERT(p->allocated);
    if (p->gpu && p->gpu != asd_stream_gpu(s))
        return ASD_FAIL(ASD_E_SHAPE, "the parameters are on another device already");
    if (!p->gpu)
        ASD_TRY(alloc_on_gpu(p, asd_stream_gpu(s)));
    ASD_TRY(upload_values(p, 1, s));
    ASD_TRY(upload_values(p, 0, s));
    if (p->on_gpu.g) {
        ASD_TRY(asd_stream_zero(s, p->on_gpu.g, bytes));
        ASD_TRY(asd_stream_upload(s, p->on_gpu.m, p->m, bytes));
        ASD_TRY(asd_stream_upload(s, p->on_gpu.v, p->v, bytes));
    }
    if (p->on_gpu.w16)
        ASD_TRY(upload_bf16(p, s));
    return asd_stream_wait(s);
}

asd_status asd_params_from_gpu(asd_params *p, asd_stream *s)
{
    size_t bytes = (size_t)p->n_trainable * sizeof(float);
    ASD_ASSERT(p->gpu);
    ASD_TRY(download_values(p, 1, s));
    ASD_TRY(download_values(p, 0, s));
    if (p->on_gpu.g) {
        ASD_TRY(asd_stream_download(s, p->g, p->on_gpu.g, bytes));
        ASD_TRY(asd_stream_download(s, p->m, p->on_gpu.m, bytes));
        ASD_TRY(asd_stream_download(s, p->v, p->on_gpu.v, bytes));
    }
    return asd_stream_wait(s);
}
