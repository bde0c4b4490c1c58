/* safetensors.h - named tensors in one file, the format that Hugging Face made: mapped, never
 * executed.
 *
 *   bytes 0-7    N, length of the header, little-endian uint64
 *   next N       JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [from, to]}, ...,
 *                       "__metadata__": {"key": "text", ...}}
 *   the rest     data, offsets counted from here; tensors cover it without gaps or overlaps
 *
 * Written under a temporary name, synced, renamed; names sorted by offset = order of addition. Data
 * starts at a multiple of 8 bytes. Files are hostile: every length, offset, shape and dtype is
 * checked before use (ASD_E_DATA).
 */
#ifndef ASD_NN_SAFETENSORS_H
#define ASD_NN_SAFETENSORS_H

#include "kernels/op.h"

/* --- writing --- */

typedef struct asd_st_entry {
    const char *name; /* owned by the caller until the file is written */
    asd_dtype   dtype;
    asd_shape   shape;
    const void *data;
} asd_st_entry;

/* The same of any type that the format has: "F64", 8 bytes an element. */
typedef struct asd_st_raw {
    const char *name;
    const char *dtype;
    size_t      element_bytes;
    int         n_dims;
    int64_t     dim[ASD_MAX_DIMS];
    const void *data;
} asd_st_raw;

/* metadata: n_meta pairs key, text. ASD_E_DATA for a name that is not UTF-8 or comes twice. */
asd_status asd_safetensors_write(const char *path, const asd_st_entry *entry, int64_t n,
                                 const char *const *metadata, int64_t n_meta);
asd_status asd_safetensors_write_raw(const char *path, const asd_st_raw *entry, int64_t n,
                                     const char *const *metadata, int64_t n_meta);

/* --- reading --- */

typedef struct asd_st_tensor {
    char       *name;
    asd_dtype   dtype;
    asd_shape   shape;
    const void *data; /* into the mapped file, aligned to nothing: copy it */
} asd_st_tensor;

typedef struct asd_safetensors {
    char          *path;
    asd_st_tensor *tensor; /* (n) */
    int64_t        n;
    void          *map;
    size_t         map_bytes;
} asd_safetensors;

/* dtypes F32, I32 and I16 are taken; others are ASD_E_DATA naming the tensor. */
asd_status asd_safetensors_open(const char *path, asd_safetensors *out);
void       asd_safetensors_close(asd_safetensors *s);
/* NULL if absent. */
const asd_st_tensor *asd_safetensors_find(const asd_safetensors *s, const char *name);
/* Copies a tensor out; ASD_E_DATA naming file and tensor when it is missing or has another dtype or
 * shape. */
asd_status asd_safetensors_get(const asd_safetensors *s, const char *name, asd_dtype dtype,
                               asd_shape shape, void *to);

#endif
