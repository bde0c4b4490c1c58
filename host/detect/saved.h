/* saved.h - a fitted pipeline in a file, and back: safetensors with a tensor a field, bit for bit
 * what fit left, so that clips can be scored where the training clips are not.
 *
 * A detector names the fields of its state once, in one function (detector.h, fields), which runs
 * when saving and when loading. Loading is strict: the file must be of the same pipeline and
 * machine, have every field in its shape and no other, and whole numbers in their ranges. After a
 * mistake the calls below do nothing more.
 */
#ifndef ASD_DETECT_SAVED_H
#define ASD_DETECT_SAVED_H

#include "detect/basis.h"

/* p fitted; what: "fan.section_00". Whole or not at all. ASD_E_IO, ASD_E_OOM. */
asd_status asd_pipeline_save(const asd_pipeline *p, const char *what, const char *path);
/* Into a parsed p, as asd_pipeline_fit leaves it; heads included. ASD_E_DATA naming the file: not
 * there, damaged, or of another pipeline or machine. On failure p is fitted to nothing. */
asd_status asd_pipeline_load(asd_pipeline *p, const char *what, const char *path);

/* --- for detectors: fields --- */

/* *x within [least, most]. */
void asd_saved_int(asd_saved *v, const char *name, int64_t *x, int64_t least, int64_t most);
/* (n) in place. */
void asd_saved_values(asd_saved *v, const char *name, double *x, int64_t n);
/* (n) that loading allocates, to be freed by free(); n at least 0. */
void asd_saved_reals(asd_saved *v, const char *name, double **x, int64_t n);
void asd_saved_floats(asd_saved *v, const char *name, float **x, int64_t n);
void asd_saved_ints(asd_saved *v, const char *name, int64_t **x, int64_t n);
/* rows, columns: that it must have when loaded; columns 0: any. */
void asd_saved_panels(asd_saved *v, const char *name, asd_panels *p, int64_t rows, int64_t columns);
/* Of rows of `columns` numbers. */
void asd_saved_basis(asd_saved *v, const char *name, asd_basis *b, int64_t columns);
/* What comes to the detector: streams, the width of one and of all joined. */
int     asd_saved_streams(const asd_saved *v);
int64_t asd_saved_width(const asd_saved *v, int stream);
int64_t asd_saved_joined(const asd_saved *v);
/* The fields named from here on are of `name`, until leave gets what enter gave. */
size_t asd_saved_enter(asd_saved *v, const char *name, int64_t index);
void   asd_saved_leave(asd_saved *v, size_t was);
/* Saving: p holds values of fields and is freed once they are written. NULL: no memory. */
void asd_saved_own(asd_saved *v, void *p);
/* 0 after a mistake: sizes read before it mean nothing then. */
int asd_saved_ok(const asd_saved *v);
int asd_saved_loads(const asd_saved *v);
/* Loading: field `name` does not fit the others. */
void asd_saved_wrong(asd_saved *v, const char *name);

#endif
