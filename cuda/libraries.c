/* libraries.c - see libraries.h. */
#include "cuda/libraries.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Library versions as their headers count them: CUBLAS_VERSION, CUFFT_VERSION, CUDNN_VERSION,
 * NCCL_VERSION_CODE. cuDNN 9 and NCCL 2 serve several CUDA versions; cuBLASLt and cuFFT keep their
 * interface over the two that are named. */
const asd_library_spec asd_cublaslt_spec = {
    .name         = "cuBLASLt",
    .sonames      = {"libcublasLt.so.13", "libcublasLt.so.12"},
    .version      = "cublasLtGetVersion",
    .major_unit   = 10000,
    .oldest_major = 12,
    .pip_folder   = "cublas",
    .install      = "it is part of the CUDA toolkit; without root: pip install nvidia-cublas",
};
const asd_library_spec asd_cufft_spec = {
    .name               = "cuFFT",
    .sonames            = {"libcufft.so.12", "libcufft.so.11"},
    .version            = "cufftGetVersion",
    .version_by_pointer = 1,
    .major_unit         = 1000,
    .oldest_major       = 11,
    .pip_folder         = "cufft",
    .install            = "it is part of the CUDA toolkit; without root: pip install nvidia-cufft",
};
const asd_library_spec asd_cudnn_spec = {
    .name         = "cuDNN",
    .sonames      = {"libcudnn.so.9"},
    .version      = "cudnnGetVersion",
    .major_unit   = 10000,
    .oldest_major = 9,
    .pip_folder   = "cudnn",
    .install      = "see developer.nvidia.com/cudnn; without root: pip install nvidia-cudnn-cu13",
};
const asd_library_spec asd_nccl_spec = {
    .name               = "NCCL",
    .sonames            = {"libnccl.so.2"},
    .version            = "ncclGetVersion",
    .version_by_pointer = 1,
    .major_unit         = 10000,
    .oldest_major       = 2,
    .pip_folder         = "nccl",
    .install = "see developer.nvidia.com/nccl; without root: pip install nvidia-nccl-cu13",
};

/* What was tried so far, as text for the message. */
typedef struct search {
    const asd_library_spec *spec;
    void                   *handle;
    char                    places[1024];
    char                    problem[512]; /* of a file that is there and cannot be opened */
} search;

static void note_place(search *s, const char *place)
{
    size_t used = strlen(s->places);
    snprintf(s->places + used, sizeof s->places - used, "%s%s", used ? ", " : "", place);
}

/* A file that is not there is no news; one that is there and cannot be opened is. A name without
 * '/' is looked for by the dynamic linker, whose text begins with the name when it found none. */
static int try_file(search *s, const char *path)
{
    s->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (s->handle)
        return 1;
    const char *text = dlerror();
    int         is_there =
        strchr(path, '/') ? !access(path, F_OK) : text && strncmp(text, path, strlen(path));
    if (is_there)
        snprintf(s->problem, sizeof s->problem, "%.500s", text ? text : path);
    return 0;
}

static int try_names(search *s, const char *folder)
{
    char path[PATH_MAX];
    for (int i = 0; s->spec->sonames[i]; ++i) {
        int n = snprintf(path, sizeof path, "%s%s%s", folder ? folder : "", folder ? "/" : "",
                         s->spec->sonames[i]);
        if (n < (int)sizeof path && try_file(s, path))
            return 1;
    }
    return 0;
}

static int try_folder(search *s, const char *root, const char *leaf)
{
    char path[PATH_MAX];
    if (!root || !*root || snprintf(path, sizeof path, "%s%s", root, leaf) >= (int)sizeof path)
        return 0;
    note_place(s, path);
    return try_names(s, path);
}

static int try_pattern(search *s, const char *root, const char *leaf)
{
    glob_t found;
    char   path[PATH_MAX];
    int    done = 0;
    if (!root || !*root || snprintf(path, sizeof path, "%s%s", root, leaf) >= (int)sizeof path)
        return 0;
    note_place(s, path);
    if (!glob(path, GLOB_ONLYDIR, NULL, &found))
        for (size_t i = 0; i < found.gl_pathc && !done; ++i)
            done = try_names(s, found.gl_pathv[i]);
    globfree(&found);
    return done;
}

