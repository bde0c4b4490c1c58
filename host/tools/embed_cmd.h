/* embed_cmd.h - the parts of asd-embed. */
#ifndef ASD_TOOLS_EMBED_CMD_H
#define ASD_TOOLS_EMBED_CMD_H

#include "base/cfg.h"
#include "cuda/gpu.h"
#include "data/embed_run.h"
#include "data/streams.h"
#include "models/encoder.h"

#include <jansson.h>

typedef struct embed_args {
    asd_recipe_args recipe;
    int             json, dry_run, force, join, list;
    char           *encoder, *weights, *adapter, *output, *shard;
    char           *how[7]; /* rows of asd_embed_how_opts as given, NULL when not */
    int64_t         batch, part_clips;
} embed_args;

/* --- embed_inputs.c: what is embedded, ascending by name --- */

typedef struct embed_inputs {
    asd_embed_clip *clip; /* (n) probed */
    int64_t         n;
} embed_inputs;

/* All clips of a data set: "fan/train/NAME.wav". machines: (n_machines) or 0 for all. */
asd_status embed_inputs_data(const char *root, char *const *machines, int64_t n_machines,
                             embed_inputs *out);
/* One data set folder, or audio files, each called as it is written on the command line. */
asd_status embed_inputs_operands(char *const *operand, int64_t n, embed_inputs *out);
void       embed_inputs_clear(embed_inputs *in); /* safe on a zeroed struct */

/* --- embed_net.c: an encoder as the embedder of a job --- */

/* Names of encoders, ends with NULL: rows of models.def, each also with tiny_ before it. */
const char *const *embed_encoder_names(void);
void               embed_list_encoders(FILE *out);

/* Opens `name` with what --weights says of it: FILE, NAME=FILE,.., a folder with NAME.pt or
 * NAME.safetensors, random, or nothing for a tiny_ one, whose weights are random from the seed.
 * alone: the only encoder of the run, for which FILE needs no name. adapter: NULL, or merged. */
asd_status embed_encoder_open(const char *name, const char *weights, const char *adapter,
                              uint64_t seed, int alone, asd_encoder **out);

typedef struct embed_net embed_net;
/* Outputs as asd_encoder_plan_outputs takes them. Plans are made as shapes come and the latest two
 * are kept. */
asd_status embed_net_new(asd_encoder *e, const asd_encoder_output *outputs, int n, int n_signals,
                         asd_stream *stream, int bf16, embed_net **out, asd_embedder *embedder);
void       embed_net_free(embed_net *net); /* safe on NULL */

/* --- embed_signal.c: what of a clip is heard --- */

/* how must outlive ear. */
asd_embed_ear embed_ear(const asd_embed_how *how);
/* Level features as an embedder: both channels in, one vector out. */
asd_embed_ear embed_level_ear(void);
asd_status    embed_level_new(asd_embedder *embedder);
void          embed_level_free(asd_embedder *embedder);
json_t       *embed_level_method(void);
/* "channel": {...} of a key's method. NULL: no memory */
json_t *embed_signal_method(const asd_embed_how *how);

/* --- embed_passes.c: streams that can share a pass through an encoder do --- */

typedef struct embed_job {
    const embed_args   *args;
    const embed_inputs *inputs;
    asd_embed_stream   *stream; /* (n) */
    char (*path)[PATH_MAX];     /* (n) */
    int64_t     n;
    int64_t     batch, shard, n_shards;
    uint64_t    seed;
    asd_gpu    *gpu; /* NULL: the CPU */
    asd_stream *gpu_stream;
    json_t     *files; /* one object a stream, in order; filled */
    int64_t     computed;
    double      seconds;
} embed_job;
asd_status embed_run_all(embed_job *j);
asd_status embed_join_all(embed_job *j);
void       embed_job_clear(embed_job *j);

/* --- embed_request.c: the streams and paths of a job, from the command line; its result --- */
asd_status embed_parse_shard(const char *text, int join, embed_job *j);
asd_status embed_parse_seed(const char *text, embed_job *j);
asd_status embed_one_stream(const embed_args *a, embed_job *j);
asd_status embed_recipe_streams(const embed_args *a, const asd_recipe *recipe, embed_job *j);
void       embed_print(const embed_args *a, const embed_job *j);

#endif
