/* score_rows.h - the rows that detectors on embeddings work on: the files of a run's streams,
 * joined with the clips of a data set by name.
 */
#ifndef ASD_TOOLS_SCORE_ROWS_H
#define ASD_TOOLS_SCORE_ROWS_H

#include "data/dataset.h"
#include "data/embed_h5.h"
#include "data/streams.h"
#include "detect/embedding.h"

/* An embedding file, open. {.name} is not opened. */
typedef struct score_file {
    char           *name;  /* of the stream; not owned */
    asd_embeddings  whole; /* N 0: not read whole */
    asd_embed_file *file;  /* NULL: read whole */
} score_file;

/* Opens RUN/embed/NAME.h5, run: its folder. ASD_E_DATA: not there, not finished (the message says
 * how to embed by `recipe`, a path), or made otherwise than `parsed` says now. */
asd_status score_file_open(const asd_embed_stream *parsed, const char *run, const char *recipe,
                           score_file *f);
void       score_file_close(score_file *f);
const asd_embeddings *score_file_head(const score_file *f); /* of an open one */

/* Clips of one machine and section. The data set must outlive it. */
typedef struct score_group {
    const asd_machine *machine;
    int                section;
    char               key[320]; /* "fan.section_00" */
    const asd_clip   **train, **test;
    int64_t            n_train, n_test;
    unsigned char     *is_target; /* (n_train) 0 or 1 */
} score_group;
/* only: the test clips of this file name alone; NULL: all. Clear on any return. */
asd_status score_group_make(const asd_machine *m, int section, const char *only, score_group *g);
void       score_group_clear(score_group *g);

/* Rows of a group's training or test clips, of each stream of a pipeline. */
typedef struct score_rows {
    asd_clip_rows x[ASD_MAX_STREAMS];
    float        *own[ASD_MAX_STREAMS];
    int64_t      *length[ASD_MAX_STREAMS];
    char        **name; /* of the clips */
} score_rows;
/* file: of all streams of the recipe, those of p open. ASD_E_DATA names a clip without a row. Clear
 * on any return. */
asd_status score_rows_read(score_file *file, const asd_pipeline *p, const score_group *g, int test,
                           score_rows *out);
void       score_rows_clear(score_rows *r);
/* What asd_pipeline_fit takes of a group's training rows. */
asd_train_rows score_train_rows(const score_group *g, const score_rows *train, int n_streams,
                                uint64_t seed);

#endif
