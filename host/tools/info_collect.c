/* info_collect.c - asks every library for its version at run time, and the system for the machine.
 * A fact that cannot be had is null, never guessed.
 */
#include "tools/info.h"

#include "base/build.h"

#include <cairo.h>
#include <cblas.h>
#include <curl/curl.h>
#include <gnu/libc-version.h>
#include <hdf5.h>
#include <libfyaml.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <openssl/crypto.h>
#include <pango/pango.h>
#include <sched.h>
#include <sndfile.h>
#include <soxr.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <xxhash.h>
#include <zip.h>

/* "name: value" lines as in /proc/cpuinfo: the first line whose name is `name`, value copied to
 * buf.
 */
static int find_line(const char *path, const char *name, char separator, char *buf, size_t size)
{
    char  *line = NULL;
    size_t room = 0, length = strlen(name);
    int    found = 0;
    FILE  *f     = fopen(path, "re");
    while (f && !found && getline(&line, &room, f) > 0) {
        if (strncmp(line, name, length))
            continue;
        const char *value = line + length + strspn(line + length, " \t");
        if (*value != separator)
            continue;
        value += 1 + strspn(value + 1, " \t\"");
        snprintf(buf, size, "%.*s", (int)strcspn(value, "\"\n"), value);
        found = 1;
    }
    free(line);
    if (f)
        fclose(f);
    return found;
}

static json_t *text_or_null(const char *text)
{
    json_t *s = text ? json_string(text) : NULL; /* also NULL when not UTF-8 */
    return s ? s : json_null();
}

/* --- libraries --- */

static json_t *onednn_version(void)
{
    const dnnl_version_t *v = dnnl_version();
    return json_sprintf("%d.%d.%d", v->major, v->minor, v->patch);
}

/* "libsndfile-1.2.0" -> "1.2.0" */
static json_t *after_dash(const char *text)
{
    const char *dash = strchr(text, '-');
    return text_or_null(dash ? dash + 1 : text);
}

/* The instructions oneDNN will use: the machine's, cut by ONEDNN_MAX_CPU_ISA. */
static const char *onednn_isa(void)
{
    static const struct {
        dnnl_cpu_isa_t isa;
        const char    *name;
    } names[]          = {{dnnl_cpu_isa_sse41, "sse4.1"},
                          {dnnl_cpu_isa_avx, "avx"},
                          {dnnl_cpu_isa_avx2, "avx2"},
                          {dnnl_cpu_isa_avx2_vnni, "avx2 vnni"},
                          {dnnl_cpu_isa_avx512_core, "avx512"},
                          {dnnl_cpu_isa_avx512_core_vnni, "avx512 vnni"},
                          {dnnl_cpu_isa_avx512_core_bf16, "avx512 bf16"},
                          {dnnl_cpu_isa_avx512_core_amx, "avx512 amx"}};
    dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (names[i].isa == isa)
            return names[i].name;
    return "other";
}

static json_t *hdf5_version(void)
{
    unsigned v[3];
    return H5get_libversion(&v[0], &v[1], &v[2]) < 0 ? json_null()
                                                     : json_sprintf("%u.%u.%u", v[0], v[1], v[2]);
}

static json_t *collect_libraries(void)
{
    unsigned xxhash = XXH_versionNumber(); /* 801 = 0.8.1 */
    /* one row per library of cmake/dependencies.cmake */
    json_t *o = json_object();
    json_object_set_new(o, "oneDNN", onednn_version());
    json_object_set_new(o, "oneDNN_instructions", text_or_null(onednn_isa()));
    json_object_set_new(o, "OpenBLAS", text_or_null(openblas_get_config()));
    json_object_set_new(o, "OpenBLAS_core", text_or_null(openblas_get_corename()));
    json_object_set_new(o, "kissfft", text_or_null(*asd_build.kissfft ? asd_build.kissfft : NULL));
    json_object_set_new(o, "libsndfile", after_dash(sf_version_string()));
    json_object_set_new(o, "soxr", after_dash(soxr_version()));
    json_object_set_new(o, "libfyaml", text_or_null(fy_library_version()));
    json_object_set_new(o, "jansson", text_or_null(jansson_version_str()));
    json_object_set_new(o, "libcurl", text_or_null(curl_version_info(CURLVERSION_NOW)->version));
    json_object_set_new(o, "libzip", text_or_null(zip_libzip_version()));
    json_object_set_new(o, "OpenSSL", text_or_null(OpenSSL_version(OPENSSL_VERSION)));
    json_object_set_new(o, "xxHash",
                        json_sprintf("%u.%u.%u", xxhash / 10000, xxhash / 100 % 100, xxhash % 100));
    json_object_set_new(o, "cairo", text_or_null(cairo_version_string()));
    json_object_set_new(o, "Pango", text_or_null(pango_version_string()));
    json_object_set_new(o, "HDF5", hdf5_version());
    json_object_set_new(o, "glibc", text_or_null(gnu_get_libc_version()));
    return o;
}

