/* op.h - the contract between networks and kernels: tensors, calls, ops, and their test cases.
 *
 * A network is recorded once on a tape (nn/tape.h), laid out by the planner (nn/plan.h) and then
 * run as a flat array of calls. An op owns its shapes, its forward and its backward; a network has
 * no backward code.
 *
 * What every kernel may rely on and must keep:
 *   1. fwd overwrites y and reads nothing from it.
 *   2. bwd reads y.g. For input k, x[k].g NULL means skip; acc[k] 0 means store, 1 means add.
 *   3. Parameter gradients always add: the step opens with one memset of the gradient block.
 *   4. bwd reads only what `keeps` names; the rest of the forward's memory may have been reused.
 *   5. No allocation, no synchronisation, no host read: what CUDA capture forbids is forbidden
 * everywhere. What must be allocated (tables, FFT plans) is made once in `prepare`. On CUDA every
 * pointer of a call but attr and state is device memory, and all work goes to c->stream.
 *   6. Tensors are dense and row-major; memory is 64-byte aligned.
 *   7. Attributes are fixed at plan time; what changes per step is read from *step.
 *   8. Same seed, same bits, for any number of threads: no float atomics, chunks as in base/par.h.
 *   9. int64_t for index arithmetic.
 */
#ifndef ASD_KERNELS_OP_H
#define ASD_KERNELS_OP_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ASD_MAX_IN = 8, ASD_MAX_DIMS = 4 };

typedef enum asd_backend { ASD_CPU, ASD_CUDA, ASD_NBACKENDS } asd_backend;
typedef enum asd_dtype { ASD_F32, ASD_I16, ASD_I32, ASD_BF16, ASD_NDTYPES } asd_dtype;

static inline size_t asd_dtype_size(asd_dtype t)
{
    return t == ASD_I16 || t == ASD_BF16 ? 2 : 4;
}

const char *asd_dtype_name(asd_dtype t); /* "f32", "i16", "i32", "bf16" */

typedef struct asd_shape {
    int     n;               /* dimensions used */
    int64_t d[ASD_MAX_DIMS]; /* outermost first */
} asd_shape;

/* Elements in all dimensions together; 1 for a scalar (n = 0). */
static inline int64_t asd_count(asd_shape s)
{
    int64_t c = 1;
    for (int i = 0; i < s.n; ++i)
        c *= s.d[i];
    return c;
}

static inline int64_t asd_last(asd_shape s)
{
    return s.n ? s.d[s.n - 1] : 1;
}

/* Product of all dimensions but the last: the rows R of a tensor read as (R, C). */
static inline int64_t asd_rows(asd_shape s)
{
    int64_t r = 1;
    for (int i = 0; i + 1 < s.n; ++i)
        r *= s.d[i];
    return r;
}

#define ASD_SHAPE1(a) ((asd_shape){1, {(a)}})
#define ASD_SHAPE2(a, b) ((asd_shape){2, {(a), (b)}})
#define ASD_SHAPE3(a, b, c) ((asd_shape){3, {(a), (b), (c)}})

/* "(256, 640)" into buf; returns buf. */
const char *asd_shape_text(asd_shape s, char *buf, size_t size);
int         asd_shape_equal(asd_shape a, asd_shape b);

/* A view: the memory belongs to a plan's arena or to a parameter store. The gradient of an
 * activation has the activation's dtype; parameters collect theirs in fp32 whatever they are. */
typedef struct asd_tensor {
    void     *x; /* values */
    void     *g; /* gradient, same shape; NULL where none flows */
    asd_dtype dtype, g_dtype;
    asd_shape shape;
} asd_tensor;

typedef struct asd_spec {
    asd_dtype dtype;
    asd_shape shape;
} asd_spec;

/* What changes from step to step. One instance per plan; kernels read it when they run, so a
 * captured CUDA graph never goes stale. */
typedef struct asd_step {
    int64_t  step; /* optimiser steps taken before this one */
    uint64_t seed;
    float    lr;
} asd_step;

typedef struct asd_op     asd_op;
typedef struct asd_stream asd_stream;

/* A recorded op, before memory exists. `infer` reads in[] and fills the rest. */
typedef struct asd_node {
    const asd_op *op;
    const void
            *attr; /* the op's attribute struct, NULL if it has none; lives as long as the tape */
    int      n_in;
    asd_spec in[ASD_MAX_IN];
    asd_spec y;
    size_t   saved_bytes;                    /* written by fwd, read by bwd */
    size_t   fwd_work_bytes, bwd_work_bytes; /* scratch of one call */
} asd_node;

/* One entry of a plan: everything a kernel needs, addresses fixed. */
typedef struct asd_call {
    const asd_op   *op;
    const void     *attr;
    int             n_in;
    int             training;
    asd_tensor      x[ASD_MAX_IN];
    unsigned char   acc[ASD_MAX_IN];
    asd_tensor      y;
    void           *saved;
    void           *work;
    void           *state; /* made by op->prepare, freed by op->release */
    const asd_step *step;
    asd_stream     *stream; /* cuda/gpu.h; NULL on the CPU */
} asd_call;

