/* info.h - parts of asd-info. */
#ifndef ASD_TOOLS_INFO_H
#define ASD_TOOLS_INFO_H

#include "base/status.h"

#include <jansson.h>
#include <stdio.h>

/* What the program, its libraries and this machine are, as asd.info/1; new reference, NULL without
 * memory. */
json_t *info_collect(void);

/* Its member "cuda": toolkit of the build, number of devices, "note" with the reason when that is
 * 0; else driver, runtime, libraries, and "device", an array of objects: name, compute_capability,
 * multiprocessors, memory_bytes, memory_free_bytes, clocks. New reference. */
json_t *info_cuda(void);

/* The same for people: sections of "name  value" in at most 100 columns. */
void info_print(const json_t *info, FILE *out);

/* What a checkpoint holds: format, hash, settings, tensors; json: as asd.weights/1, with "tensors",
 * an array of objects name, where, dtype, shape, elements, and "settings", an object. */
asd_status info_weights(const char *path, int json, FILE *out);

#endif
