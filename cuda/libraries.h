/* libraries.h - CUDA's libraries, opened when first used.
 *
 * A program built with CUDA must start on a machine that has none of it, so only the runtime is
 * linked (statically); cuBLASLt, cuFFT, cuDNN and NCCL are opened by name. Where they are looked
 * for, in this order:
 *   1. the folder in ASD_CUDA_LIBRARIES, if set: only there
 *   2. the dynamic linker's own places: the program's run path, LD_LIBRARY_PATH, ld.so.conf
 *   3. lib64 and lib of $CUDA_HOME, $CUDA_PATH, /usr/local/cuda; lib of $CONDA_PREFIX
 *   4. what pip put into $VIRTUAL_ENV: nvidia/cuNN/lib, nvidia/NAME/lib
 *
 * An opened library stays until the process ends: unloading one whose kernels may still run is
 * undefined. Nothing here needs a CUDA header or a GPU; it is part of every build.
 */
#ifndef ASD_CUDA_LIBRARIES_H
#define ASD_CUDA_LIBRARIES_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What to look for. sonames: best first, ended by NULL. version: a function of the library, either
 * `size_t f(void)` or, with version_by_pointer, `int f(int *)`; it counts major * major_unit +
 * minor * 100 + patch. Older than oldest_major is refused. */
typedef struct asd_library_spec {
    const char *name; /* "cuFFT" */
    const char *sonames[4];
    const char *version;
    int         version_by_pointer;
    int         major_unit, oldest_major;
    const char *pip_folder; /* of the wheels for CUDA 12: nvidia/PIP_FOLDER/lib */
    const char *install;    /* how to get it, the end of the message */
} asd_library_spec;

extern const asd_library_spec asd_cublaslt_spec; /* libcublasLt.so.13, .12 */
extern const asd_library_spec asd_cufft_spec;    /* libcufft.so.12, .11 */
extern const asd_library_spec asd_cudnn_spec;    /* libcudnn.so.9 */
extern const asd_library_spec asd_nccl_spec;     /* libnccl.so.2 */

typedef struct asd_library {
    const asd_library_spec *spec;
    void                   *handle;
    char                    version[32]; /* "12.0.0" */
} asd_library;

/* ASD_E_DEVICE: not found, or too old, with every name and place tried. Not quick (a library may
 * have 500 MB): call once, before a capture, and keep the result. */
asd_status asd_library_open(const asd_library_spec *spec, asd_library *out);
/* Address of a function; ASD_E_DEVICE names the function and the library when it has none. In C++,
 * ASD_LIBRARY_FUNCTION is the same with types. */
asd_status asd_library_function(const asd_library *l, const char *name, void **out);

/* "cuBLASLt 13.0.2, cuFFT not found, ..." of the four above into buf; returns buf. */
const char *asd_library_versions(char *buf, size_t size);

#ifdef __cplusplus
}

/* ASD_TRY(ASD_LIBRARY_FUNCTION(&l, cufftExecR2C, &table->exec)): the second is the function as its
 * header declares it, the third a pointer to a variable of its type. */
#define ASD_LIBRARY_FUNCTION(library, function, out)                                               \
    asd_library_function_of<decltype(&function)>(library, #function, out)
template <typename F>
static asd_status asd_library_function_of(const asd_library *l, const char *name, F *out)
{
    void *symbol = nullptr;
    ASD_TRY(asd_library_function(l, name, &symbol));
    *out = reinterpret_cast<F>(symbol);
    return ASD_OK;
}
#endif
#endif