typedef asd_status (*asd_kernel)(const asd_call *c);

/* How a test or a benchmark fills an input. */
typedef enum asd_fill {
    ASD_FILL_NORMAL,   /* mean 0.3, standard deviation 1: not centred, so that means matter */
    ASD_FILL_POSITIVE, /* uniform in [0.5, 1.5] */
    ASD_FILL_INDEX,    /* whole numbers 0 .. index_limit-1 */
    ASD_FILL_PCM,      /* tones and noise as samples; full scale is 1, or 32767 in int16 */
} asd_fill;

typedef struct asd_case {
    const char *name; /* "B=256,C=640,O=128"; ends the list when NULL */
    int         n_in;
    asd_spec    in[ASD_MAX_IN];
    asd_fill    fill[ASD_MAX_IN];
    int64_t     index_limit;
    const void *attr;
    int         inference; /* run with training = 0; then only the forward is checked */
    int         bench;     /* 1: a benchmark shape, too large for finite differences; 2: one for
                            * GPUs, too large for a CPU's tests and benchmarks */
} asd_case;

/* bits of asd_op.keeps */
#define ASD_KEEPS_X(k) (1u << (k))
#define ASD_KEEPS_Y (1u << 16)

struct asd_op {
    const char *name;
    int         min_in, n_in; /* fewest and most inputs */
    asd_status (*infer)(asd_node *n);
    asd_kernel fwd[ASD_NBACKENDS]; /* [ASD_CPU] must exist */
    asd_kernel bwd[ASD_NBACKENDS]; /* all NULL: a gradient may not pass */
    /* once at plan time, may allocate c->state; NULL if nothing to do */
    asd_status (*prepare[ASD_NBACKENDS])(asd_call *c);
    void (*release[ASD_NBACKENDS])(asd_call *c); /* frees c->state; NULL if there is none */
    unsigned keeps;                              /* what bwd reads of the forward besides `saved` */
    unsigned no_grad;    /* bit k: input k has no gradient (indices, running statistics) */
    unsigned updates;    /* bit k: training fwd writes input k in place (running statistics) */
    unsigned bf16;       /* bit k: input k may be ASD_BF16. A bf16 run of a case makes all of them
                          * bf16; y takes the dtype that infer says */
    asd_kernel cpu_bf16; /* forward on the CPU of tensors in bf16; NULL: fwd[ASD_CPU] runs on fp32
                          * copies (cpu_bf16.h) */
    size_t (*cpu_bf16_work)(const asd_node *n); /* bytes of c->work for that; NULL: as for fwd */
    double (*flops)(const asd_node *n, int backward); /* for benchmarks; NULL = memory only */
    double (*bytes)(const asd_node *n, int backward); /* memory traffic at the least; NULL = every
                                                       * input, output and gradient once */
    int roundings; /* of an input's value, and of tables, before anything is summed: what the limits
                    * of tests allow for. 0: one for floats, none for integers */
    const asd_case *cases;
};

/* Every op of ops.def, ended by NULL. */
extern const asd_op *const asd_ops[];
const asd_op              *asd_op_find(const char *name); /* NULL if unknown */

#define OP(name)                                                                                   \
    extern const asd_op asd_op_##name;                                                             \
    asd_status          name##_fwd_cuda(const asd_call *c);                                        \
    asd_status          name##_bwd_cuda(const asd_call *c);
#include "kernels/ops.def"
#undef OP

/* The CUDA function of a descriptor, or NULL in a build without CUDA, which needs no stubs so. */
#ifdef ASD_WITH_CUDA
#define ASD_CUDA_FN(f) f
#else
#define ASD_CUDA_FN(f) NULL
#endif

/* --- attributes --- */

typedef struct asd_batchnorm_attr {
    float eps;      /* added to the (biased) variance */
    float momentum; /* new running value = (1 - momentum) old + momentum batch */
    int   relu;     /* 1: y = max(y, 0) at the end, with the bits of a relu op behind this one */
} asd_batchnorm_attr;

typedef struct asd_mse_attr {
    int64_t groups; /* 0: one mean over everything; else the first dimension, and a mean for each */
} asd_mse_attr;

typedef struct asd_frame_stack_attr {
    int64_t stack; /* consecutive frames in one row */
} asd_frame_stack_attr;

typedef struct asd_layernorm_attr {
    float eps;   /* added to the variance, > 0 */
    float alpha; /* factor of the residual */
} asd_layernorm_attr;

typedef struct asd_softmax_attr {
    float scale; /* of x, > 0 */
} asd_softmax_attr;

typedef struct asd_dropout_attr {
    float    drop_prob; /* 0 <= p < 1 */
    uint64_t stream;    /* another one for every dropout of a network */
} asd_dropout_attr;

typedef struct asd_l2norm_attr {
    float eps; /* rows shorter than this are divided by it, > 0 */
} asd_l2norm_attr;

typedef struct asd_add_attr {
    float alpha; /* factor of the second input */
} asd_add_attr;

