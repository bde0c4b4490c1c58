/* reconstruct.c - see reconstruct.h. 64 ten-second clips of the baseline: 10 MB of frames to the
 * device, 11 GFLOP, 51 MB back. Not measured. */
#include "tools/reconstruct.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 4096 }; /* vectors: 10 MB of the baseline's */

struct asd_reconstructor {
    const asd_cfg *cfg;
    asd_gpu       *gpu;
    asd_stream    *s;
    asd_params     params;
    asd_ae_plan    plan;
    int64_t        room_frames, room_vectors; /* of the memory below */
    float         *frames;                    /* (room_frames, F) on the device */
    float         *host_frames;               /* pinned, the same */
    int32_t       *index;                     /* (room_vectors) pinned */
    float         *y;                         /* (room_vectors, C) pinned */
};

asd_status asd_reconstructor_new(asd_gpu *gpu, const asd_net *net, asd_reconstructor **out)
{
    asd_status         st;
    asd_reconstructor *r = calloc(1, sizeof *r);
    *out                 = NULL;
    if (!r)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a network on the device", net->key);
    r->cfg = net->cfg;
    r->gpu = gpu;
    asd_params_init(&r->params);
    ASD_GO(done, st, asd_stream_new(gpu, &r->s));
    ASD_GO(done, st, asd_ae_declare(&r->params, net->cfg));
    ASD_GO(done, st, asd_params_alloc(&r->params, 0));
    for (int k = 0; k < r->params.n; ++k) {
        const asd_param *p = &r->params.param[k], *q = &net->params.param[k];
        ASD_ASSERT(!strcmp(p->name, q->name) && asd_shape_equal(p->shape, q->shape));
        memcpy(asd_params_value(&r->params, k), asd_params_value(&net->params, k),
               (size_t)asd_count(p->shape) * sizeof(float));
    }
    ASD_GO(done, st, asd_params_to_gpu(&r->params, r->s));
    *out = r;
    r    = NULL;
done:
    asd_reconstructor_free(r);
    return st;
}

static void free_room(asd_reconstructor *r)
{
    asd_ae_plan_clear(&r->plan);
    asd_gpu_free(r->gpu, r->frames);
    asd_gpu_free_pinned(r->gpu, r->host_frames);
    asd_gpu_free_pinned(r->gpu, r->index);
    asd_gpu_free_pinned(r->gpu, r->y);
    r->frames = r->host_frames = r->y = NULL;
    r->index                          = NULL;
    r->room_frames = r->room_vectors = 0;
}

void asd_reconstructor_free(asd_reconstructor *r)
{
    if (!r)
        return;
    free_room(r);
    asd_params_clear(&r->params);
    asd_stream_free(r->s);
    free(r);
}

static asd_status make_room(asd_reconstructor *r, int64_t frames, int64_t vectors)
{
    int64_t F = r->cfg->front_end_n_mels, C = r->cfg->front_end_stack_frames * F;
    void   *p[4];
    if (frames <= r->room_frames && vectors <= r->room_vectors)
        return ASD_OK;
    frames  = frames > r->room_frames ? frames : r->room_frames;
    vectors = vectors > r->room_vectors ? vectors : r->room_vectors;
    if (frames > INT32_MAX)
        return ASD_FAIL(ASD_E_DATA, "%lld frames at once, more than 2^31", (long long)frames);
    free_room(r);
    size_t frame_bytes = (size_t)(frames * F) * sizeof(float);
    ASD_TRY(asd_gpu_alloc(r->gpu, frame_bytes, "features", "use --device cpu", &p[0]));
    r->frames = p[0];
    ASD_TRY(asd_gpu_alloc_pinned(r->gpu, frame_bytes, "features", &p[1]));
    r->host_frames = p[1];
    ASD_TRY(asd_gpu_alloc_pinned(r->gpu, (size_t)vectors * sizeof *r->index, "vectors", &p[2]));
    r->index = p[2];
    ASD_TRY(asd_gpu_alloc_pinned(r->gpu, (size_t)(vectors * C) * sizeof *r->y, "reconstructions",
                                 &p[3]));
    r->y = p[3];
    ASD_TRY(asd_ae_plan_make_on(&r->params, r->cfg, (asd_ae_size){frames, BATCH, 0}, 0, r->s,
                                &r->plan));
    asd_plan_bind(r->plan.plan, r->plan.frames, r->frames);
    r->room_frames  = frames;
    r->room_vectors = vectors;
    return ASD_OK;
}

asd_status asd_reconstruct(asd_reconstructor *r, const asd_features *f, const float **y)
{
    int64_t stack = r->cfg->front_end_stack_frames, C = stack * f->F, n = 0;
    int64_t vectors = f->rows - f->n * (stack - 1), padded = (vectors + BATCH - 1) / BATCH * BATCH;
    size_t  frame_bytes = (size_t)(f->rows * f->F) * sizeof(float);
    *y                  = NULL;
    ASD_TRY(make_room(r, f->rows, padded));
    for (int64_t i = 0; i < f->n; ++i)
        for (int64_t t = f->first[i]; t + stack <= f->first[i + 1]; ++t)
            r->index[n++] = (int32_t)t;
    ASD_ASSERT(n == vectors);
    while (n < padded) /* the last batch is filled up with any row */
        r->index[n++] = 0;
    memcpy(r->host_frames, f->x, frame_bytes);
    ASD_TRY(asd_stream_upload(r->s, r->frames, r->host_frames, frame_bytes));
    for (int64_t at = 0; at < padded; at += BATCH) {
        asd_plan *p = r->plan.plan;
        ASD_TRY(asd_stream_upload(r->s, asd_plan_data(p, r->plan.index), r->index + at,
                                  BATCH * sizeof *r->index));
        ASD_TRY(asd_plan_forward(p));
        ASD_TRY(asd_stream_download(r->s, r->y + at * C, asd_plan_data(p, r->plan.y),
                                    (size_t)(BATCH * C) * sizeof *r->y));
    }
    ASD_TRY(asd_stream_wait(r->s));
    *y = r->y;
    return ASD_OK;
}
