/* encoder.h - BEATs, EAT, SSLAM and Dasheng: one description, one transformer block, one loader.
 *
 *   asd_encoder     *e;
 *   asd_encoder_run *r;
 *   asd_encoder_open(NULL, "BEATs_iter3_plus_AS2M.pt", &e);            finds the kind out
 *   asd_encoder_plan(e, 8, 160000, (int[]){12}, 1, ASD_POOL_MEAN, NULL, 0, &r);
 *   asd_encoder_forward(r, samples, out);                 samples: (8, 160000)  out: (8, 1, 1, 768)
 *
 * Layers are counted from 1, as papers do: layer l is the output of block l, and 0 is what enters
 * the first block. In networks that end with a norm (Dasheng) it belongs to the last layer.
 *
 * The samples of a clip give the same bits in any batch. Tokens of one clip: n_cls class tokens,
 * then P = (T / patch_t) x bands patches, time slow and frequency fast.
 *
 * Ownership: an encoder must outlive its runs; a stream must outlive the encoder that was planned
 * on it. A run is for one thread at a time; several runs of one encoder share its weights.
 *
 * Specification: BEATs (Chen et al., ICML 2023), EAT (Chen et al., IJCAI 2024), SSLAM (Alex et al.,
 * ICLR 2025), Dasheng (Dinkel et al., Interspeech 2024).
 */
#ifndef ASD_MODELS_ENCODER_H
#define ASD_MODELS_ENCODER_H

#include "nn/plan.h"

#include <stdint.h>

enum { ASD_ENCODER_RATE_HZ = 16000, ASD_ENCODER_MAX_DEPTH = 48 };

/* Front-ends; their versions are nn/front_end.h's. */
enum { ASD_FRONT_FBANK, ASD_FRONT_MELDB };
/* What stands for the place of a token. */
enum { ASD_POS_SINCOS, ASD_POS_LEARNED, ASD_POS_CONV };
/* The last, shorter chunk of a clip longer than chunk_tokens: alone as it is, or behind it zeros up
 * to a whole chunk, which attention sees (older Dasheng packages and its Hugging Face port). */
enum { ASD_TAIL_SHORT, ASD_TAIL_PAD };

/* One value per clip (rows 1), except: */
typedef enum asd_pool {
    ASD_POOL_MEAN,    /* mean over the patch tokens, class tokens left out */
    ASD_POOL_MEANSTD, /* mean, then standard deviation: twice the width    */
    ASD_POOL_GEM,     /* (mean max(x, 1e-6)^3)^(1/3)                        */
    ASD_POOL_CLS,     /* the class token; ASD_E_CONFIG without one         */
    ASD_POOL_NONE,    /* all tokens, class token first: rows n_cls + P     */
    ASD_POOL_TIME,    /* mean over the bands of a time patch: rows P/bands */
    ASD_POOL_HEAD,    /* AudioSet probabilities of a fine-tuned checkpoint: head_classes wide */
    ASD_NPOOLS
} asd_pool;
const char *asd_pool_name(asd_pool p); /* "mean", "meanstd", "gem", "cls", "none", "time", "head" */

typedef struct asd_encoder_desc {
    const char *kind; /* a row of models.def: "beats" */

    /* front-end: samples (B, S) in [-1, 1] -> features (B, T, n_mels) */
    int     front;
    int     window; /* ASD_WINDOW_ of fbank */
    double  in_scale;
    int64_t n_mels;
    double  mean, divisor;
    int64_t frames;          /* fixed T (padded or cut); 0: by the next */
    int64_t frames_multiple; /* T is rounded up to a multiple; 0: all whole frames */
    float   norm_in_eps;     /* frozen batch normalisation of the mels (Dasheng); 0: none */

    /* patches -> tokens (B, P, dim) */
    int64_t patch_t, patch_f, patch_dim;
    int     mel_major, patch_bias;
    int     patch_norm; /* norm and projection patch_dim -> dim behind the patches (BEATs) */

    /* places, class token, norm before the first block */
    int     pos;
    int64_t pos_rows; /* tokens with a place: longer clips are an error, or chunked; 0: any */
    int64_t conv_taps, conv_groups;
    int     n_cls, norm_blocks;

    /* blocks */
    int     depth;
    int64_t dim, heads, mlp;
    int     pre_norm; /* else post-norm */
    float   eps, skip_alpha;
    int64_t buckets, max_distance; /* gated relative positions; 0: none */
    int     norm_final;

    /* length */
    int64_t chunk_tokens; /* longer clips are cut into independent pieces; 0: never */
    int     chunk_tail;

    /* classifier of a fine-tuned checkpoint */
    int64_t head_classes; /* 0: none */
    float   head_norm_eps;

    /* training. Dropout is 0 unless a recipe says otherwise, whatever the checkpoint was made with.
     * lora_targets: see asd_lora_target. frozen: only adapters learn, everything else has neither
     * gradient nor moments. */
    float    grad_decay; /* gradient x this at the input of every block; 1: off */
    float    drop_prob;  /* behind the projection of attention, behind the MLP, before block 1 */
    int64_t  lora_rank;
    float    lora_scale; /* lora_alpha / rank */
    unsigned lora_targets;
    int      frozen;
} asd_encoder_desc;

