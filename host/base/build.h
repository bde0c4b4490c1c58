/* build.h - what this library was made from; written by cmake/build_info.cmake at every build. */
#ifndef ASD_BASE_BUILD_H
#define ASD_BASE_BUILD_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_build_info {
    const char *version; /* "0.1.0" */
    const char *commit; /* "1b6925741c0d", with "-dirty" if files differed; "unknown" without git */
    const char *compiler; /* "GNU 12.2.0" */
    const char *type;     /* "RelWithDebInfo" */
    const char *flags;    /* of the C compiler */
    const char *cuda;     /* version of the CUDA toolkit, "" for a build without CUDA */
    const char *kissfft;  /* version compiled against: the library cannot be asked */
} asd_build_info;

extern const asd_build_info asd_build;

#ifdef __cplusplus
}
#endif
#endif
