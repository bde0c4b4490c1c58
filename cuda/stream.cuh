/* stream.cuh - what is inside asd_gpu and asd_stream, for the .cu files of this folder and for
 * launch.cuh. Kernels need only launch.cuh. */
#ifndef ASD_CUDA_STREAM_CUH
#define ASD_CUDA_STREAM_CUH

#include "cuda/gpu.h"

#include <cublasLt.h>
#include <cuda_runtime.h>

struct asd_gemm_cache; /* gemm.cu: shape -> algorithm */

struct asd_gpu {
    int              index;
    cudaDeviceProp   properties;
    cublasLtHandle_t blas;
    asd_gemm_cache  *gemms;
};

enum { ASD_WORKSPACE_BYTES = 32 << 20 }; /* what cuBLASLt asks for on Hopper */

struct asd_stream {
    asd_gpu     *gpu;
    cudaStream_t stream;
    void        *workspace; /* ASD_WORKSPACE_BYTES, for libraries */
};

asd_status asd_resident_blocks(const void *kernel, unsigned block, size_t shared_bytes,
                               asd_stream *s, int *out);

#endif
