/* cudnn.cu - what cuDNN has for an op of ours: the stand-ins of asd-bench on a GPU.
 *
 *   relu        cudnnActivationForward / Backward
 *   softmax     cudnnSoftmaxForward / Backward, accurate, over the last dimension
 *   batchnorm   cudnnBatchNormalizationForwardTraining / ForwardInference / Backward, per
 * activation
 *
 * cuDNN is opened when it is first asked for (cuda/libraries.h); without it there is no stand-in,
 * and that is said. Its results are its own and compared with ours before anything is timed.
 * Tensors (R, C) are given as (R, C, 1, 1). These interfaces are deprecated in cuDNN 9 in favour of
 * its graphs, and still there; they are what PyTorch and others call for these ops.
 */
#include "tools/bench_standin.h"

#include "base/log.h"
#include "cuda/libraries.h"
#include "cuda/stream.cuh"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cudnn.h>

namespace
{

/* The functions that are used, as cudnn.h declares them. */
struct functions {
    decltype(&cudnnCreate)                             create;
    decltype(&cudnnDestroy)                            destroy;
    decltype(&cudnnSetStream)                          set_stream;
    decltype(&cudnnGetErrorString)                     error_text;
    decltype(&cudnnCreateTensorDescriptor)             create_tensor;
    decltype(&cudnnDestroyTensorDescriptor)            destroy_tensor;
    decltype(&cudnnSetTensor4dDescriptor)              set_tensor;
    decltype(&cudnnCreateActivationDescriptor)         create_activation;
    decltype(&cudnnDestroyActivationDescriptor)        destroy_activation;
    decltype(&cudnnSetActivationDescriptor)            set_activation;
    decltype(&cudnnActivationForward)                  activation_forward;
    decltype(&cudnnActivationBackward)                 activation_backward;
    decltype(&cudnnSoftmaxForward)                     softmax_forward;
    decltype(&cudnnSoftmaxBackward)                    softmax_backward;
    decltype(&cudnnDeriveBNTensorDescriptor)           derive_batchnorm;
    decltype(&cudnnBatchNormalizationForwardTraining)  batchnorm_training;
    decltype(&cudnnBatchNormalizationForwardInference) batchnorm_inference;
    decltype(&cudnnBatchNormalizationBackward)         batchnorm_backward;
};

struct standin;
typedef cudnnStatus_t (*runner)(standin *s);

struct standin {
    bench_own                   own;
    functions                   f;
    cudnnHandle_t               handle;
    cudnnTensorDescriptor_t     tensor, columns; /* (R, C, 1, 1) and (1, C, 1, 1) */
    cudnnActivationDescriptor_t relu;
    void   *statistics; /* (4, C): running mean and variance, saved mean, 1/std */
    int64_t C;
    runner  run;
};

const float ONE = 1, ZERO = 0;

asd_status check(const standin *s, cudnnStatus_t st, const char *what)
{
    return st == CUDNN_STATUS_SUCCESS
               ? ASD_OK
               : ASD_FAIL(ASD_E_DEVICE, "cuDNN: %s: %s", what, s->f.error_text(st));
}

asd_status open_functions(standin *s, asd_library *l)
{
    functions *f = &s->f;
    ASD_TRY(asd_library_open(&asd_cudnn_spec, l));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnCreate, &f->create));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnDestroy, &f->destroy));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnSetStream, &f->set_stream));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnGetErrorString, &f->error_text));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnCreateTensorDescriptor, &f->create_tensor));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnDestroyTensorDescriptor, &f->destroy_tensor));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnSetTensor4dDescriptor, &f->set_tensor));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnCreateActivationDescriptor, &f->create_activation));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnDestroyActivationDescriptor, &f->destroy_activation));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnSetActivationDescriptor, &f->set_activation));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnActivationForward, &f->activation_forward));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnActivationBackward, &f->activation_backward));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnSoftmaxForward, &f->softmax_forward));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnSoftmaxBackward, &f->softmax_backward));
    ASD_TRY(ASD_LIBRARY_FUNCTION(l, cudnnDeriveBNTensorDescriptor, &f->derive_batchnorm));
    ASD_TRY(
        ASD_LIBRARY_FUNCTION(l, cudnnBatchNormalizationForwardTraining, &f->batchnorm_training));
    ASD_TRY(
        ASD_LIBRARY_FUNCTION(l, cudnnBatchNormalizationForwardInference, &f->batchnorm_inference));
    return ASD_LIBRARY_FUNCTION(l, cudnnBatchNormalizationBackward, &f->batchnorm_backward);
}

