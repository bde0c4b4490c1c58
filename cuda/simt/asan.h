/* asan.h - SIMT_ASAN where AddressSanitizer is at work, with gcc or clang. */
#ifndef ASD_CUDA_SIMT_ASAN_H
#define ASD_CUDA_SIMT_ASAN_H

#ifdef __SANITIZE_ADDRESS__
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif

#endif