enum { /* bits of lora_targets, and the module that PEFT calls them by */
       ASD_LORA_Q   = 1,
       ASD_LORA_K   = 2,
       ASD_LORA_V   = 4, /* q_proj, k_proj, v_proj, each with a pair of its own */
       ASD_LORA_QKV = 8, /* one pair for the fused qkv */
};

/* The description that a row of models.def has by default (full size, no head), or ASD_E_CONFIG
 * naming the rows. tiny: 2 blocks, 64 wide, 2 heads, mlp 128; everything else as in the original.
 */
asd_status asd_encoder_default(const char *kind, int tiny, asd_encoder_desc *out);

typedef struct asd_encoder asd_encoder;

/* Reads a checkpoint: kind NULL finds out which encoder it is by its tensors' names. Strict:
 * missing, unexpected and misshapen names are listed (ASD_E_DATA). weights: any format of
 * nn/weights.h. What the file holds as the encoder needs it (nn/params.h: mapped) is used where it
 * lies: the file stays mapped until asd_encoder_close, and must not be written to. */
asd_status asd_encoder_open(const char *kind, const char *weights_path, asd_encoder **out);
/* Random weights, for smoke runs and tests. The kinds tiny_beats, tiny_eat .. are those of `tiny`.
 */
asd_status asd_encoder_random(const char *kind, int tiny, uint64_t seed, asd_encoder **out);
/* By a description of the caller's, all weights zero: for asd_encoder_params. */
asd_status asd_encoder_new(const asd_encoder_desc *d, asd_encoder **out);
void       asd_encoder_close(asd_encoder *e);

/* Adds a LoRA adapter in PEFT's format into the weights: an adapter_model.safetensors, or a folder
 * with it and adapter_config.json beside it (needed for the scale). Before the first plan. */
asd_status asd_encoder_merge_adapter(asd_encoder *e, const char *path);
/* How many frames a clip is padded or cut to; one of the two, the other 0. Before the first plan.
 */
asd_status asd_encoder_set_frames(asd_encoder *e, int64_t frames, int64_t multiple);
asd_status asd_encoder_set_chunk_tail(asd_encoder *e, int chunk_tail);

const asd_encoder_desc *asd_encoder_describe(const asd_encoder *e);
/* Values of an encoder that was opened from a file: asd_params_peek, and asd_params_own to write.
 */
asd_params *asd_encoder_params(asd_encoder *e);
/* SHA-256 of the weights file in hexadecimal, "+" and that of each adapter behind it; for random
 * weights "random-KIND-SEED". */
const char *asd_encoder_hash(const asd_encoder *e);
/* Everything about an encoder that changes its output, as text: kind, front-end, lengths, hash.
 * Part of a cache's key. */
const char *asd_encoder_key(const asd_encoder *e);

int64_t asd_encoder_bands(const asd_encoder_desc *d);                   /* tokens of a time patch */
int64_t asd_encoder_frames(const asd_encoder_desc *d, int64_t samples); /* T that patches see */
int64_t asd_encoder_tokens(const asd_encoder_desc *d, int64_t samples); /* P, class tokens not in */
/* Shortest and longest clip (INT64_MAX: any). */
int64_t asd_encoder_min_samples(const asd_encoder_desc *d);
int64_t asd_encoder_max_samples(const asd_encoder_desc *d);

/* --- embedding --- */

typedef struct asd_encoder_run asd_encoder_run;

/* One plan for batches of B clips of S samples. layers: (n_layers), 0 .. depth, no layer twice.
 * stream NULL: CPU. bf16: activations and the weights of matrix products in bf16, sums in fp32.
 * ASD_E_CONFIG for layers, pools and lengths that the encoder does not have, with what it has. */
