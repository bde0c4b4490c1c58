/* detector.h - the table of detectors (detectors.def), and how a recipe names one.
 *
 * A row of the table is one of three kinds, told by which functions it has:
 *   on residuals   fit, score: what an autoencoder fails to reconstruct (residual.h)
 *   on rows        fit_rows, score_rows: embeddings of clips (embedding.h)
 *   a step         fit_map, map: embeddings to other embeddings, before a detector on rows
 * Larger scores are stranger, in all of them; a clip's score never depends on the other scored
 * clips.
 */
#ifndef ASD_DETECT_DETECTOR_H
#define ASD_DETECT_DETECTOR_H

#include "base/opt.h"
#include "cuda/gpu.h"

#include <stdint.h>
#include <stdio.h>

typedef struct asd_residuals      asd_residuals;      /* residual.h */
typedef struct asd_residual_stats asd_residual_stats; /* residual.h */
typedef struct asd_clip_rows      asd_clip_rows;      /* embedding.h */
typedef struct asd_train_rows     asd_train_rows;     /* embedding.h */
typedef struct asd_rows_task      asd_rows_task;      /* on_device.h */
typedef struct asd_saved          asd_saved;          /* saved.h */

typedef struct asd_detector asd_detector;
struct asd_detector {
    const char    *name;
    const char    *about;
    const asd_opt *params; /* ends with key NULL */
    size_t         params_bytes, state_bytes;
    void (*clear)(void *state); /* of any kind */

    /* --- on residuals. In all fits state points at zeroed memory of state_bytes. --- */
    asd_status (*fit)(void *state, const void *params, const asd_residual_stats *stats,
                      const char *what);
    /* Rows of other clips are never seen. A residual that is not finite gives a score that is not
     * finite: the caller knows the clip's name. */
    asd_status (*score)(const void *state, const asd_residuals *r, double *score);
    /* values that the official batch rule fits its threshold to */
    void (*batches)(const asd_residual_stats *stats, const float **values, int64_t *n);

    /* --- on rows --- */
    int min_streams, max_streams; /* that the detector tells apart; max 1: several are joined */
    int many_rows;                /* a clip may have several rows; else exactly one */
    /* loo: (n, 2) scores of the training clips, each as if it had not been there, one column per
     * head; *heads: 2 = the columns are distances to the source and to the target domain, 1 = the
     * first column alone counts, the same for both domains. A clip that was its domain's only one
     * has INFINITY there. */
    asd_status (*fit_rows)(void *state, const void *params, const asd_train_rows *train,
                           const char *what, double *loo, int *heads);
    /* score: (n, 2) */
    asd_status (*score_rows)(const void *state, const asd_clip_rows *stream, double *score);

    /* On rows, and a step: what fit left, field by field; loading, state points at zeroed memory
     * (saved.h). */
    void (*fields)(void *state, const void *params, asd_saved *v);

    /* --- on rows, of many machines at once on a device; NULL: on the CPU alone --- */
    /* NULL: these parameters have a device form. Else what has none: "distance=euclidean". */
    const char *(*device_lacks)(const void *params);
    /* fit_rows and score_rows of n machines, all of D columns, one row a clip. What comes out is
     * theirs up to rounding, and a machine or a clip has the same bits alone and in company. A
     * machine that the device cannot do is left with task->left saying why: it is the CPU's then.
     */
    asd_status (*run_device)(const void *params, asd_rows_task *task, int64_t n, asd_stream *s);

    /* --- a step --- */
    asd_status (*fit_map)(void *state, const void *params, const asd_train_rows *train,
                          const char *what);
    int64_t (*map_width)(const void *state, int stream); /* columns of its output */
    /* out: (n, rows, width) */
    asd_status (*map)(const void *state, int stream, const asd_clip_rows *in, float *out);
};

extern const asd_detector *const asd_detectors[]; /* rows of detectors.def, ended by NULL */

/* A detector or step as a recipe names it: `mse` or `selective_mahalanobis(mode=framewise)`. */
typedef struct asd_detector_use {
    const asd_detector *detector;
    void               *params; /* owned */
    void               *state;  /* owned; NULL before fit */
    char label[128]; /* name of its score folder: the name, then non-default parameters as
                        -key-value */
} asd_detector_use;

/* One `name(key=value, ...)` of `text` from *p on; *p then stands after it and the spaces behind. A
 * lone number in the brackets is the value of the first parameter: pca(128). ASD_E_CONFIG with the
 * position in `text` and the nearest name. Call asd_detector_clear on any return. */
asd_status asd_detector_parse_at(const char *text, const char **p, asd_detector_use *out);
/* The whole of `text`, which must be a detector on residuals. */
asd_status asd_detector_parse(const char *text, asd_detector_use *out);
/* Skips spaces; copies a word of [A-Za-z0-9_.+-] and returns what follows it and spaces. */
const char *asd_detector_word(const char *p, char *out, size_t size);
/* "detector TEXT: want WHAT at character N" */
asd_status asd_detector_expected(const char *text, const char *at, const char *what);
/* All of a recipe's list, to find a slip of the pen before hours of training; the same detector
 * twice is an error too. */
asd_status asd_detectors_check(char *const *text, int64_t n);
/* One entry per detector with its parameters, for --list-detectors. */
void asd_detectors_list(FILE *out);
/* A fresh state, after clearing the one before. ASD_E_OOM names `what`. */
asd_status asd_detector_new_state(asd_detector_use *d, const char *what);
void       asd_detector_drop_state(asd_detector_use *d);
asd_status asd_detector_fit(asd_detector_use *d, const asd_residual_stats *stats, const char *what);
void       asd_detector_clear(asd_detector_use *d);

#endif
