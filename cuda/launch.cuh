/* launch.cuh - kernel.cuh as nvcc sees it: launches that are checked, and CUDA's types by our
 * names. */
#ifndef ASD_CUDA_LAUNCH_CUH
#define ASD_CUDA_LAUNCH_CUH

#include "cuda/stream.cuh"

#include <cuda_bf16.h>
#include <cuda_runtime.h>

typedef __nv_bfloat16 bf16;
template <typename T> using shared_ptr = T *;

#define ASD_SHARED(T, name, n) __shared__ __align__(16) T name[n]
/* One per kernel; all dynamic shared memory of the launch. Templates may ask for different T. */
#define ASD_DYNAMIC_SHARED(T, name)                                                                \
    extern __shared__ __align__(128) unsigned char asd_dynamic_shared[];                           \
    T                                             *name = reinterpret_cast<T *>(asd_dynamic_shared)

static __device__ __forceinline__ float asd_bf16_to_f32(bf16 x)
{
    return __bfloat162float(x);
}
static __device__ __forceinline__ bf16 asd_bf16_from_f32(float x)
{
    return __float2bfloat16_rn(x);
}

/* The shim reports a wide access to a misaligned address; a device traps by itself. */
static __device__ __forceinline__ void asd_check_aligned(const void *, int, const char *)
{
}

/* Status of a CUDA runtime call; the message says what was being done and CUDA's own words. */
#define ASD_CUDA_TRY(call)                                                                         \
    do {                                                                                           \
        cudaError_t asd_error = (call);                                                            \
        if (asd_error != cudaSuccess)                                                              \
            return ASD_FAIL(ASD_E_DEVICE, "%s: %s (%s)", #call, cudaGetErrorString(asd_error),     \
                            cudaGetErrorName(asd_error));                                          \
    } while (0)

template <typename... Formal, typename... Actual>
static asd_status asd_launch(const char *name, void (*kernel)(Formal...), dim3 grid, dim3 block,
                             size_t shared_bytes, int cooperative, asd_stream *s, Actual... actual)
{
    cudaLaunchConfig_t  config = {};
    cudaLaunchAttribute attribute[1];
    config.gridDim          = grid;
    config.blockDim         = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream           = s->stream;
    if (cooperative) {
        attribute[0].id              = cudaLaunchAttributeCooperative;
        attribute[0].val.cooperative = 1;
        config.attrs                 = attribute;
        config.numAttrs              = 1;
    }
    cudaError_t error = cudaSetDevice(s->gpu->index);     /* a property of the host thread */
    if (error == cudaSuccess && shared_bytes > 48 * 1024) /* more than this must be asked for */
        error = cudaFuncSetAttribute(
            (const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes);
    if (error == cudaSuccess)
        error = cudaLaunchKernelEx(&config, kernel, static_cast<Formal>(actual)...);
    if (error == cudaSuccess)
        return ASD_OK;
    cudaGetLastError(); /* a launch that was refused is told once */
    s->failed = 1;
    return ASD_FAIL(ASD_E_DEVICE,
                    "launch of %s, grid (%u, %u, %u), block (%u, %u, %u), %zu bytes of shared "
                    "memory: %s (%s)",
                    name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes,
                    cudaGetErrorString(error), cudaGetErrorName(error));
}

/* asd_status of enqueuing kernel(args...); a template's name goes in parentheses. */
#define ASD_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                 \
    asd_launch(#kernel, kernel, grid, block, shared_bytes, 0, stream, __VA_ARGS__)
/* All blocks run at the same time, so that they may wait for each other (grid.cuh). */
#define ASD_LAUNCH_COOPERATIVE(kernel, grid, block, shared_bytes, stream, ...)                     \
    asd_launch(#kernel, kernel, grid, block, shared_bytes, 1, stream, __VA_ARGS__)
/* Blocks of this kernel that the device holds at the same time. */
#define ASD_RESIDENT_BLOCKS(kernel, block, shared_bytes, stream, out)                              \
    asd_resident_blocks((const void *)(kernel), block, shared_bytes, stream, out)

#endif