asd_status asd_encoder_plan(asd_encoder *e, int64_t B, int64_t S, const int *layers, int n_layers,
                            asd_pool pool, asd_stream *s, int bf16, asd_encoder_run **out);
/* samples: (B, S) in [-1, 1], or int16 / 32768   out: (B, n_layers, rows, dim) */
asd_status asd_encoder_forward(asd_encoder_run *r, const float *samples, float *out);
int64_t    asd_encoder_rows(const asd_encoder_run *r);
int64_t    asd_encoder_dim(const asd_encoder_run *r);
size_t     asd_encoder_run_bytes(const asd_encoder_run *r); /* memory besides the weights */
void       asd_encoder_run_free(asd_encoder_run *r);

/* Several layers in several poolings from one pass: (layer, pool), none twice. compute, then read
 * what is wanted; out: (B, rows of output i, its dim). */
enum { ASD_ENCODER_MAX_OUTPUTS = 128 };
typedef struct asd_encoder_output {
    int      layer;
    asd_pool pool;
} asd_encoder_output;
asd_status asd_encoder_plan_outputs(asd_encoder *e, int64_t B, int64_t S,
                                    const asd_encoder_output *outputs, int n, asd_stream *s,
                                    int bf16, asd_encoder_run **out);
asd_status asd_encoder_compute(asd_encoder_run *r, const float *samples);
asd_status asd_encoder_read(asd_encoder_run *r, int i, float *out);
int64_t    asd_encoder_output_rows(const asd_encoder_run *r, int i);
int64_t    asd_encoder_output_dim(const asd_encoder_run *r, int i);

/* --- recording, for training and for networks around an encoder --- */

/* An encoder on a tape. What the caller gives, and what comes back. */
typedef struct asd_encoder_graph {
    asd_val samples; /* (B, S) f32 or int16; given */
    asd_val lengths; /* (B) i32, tokens of each clip that are not padding
                      * (asd_encoder_valid_tokens), or ASD_NO_VAL; given. BEATs only */
    int bf16;        /* given; pooling sees fp32 again when `layer` went through asd_cast */
    int last;        /* given: blocks up to this one are recorded; 0: all */

    asd_val layer[ASD_ENCODER_MAX_DEPTH + 1]; /* (B, n_cls + P, dim) */
    asd_val features, patches;                /* (B, T, n_mels); (B, P, patch_t patch_f) */

    /* P: tokens of a clip; lengths of chunks and frames, which asd_encoder_fill writes */
    asd_val  chunk_lengths, frame_lengths;
    int64_t  B, P, chunks, tail, frames;
    int32_t *constant;
} asd_encoder_graph;

/* ASD_E_CONFIG for lengths and layers that the encoder does not have; what ops refuse is the tape's
 * (sticky). Parameters: patch, norm_patch, proj, pos_conv, pos, cls, freq, mels, norm_in,
 * rel_table, blocks.<i>.{qkv, proj, norm1, norm2, fc1, fc2, grep_w, grep_b, grep_a}, norm, and from
 * the head head_norm, head. Adapters: blocks.<i>.{q, k, v, qkv}.lora_A and .lora_B. */
asd_status asd_encoder_record(asd_tape *t, const asd_encoder_desc *d, asd_encoder_graph *g);
/* After the plan is built: constant inputs. They are on their way to the device when it returns; g
 * must stay until then. */
asd_status asd_encoder_fill(asd_encoder_graph *g, asd_plan *p);
/* Logits (B, head_classes) of the last layer. */
asd_val asd_encoder_head(asd_tape *t, const asd_encoder_desc *d, const asd_encoder_graph *g);
/* Vectors of one layer, fp32: (B, D), or (B, rows, D) for ASD_POOL_NONE and ASD_POOL_TIME. */
asd_val asd_encoder_pool(asd_tape *t, const asd_encoder_desc *d, const asd_encoder_graph *g,
                         int layer, asd_pool pool);

/* How many tokens of a clip padded from `valid` to S samples BEATs' own rule keeps: samples are
 * grouped into frames and frames into tokens by whole divisions, blind to the layout of the
 * patches. The result of a padded clip is therefore not that of the clip alone. */
int64_t asd_encoder_valid_tokens(const asd_encoder_desc *d, int64_t S, int64_t valid);

#endif
