/* embedding.h - detectors on embeddings: rows of clips in, distances to what is normal out.
 *
 * A pipeline is one text of a recipe,
 *     LABEL = STREAM[, STREAM] | step(params) | detector(params)
 * LABEL names the score folder, STREAM an embedding of each clip (its file is read by the caller),
 * steps map rows to rows. A detector that takes one stream gets several joined column by column.
 *
 * Domains of training clips are known; those of scored clips are not. A detector therefore has two
 * heads, the distance to the source and to the target domain, which score/normalise.h brings to one
 * scale and takes the smaller of (systems F8).
 */
#ifndef ASD_DETECT_EMBEDDING_H
#define ASD_DETECT_EMBEDDING_H

#include "detect/detector.h"

enum { ASD_MAX_STREAMS = 4, ASD_MAX_STEPS = 8 };
enum { ASD_MAX_COLUMNS = 8192 }; /* of joined streams: four rows in double are a thread's stack */

/* n clips, each with up to `rows` vectors of D numbers: x: (n, rows, D). Owned by the caller. */
struct asd_clip_rows {
    const float   *x;
    int64_t        n, rows, D;
    const int64_t *length; /* (n) rows that a clip has, what follows is not looked at; NULL: all */
};
static inline int64_t asd_clip_length(const asd_clip_rows *x, int64_t i)
{
    return x->length ? x->length[i] : x->rows;
}

/* The training clips of one machine, in the same order in every stream. */
struct asd_train_rows {
    asd_clip_rows        stream[ASD_MAX_STREAMS];
    int                  n_streams;
    int64_t              n;
    const unsigned char *is_target; /* (n) */
    char *const         *clip;      /* (n) names for messages; NULL: numbers */
    uint64_t             seed;      /* of what is random */
};

typedef struct asd_pipeline {
    char             label[128];
    char             stream[ASD_MAX_STREAMS][64];
    int              n_streams;
    asd_detector_use step[ASD_MAX_STEPS]; /* the last one is the detector */
    int              n_steps;
    int              heads;                    /* after fit */
    int64_t          rows, D[ASD_MAX_STREAMS]; /* of the streams that it was fitted to */
} asd_pipeline;

/* ASD_E_CONFIG with the position in `text` and the nearest name: an unknown detector or parameter,
 * a last step that is no detector on rows, another before the end, too few or too many streams.
 * Call asd_pipeline_clear on any return. */
asd_status asd_pipeline_parse(const char *text, asd_pipeline *out);
/* All of a recipe's list: each is a pipeline, labels differ and none is "fused"; every stream is
 * one of `streams` (n_streams names). *out: (n), owned, each to be cleared; NULL out only checks.
 */
asd_status asd_pipelines_parse(char *const *text, int64_t n, char *const *streams,
                               int64_t n_streams, asd_pipeline **out);
/* Fits all steps. train->stream[i] is the stream that p->stream[i] names. what: "fan.section_00".
 * loo: (n, 2) leave-one-out scores of the training clips (detector.h). ASD_E_DATA: no clips, not
 * finite (naming stream and clip), a shape that the detector cannot take; ASD_E_NUMERIC: training
 * clips that are all equal. */
asd_status asd_pipeline_fit(asd_pipeline *p, const asd_train_rows *train, const char *what,
                            double *loo);
/* stream: (p->n_streams), all of the same n; clip: (n) names for messages, or NULL. score: (n, 2).
 * A clip has the same bits alone and in any company, whatever the number of threads. */
asd_status asd_pipeline_score(const asd_pipeline *p, const asd_clip_rows *stream, char *const *clip,
                              const char *what, double *score);
void       asd_pipeline_clear(asd_pipeline *p);

/* --- many machines at once on a device --- */

/* One machine: what fit and score take, and what they give. */
typedef struct asd_pipeline_task {
    asd_train_rows train;
    asd_clip_rows  stream[ASD_MAX_STREAMS]; /* clips to score */
    char *const   *clip;                    /* their names for messages, or NULL */
    const char    *what;                    /* "fan.section_00" */
    double        *loo, *score;             /* (train.n, 2), (stream->n, 2) */
    int            heads;                   /* a result too */
} asd_pipeline_task;

/* NULL: the detector, with its parameters, has a device form. Else why not: "boundary has no device
 * form", "knn(distance=euclidean) has no device form", in buf. */
const char *asd_pipeline_lacks(const asd_pipeline *p, char *buf, size_t size);
/* asd_pipeline_fit and asd_pipeline_score of n machines: steps on the CPU, the detector on the
 * device, which *done counts the machines of; the others are the CPU's, with a line at -v that says
 * why. Results are those of the CPU up to rounding; a machine or a clip has the same bits alone and
 * in any company. p is fitted to no machine afterwards. */
asd_status asd_pipeline_run(asd_pipeline *p, asd_pipeline_task *task, int64_t n, asd_stream *s,
                            int64_t *done);

/* --- for detectors --- */

/* Clips by domain. */
typedef struct asd_counts {
    int64_t n[2];
} asd_counts;
asd_counts asd_count_domains(const unsigned char *is_target, int64_t n);
/* The streams side by side: (n, 1, sum of D), each clip of one row. Free with free(). NULL: memory.
 */
float *asd_rows_join(const asd_clip_rows *stream, int n_streams, asd_clip_rows *out);

#endif