/* --- machine --- */

/* The instruction sets that our libraries choose their code by. */
static json_t *collect_instructions(void)
{
    static const char *const wanted[] = {
        "sse4_2",      "avx",         "avx2",     "fma",      "f16c",       "avx_vnni",
        "avx512f",     "avx512vl",    "avx512bw", "avx512dq", "avx512vnni", "avx512_vnni",
        "avx512_bf16", "avx512_fp16", "amx_bf16", "amx_int8", "asimd",      "asimdhp",
        "asimddp",     "bf16",        "i8mm",     "sve",      "sve2"};
    char   *flags = malloc(1 << 14);
    json_t *list  = json_array();
    if (flags && (find_line("/proc/cpuinfo", "flags", ':', flags, 1 << 14) ||
                  find_line("/proc/cpuinfo", "Features", ':', flags, 1 << 14)))
        for (char *save, *word = strtok_r(flags, " ", &save); word;
             word = strtok_r(NULL, " ", &save))
            for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i)
                if (!strcmp(word, wanted[i]))
                    json_array_append_new(list, json_string(word));
    free(flags);
    return list;
}

/* Cores that the process may run on; a container's quota ("200000 100000" = 2 cores) apart. */
static json_t *usable_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) ? json_null() : json_integer(CPU_COUNT(&set));
}

static json_t *core_quota(void)
{
    double quota = 0, period = 0;
    FILE  *f = fopen("/sys/fs/cgroup/cpu.max", "re");
    int    n = f ? fscanf(f, "%lf %lf", &quota, &period) : 0; /* "max 100000": no quota */
    if (f)
        fclose(f);
    return n == 2 && period > 0 ? json_real(quota / period) : json_null();
}

static json_t *memory(const char *name)
{
    char buf[64];
    return find_line("/proc/meminfo", name, ':', buf, sizeof buf)
               ? json_integer((json_int_t)strtoll(buf, NULL, 10) * 1024)
               : json_null();
}

static json_t *collect_machine(void)
{
    char           buf[256];
    struct utsname u;
    json_t        *o = json_object();
    json_object_set_new(
        o, "system",
        text_or_null(find_line("/etc/os-release", "PRETTY_NAME", '=', buf, sizeof buf) ? buf
                                                                                       : NULL));
    json_object_set_new(o, "kernel",
                        uname(&u) ? json_null()
                                  : json_sprintf("%s %s %s", u.sysname, u.release, u.machine));
    json_object_set_new(
        o, "processor",
        text_or_null(find_line("/proc/cpuinfo", "model name", ':', buf, sizeof buf) ? buf : NULL));
    json_object_set_new(o, "instructions", collect_instructions());
    json_object_set_new(o, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(o, "cores_usable", usable_cores());
    json_object_set_new(o, "cores_quota", core_quota());
    json_object_set_new(o, "threads", json_integer(omp_get_max_threads()));
    json_object_set_new(o, "memory_bytes", memory("MemTotal"));
    json_object_set_new(o, "memory_available_bytes", memory("MemAvailable"));
    return o;
}

/* --- the rest --- */

static json_t *collect_build(void)
{
    json_t *o = json_object();
    json_object_set_new(o, "version", text_or_null(asd_build.version));
    json_object_set_new(o, "commit", text_or_null(asd_build.commit));
    json_object_set_new(o, "compiler", text_or_null(asd_build.compiler));
    json_object_set_new(o, "build_type", text_or_null(asd_build.type));
    json_object_set_new(o, "flags", text_or_null(asd_build.flags));
    return o;
}

/* Variables that change what a run does. */
static json_t *collect_environment(void)
{
    static const char *const names[] = {
        "OMP_NUM_THREADS",   "OMP_PROC_BIND",      "OMP_PLACES",           "OPENBLAS_NUM_THREADS",
        "OPENBLAS_CORETYPE", "ONEDNN_MAX_CPU_ISA", "CUDA_VISIBLE_DEVICES", "ASD_CUDA_LIBRARIES",
        "CUDA_HOME",         "CUDA_PATH",          "ASD_RECIPES",          "ASD_ATTENTION"};
    json_t *o = json_object();
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (getenv(names[i]))
            json_object_set_new(o, names[i], text_or_null(getenv(names[i])));
    return o;
}

json_t *info_collect(void)
{
    json_t *o = json_object();
    json_object_set_new(o, "schema", json_string("asd.info/1"));
    json_object_set_new(o, "asd", collect_build());
    json_object_set_new(o, "libraries", collect_libraries());
    json_object_set_new(o, "machine", collect_machine());
    json_object_set_new(o, "cuda", info_cuda());
    json_object_set_new(o, "environment", collect_environment());
    return o;
}