typedef struct asd_posconv_attr {
    int64_t groups; /* of channels, each convolved by itself */
} asd_posconv_attr;

typedef struct asd_patches_attr {
    int64_t pt, pf;    /* frames and mel bins of a patch */
    int     mel_major; /* where frame i and bin j are in a patch: 0: i pf + j; 1: j pt + i */
    int     bf16;      /* 1: y is bf16 whatever x is */
} asd_patches_attr;

typedef struct asd_tokens_attr {
    int cls; /* tokens in front that are the same for every clip: 0 or 1 */
} asd_tokens_attr;

typedef struct asd_take_attr {
    int64_t first, n; /* tokens first .. first + n - 1 */
} asd_take_attr;

typedef struct asd_bandmean_attr {
    int64_t bands; /* consecutive tokens of one mean */
} asd_bandmean_attr;

typedef struct asd_meanstd_attr {
    float eps; /* in the gradient, deviations smaller than this divide as this, > 0 */
} asd_meanstd_attr;

typedef struct asd_gem_attr {
    float p;   /* power, >= 1 */
    float eps; /* smaller values count as this and have no gradient, > 0 */
} asd_gem_attr;

typedef struct asd_cast_attr {
    asd_dtype to;         /* ASD_F32 or ASD_BF16 */
    float     grad_scale; /* dx = grad_scale dy; 1 for the true gradient */
} asd_cast_attr;

typedef struct asd_affine_attr {
    float eps; /* added to the variance, > 0 */
} asd_affine_attr;

enum { ASD_LORA_TARGETS = 3 };

typedef struct asd_lora_attr {
    float   scale;
    int     n_targets;
    int64_t offset[ASD_LORA_TARGETS]; /* first column of each target; they do not overlap */
} asd_lora_attr;

/* How CUDA makes the spectrum. The fused kernel knows n_fft = 64, 128, .. 4096; AUTO takes it for
 * those and cuFFT for every other length. The other two are for tests and benches. */
enum { ASD_LOGMEL_AUTO, ASD_LOGMEL_FUSED, ASD_LOGMEL_CUFFT };

typedef struct asd_logmel_attr {
    int64_t n_fft, hop_samples, n_mels;
    double  rate_hz, fmin_hz, fmax_hz;
    double  floor;  /* smallest mel power that is told apart: 2.220446049250313e-16 */
    int     method; /* ASD_LOGMEL_AUTO ..; the CPU has but one */
} asd_logmel_attr;

/* Which kernels CUDA takes: the portable ones; or those for compute capability 9.0, bf16 and heads
 * of width 64, refused where they cannot run (of clips longer than kernels/attention.h says, the
 * backward is the portable one). AUTO: the portable ones, unless the environment says
 * ASD_ATTENTION=hopper and the others suit. */
enum { ASD_ATTENTION_AUTO, ASD_ATTENTION_PORTABLE, ASD_ATTENTION_HOPPER };

/* Attention inside each clip, see kernels/attention.c. */
typedef struct asd_attention_attr {
    int64_t heads;
    int     masked;                /* 1: input lengths; keys behind a clip's length do not count */
    int     gated;                 /* 1: inputs of the gated position bias */
    int64_t buckets, max_distance; /* of the bias: 320 and 800 for BEATs */
    int     method;                /* ASD_ATTENTION_AUTO ..; the CPU has but one */
} asd_attention_attr;

/* Frames of a centred STFT: 1 + floor(S / hop). */
int64_t asd_logmel_frames(const asd_logmel_attr *a, int64_t samples);

/* Kaldi's fbank: 16 kHz, frames of 400 samples every 160 that fit into the clip, pre-emphasis 0.97,
 * bands from 20 to 8000 Hz, floor 2^-23. */
enum { ASD_WINDOW_POVEY, ASD_WINDOW_HANN };

typedef struct asd_fbank_attr {
    int     window;   /* ASD_WINDOW_POVEY or ASD_WINDOW_HANN, both symmetric */
    double  in_scale; /* factor of samples in [-1, 1): 32768 for BEATs, 1 for EAT and SSLAM */
    int64_t n_mels;
    double  mean, divisor; /* y = (ln energy - mean) / divisor */
    int64_t frames;        /* 0: those that fit; else cut to so many, or zeros put behind, which are
                            * normalised like the rest */
} asd_fbank_attr;

/* 1 + floor((S - 400) / 160), or 0 for a clip shorter than one frame. */
int64_t asd_fbank_frames(int64_t samples);

/* torchaudio's mel spectrogram in decibels at 16 kHz: centred, reflected at the borders. */
typedef struct asd_meldb_attr {
    int64_t n_fft, hop_samples, n_mels;
    double  fmin_hz, fmax_hz;
    double  top_db; /* nothing is more than this below the clip's loudest value */
    int64_t frames; /* 0: 1 + floor(S / hop); else at least as many, zeros (dB) behind */
} asd_meldb_attr;

#ifdef __cplusplus
}
#endif
#endif