/* --- ops --- */

const asd_call *ours(const standin *s)
{
    return s->own.of->ready;
}

cudnnStatus_t relu_forward(standin *s)
{
    return s->f.activation_forward(s->handle, s->relu, &ONE, s->tensor, ours(s)->x[0].x, &ZERO,
                                   s->tensor, s->own.y);
}

cudnnStatus_t relu_backward(standin *s)
{
    const asd_call *c = ours(s); /* cuDNN also wants x, which is there */
    return s->f.activation_backward(s->handle, s->relu, &ONE, s->tensor, c->y.x, s->tensor, c->y.g,
                                    s->tensor, c->x[0].x, &ZERO, s->tensor, s->own.g[0]);
}

cudnnStatus_t softmax_forward(standin *s)
{
    return s->f.softmax_forward(s->handle, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_INSTANCE,
                                &ONE, s->tensor, ours(s)->x[0].x, &ZERO, s->tensor, s->own.y);
}

cudnnStatus_t softmax_backward(standin *s)
{
    const asd_call *c = ours(s);
    return s->f.softmax_backward(s->handle, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_INSTANCE,
                                 &ONE, s->tensor, c->y.x, s->tensor, c->y.g, &ZERO, s->tensor,
                                 s->own.g[0]);
}

float *statistic(const standin *s, int i)
{
    return static_cast<float *>(s->statistics) + i * s->C;
}

const asd_batchnorm_attr *batchnorm_attr(const standin *s)
{
    return static_cast<const asd_batchnorm_attr *>(ours(s)->attr);
}

cudnnStatus_t batchnorm_training(standin *s, void *y)
{
    const asd_call           *c = ours(s);
    const asd_batchnorm_attr *a = batchnorm_attr(s);
    return s->f.batchnorm_training(
        s->handle, CUDNN_BATCHNORM_PER_ACTIVATION, &ONE, &ZERO, s->tensor, c->x[0].x, s->tensor, y,
        s->columns, c->x[1].x, c->x[2].x, static_cast<double>(a->momentum), statistic(s, 0),
        statistic(s, 1), static_cast<double>(a->eps), statistic(s, 2), statistic(s, 3));
}

cudnnStatus_t batchnorm_forward(standin *s)
{
    const asd_call *c = ours(s);
    if (c->training)
        return batchnorm_training(s, s->own.y);
    return s->f.batchnorm_inference(s->handle, CUDNN_BATCHNORM_PER_ACTIVATION, &ONE, &ZERO,
                                    s->tensor, c->x[0].x, s->tensor, s->own.y, s->columns,
                                    c->x[1].x, c->x[2].x, c->x[3].x, c->x[4].x,
                                    static_cast<double>(batchnorm_attr(s)->eps));
}

cudnnStatus_t batchnorm_backward(standin *s)
{
    const asd_call *c = ours(s);
    return s->f.batchnorm_backward(
        s->handle, CUDNN_BATCHNORM_PER_ACTIVATION, &ONE, &ZERO, &ONE, &ZERO, s->tensor, c->x[0].x,
        s->tensor, c->y.g, s->tensor, s->own.g[0], s->columns, c->x[1].x, s->own.g[1], s->own.g[2],
        static_cast<double>(batchnorm_attr(s)->eps), statistic(s, 2), statistic(s, 3));
}

const struct {
    const char *op;
    runner      forward, backward;
    int         n_in; /* another form of the op has no stand-in */
} table[] = {
    {"relu", relu_forward, relu_backward, 1},
    {"softmax", softmax_forward, softmax_backward, 1},
    {"batchnorm", batchnorm_forward, batchnorm_backward, 5},
};

/* --- opening --- */

/* What cuDNN takes: one dtype in all of the call's activations, dimensions that fit an int, no
 * groups, no ReLU behind a norm. */
bool fits(const bench_subject *of)
{
    const asd_call *c = of->ready;
    int64_t         R = asd_rows(c->y.shape), C = asd_last(c->y.shape);
    bool            norm = !strcmp(of->line.op, "batchnorm");
    bool            flat = !norm || c->x[1].shape.n == 1;
    bool            bare = !norm || !static_cast<const asd_batchnorm_attr *>(c->attr)->relu;
    return flat && bare && R * C <= INT_MAX && c->x[0].dtype == c->y.dtype &&
           (c->y.dtype == ASD_F32 || c->y.dtype == ASD_BF16) &&
           (c->n_in < 2 || c->x[1].dtype == ASD_F32);
}