static int find(search *s)
{
    char        pip[PATH_MAX];
    const char *only = getenv("ASD_CUDA_LIBRARIES"), *python = getenv("VIRTUAL_ENV");
    if (only && *only)
        return try_folder(s, only, "");
    note_place(s, "the dynamic linker's path");
    if (try_names(s, NULL))
        return 1;
    static const char *const roots[] = {"CUDA_HOME", "CUDA_PATH"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; ++i)
        if (try_folder(s, getenv(roots[i]), "/lib64") || try_folder(s, getenv(roots[i]), "/lib"))
            return 1;
    if (try_folder(s, "/usr/local/cuda", "/lib64") || try_folder(s, "/usr/local/cuda", "/lib") ||
        try_folder(s, getenv("CONDA_PREFIX"), "/lib"))
        return 1;
    snprintf(pip, sizeof pip, "/lib/python3*/site-packages/nvidia/%s/lib", s->spec->pip_folder);
    return try_pattern(s, python, "/lib/python3*/site-packages/nvidia/cu1*/lib") ||
           try_pattern(s, python, pip);
}

/* The number that the library itself tells; 0 when it tells none. */
static long ask_version(const asd_library_spec *spec, void *handle)
{
    size_t (*plain)(void);
    int (*by_pointer)(int *);
    int   number = 0;
    void *symbol = dlsym(handle, spec->version);
    if (!symbol)
        return 0;
    /* ISO C has no cast from object to function */
    if (spec->version_by_pointer) {
        memcpy(&by_pointer, &symbol, sizeof by_pointer);
        return by_pointer(&number) ? 0 : number;
    }
    memcpy(&plain, &symbol, sizeof plain);
    return (long)plain();
}

asd_status asd_library_open(const asd_library_spec *spec, asd_library *out)
{
    search s = {.spec = spec};
    char   names[256];
    size_t used = 0;
    *out        = (asd_library){.spec = spec};
    if (!find(&s)) {
        for (int i = 0; spec->sonames[i]; ++i)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                     spec->sonames[i]);
        return ASD_FAIL(ASD_E_DEVICE, "%s is needed and was not found: looked for %s in %s%s%s; %s",
                        spec->name, names, s.places, *s.problem ? "; " : "", s.problem,
                        spec->install);
    }
    long version = ask_version(spec, s.handle), unit = spec->major_unit;
    snprintf(out->version, sizeof out->version, "%ld.%ld.%ld", version / unit, version % unit / 100,
             version % 100);
    if (version / unit < spec->oldest_major) {
        dlclose(s.handle); /* nothing of it has run */
        return ASD_FAIL(ASD_E_DEVICE, "%s %s was found, this program needs %d.0 or later; %s",
                        spec->name, version ? out->version : "of no known version",
                        spec->oldest_major, spec->install);
    }
    out->handle = s.handle;
    return ASD_OK;
}

asd_status asd_library_function(const asd_library *l, const char *name, void **out)
{
    *out = dlsym(l->handle, name);
    if (!*out)
        return ASD_FAIL(ASD_E_DEVICE, "%s %s has no function %s; %s", l->spec->name, l->version,
                        name, l->spec->install);
    return ASD_OK;
}

const char *asd_library_versions(char *buf, size_t size)
{
    static const asd_library_spec *const all[] = {&asd_cublaslt_spec, &asd_cufft_spec,
                                                  &asd_cudnn_spec, &asd_nccl_spec};
    size_t                               used  = 0;
    if (size)
        *buf = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all && used < size; ++i) {
        asd_library l;
        asd_status  st = asd_library_open(all[i], &l);
        used += (size_t)snprintf(buf + used, size - used, "%s%s %s", i ? ", " : "", all[i]->name,
                                 st ? "not found" : l.version);
    }
    return buf;
}
