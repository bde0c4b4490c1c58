/* stream.cuh - what is inside asd_gpu and asd_stream, for the .cu files of this folder and for
 * launch.cuh. Kernels need only launch.cuh. */
#ifndef ASD_CUDA_STREAM_CUH
#define ASD_CUDA_STREAM_CUH

#include "cuda/gpu.h"

#include <cuda_runtime.h>
#include <pthread.h>

struct asd_gemm_library; /* gemm.cu: cuBLASLt and the algorithm of each shape */

struct asd_gpu {
    int               index;
    cudaDeviceProp    properties;
    pthread_mutex_t   lock;  /* of gemms: streams of one device may be driven by several threads */
    asd_gemm_library *gemms; /* NULL until the first product or capture */
};

/* 32 MiB is what cuBLASLt asks for on Hopper; the rest is for biases rounded to bf16 (gemm.cu). */
enum {
    ASD_WORKSPACE_BYTES = 32 << 20,
    ASD_BIAS_BYTES      = 1 << 20,
};

struct asd_stream {
    asd_gpu     *gpu;
    cudaStream_t stream;
    char        *workspace; /* ASD_WORKSPACE_BYTES + ASD_BIAS_BYTES, for libraries */
    int          capturing; /* between asd_capture_begin and asd_capture_end */
    int          failed;    /* a call on the stream failed since asd_capture_begin */
};

/* ASD_E_DEVICE unless error is success: "GPU 0: WHAT: CUDA's words (cudaErrorName)". Marks the
 * capture that s may be in as spoilt. */
asd_status asd_stream_check(asd_stream *s, cudaError_t error, const char *what);

/* Blocks of `kernel` that the device holds at the same time, all multiprocessors together. */
asd_status asd_resident_blocks(const void *kernel, unsigned block, size_t shared_bytes,
                               asd_stream *s, int *out);

/* Opens cuBLASLt if it is not yet: not possible inside a capture. */
asd_status asd_gemm_open(asd_gpu *g);
void       asd_gemm_close(asd_gpu *g);

#endif
