/* audit_set.h - a data set and its embeddings once more, under other names, in another order, or
 * less of it: what `asd-eval audit` scores again.
 */
#ifndef ASD_TOOLS_AUDIT_SET_H
#define ASD_TOOLS_AUDIT_SET_H

#include "base/cfg.h"
#include "data/dataset.h"

/* A test clip of the original set and what it is called in a copy. */
typedef struct audit_clip {
    const asd_machine *machine;
    const asd_clip    *clip;
    char               name[256]; /* in the copy */
    double             order;     /* random: where it stands among its machine's */
} audit_clip;

typedef enum audit_naming {
    AUDIT_OPAQUE,   /* section_00_0000.wav: numbers in a random order */
    AUDIT_LABELLED, /* labels and domains drawn at random, not looked up */
    AUDIT_REVERSED, /* numbers in the reverse of the original names' order */
} audit_naming;

/* The test clips of all machines, at most per_machine of each (0: all), spread over the machine's.
 * *out: (*n), owned. */
asd_status audit_choose(const asd_dataset *data, int64_t per_machine, audit_clip **out, int64_t *n);
/* Fills clip[].name. seed: of what is random. */
void audit_name(audit_clip *clip, int64_t n, audit_naming naming, uint64_t seed);

/* FOLDER/MACHINE/train and FOLDER/MACHINE/test: links to the training clips under their own names
 * and to the n test clips under their new ones. Replaces what is there. Machines without a test
 * clip are left out. */
asd_status audit_link(const asd_dataset *data, const audit_clip *clip, int64_t n,
                      const char *folder);

/* How test clips are embedded again. */
typedef struct audit_embedder {
    const asd_recipe      *recipe;
    const asd_recipe_args *args; /* --data, --device, --precision as given */
    const char            *weights;
    int64_t                batch;
} audit_embedder;

/* Embeds the n test clips alone, from their audio, under their new names: RUN/embed/STREAM.h5. */
asd_status audit_embed(const audit_clip *clip, int64_t n, const audit_embedder *how,
                       const char *run);

/* RUN/embed/STREAM.h5 for the copy, of every stream there is: training rows from REFERENCE/embed;
 * test rows from AGAIN/embed, where they have their new names, or with `again` NULL the reference's
 * under new names. */
asd_status audit_rows(const audit_clip *clip, int64_t n, const char *reference, const char *again,
                      const char *run);

#endif