/* cuDNN's softmax knows no factor of x. */
bool unscaled(const bench_subject *of)
{
    return strcmp(of->line.op, "softmax") ||
           static_cast<const asd_softmax_attr *>(of->ready->attr)->scale == 1;
}

asd_status describe(standin *s)
{
    const asd_call *c = ours(s);
    cudnnDataType_t t = c->y.dtype == ASD_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    int             R = static_cast<int>(asd_rows(c->y.shape));
    s->C              = asd_last(c->y.shape);
    ASD_TRY(check(s, s->f.create_tensor(&s->tensor), "a tensor"));
    ASD_TRY(check(s, s->f.create_tensor(&s->columns), "a tensor"));
    ASD_TRY(check(s,
                  s->f.set_tensor(s->tensor, CUDNN_TENSOR_NCHW, t, R, static_cast<int>(s->C), 1, 1),
                  "the shape of a tensor"));
    ASD_TRY(check(s, s->f.derive_batchnorm(s->columns, s->tensor, CUDNN_BATCHNORM_PER_ACTIVATION),
                  "the shape of statistics"));
    ASD_TRY(check(s, s->f.create_activation(&s->relu), "an activation"));
    return check(s, s->f.set_activation(s->relu, CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN, 0.0),
                 "an activation");
}

asd_status run(void *ctx)
{
    standin *s = static_cast<standin *>(ctx);
    return check(s, s->run(s), s->own.of->line.op);
}

asd_status difference(void *ctx, double *out)
{
    return bench_own_difference(&static_cast<standin *>(ctx)->own, out);
}

void close(void *ctx)
{
    standin *s = static_cast<standin *>(ctx);
    if (s->relu)
        s->f.destroy_activation(s->relu);
    if (s->columns)
        s->f.destroy_tensor(s->columns);
    if (s->tensor)
        s->f.destroy_tensor(s->tensor);
    if (s->handle)
        s->f.destroy(s->handle);
    if (s->own.d)
        s->own.d->backend->release(s->own.d, s->statistics);
    bench_own_free(&s->own);
    free(s);
}

/* The backward of a batch normalisation reads the statistics that a forward saved. */
asd_status first_forward(standin *s)
{
    bench_device *d     = s->own.d;
    void         *y     = NULL;
    size_t        bytes = static_cast<size_t>(4 * s->C) * sizeof(float);
    ASD_TRY(d->backend->alloc(d, bytes, "a stand-in", &s->statistics));
    if (s->run != batchnorm_backward)
        return ASD_OK;
    ASD_TRY(d->backend->alloc(d, static_cast<size_t>(asd_count(ours(s)->y.shape)) * sizeof(float),
                              "a stand-in", &y));
    asd_status st = check(s, batchnorm_training(s, y), "batchnorm");
    if (!st)
        st = d->backend->wait(d);
    d->backend->release(d, y);
    return st;
}

asd_status make(standin *s, bench_device *d, const bench_subject *of)
{
    s->own.d  = d;
    s->own.of = of;
    ASD_TRY(check(s, s->f.create(&s->handle), "a handle"));
    ASD_TRY(check(s, s->f.set_stream(s->handle, d->stream->stream), "its stream"));
    ASD_TRY(bench_own_alloc(&s->own, d, of));
    ASD_TRY(describe(s));
    return first_forward(s);
}

} // namespace

extern "C" asd_status bench_cudnn_open(bench_standin *out, bench_device *d, const bench_subject *of)
{
    asd_library library;
    runner      run_it = NULL;
    memset(out, 0, sizeof *out);
    for (const auto &row : table)
        if (!strcmp(row.op, of->line.op) && row.n_in == of->ready->n_in && fits(of) && unscaled(of))
            run_it = of->line.pass == BENCH_BWD ? row.backward : row.forward;
    if (!run_it)
        return ASD_OK;
    standin *s = static_cast<standin *>(calloc(1, sizeof(standin)));
    if (!s)
        return ASD_FAIL(ASD_E_OOM, "no memory for a stand-in");
    s->run = run_it;
    if (open_functions(s, &library)) {
        asd_note("no times of cuDNN: %s", asd_error_text());
        free(s);
        return ASD_OK;
    }
    asd_status st = make(s, d, of);
    if (st) {
        close(s);
        return st;
    }
    snprintf(out->name, sizeof out->name, "cuDNN %s", library.version);
    out->call       = run;
    out->ctx        = s;
    out->difference = difference;
    out->close      = close;
    return ASD_OK;
}
