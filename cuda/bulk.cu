/* bulk.cu - the host's half of bulk.cuh. The driver encodes maps; it is asked through the runtime,
 * so that programs start where there is none. */
#include "cuda/bulk.cuh"

#if CUDART_VERSION >= 12000

#include <cudaTypedefs.h>

static asd_status find_encoder(PFN_cuTensorMapEncodeTiled_v12000 *encode)
{
    void                           *found = NULL;
    cudaDriverEntryPointQueryResult known = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
    ASD_CUDA_TRY(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                                  cudaEnableDefault, &known));
#else
    ASD_CUDA_TRY(
        cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &known));
#endif
    if (known != cudaDriverEntryPointSuccess)
        return ASD_FAIL(ASD_E_DEVICE, "this CUDA driver cannot encode maps for bulk copies, want "
                                      "one for CUDA 12.0 or later");
    *encode = (PFN_cuTensorMapEncodeTiled_v12000)found;
    return ASD_OK;
}

asd_status asd_bulk_map(bulk_map *map, const bf16 *x, int64_t planes, int64_t rows, int64_t columns,
                        int64_t ld)
{
    static_assert(sizeof *map == sizeof(CUtensorMap) && alignof(bulk_map) >= alignof(CUtensorMap),
                  "bulk_map is a CUtensorMap");
    PFN_cuTensorMapEncodeTiled_v12000 encode = NULL;
    ASD_TRY(find_encoder(&encode));
    cuuint64_t size[3]   = {(cuuint64_t)columns, (cuuint64_t)rows, (cuuint64_t)planes};
    cuuint64_t stride[2] = {(cuuint64_t)(ld * 2), (cuuint64_t)(rows * ld * 2)}; /* bytes */
    cuuint32_t box[3] = {BULK_COLUMNS, BULK_ROWS, 1}, each[3] = {1, 1, 1};
    CUresult   result =
        encode((CUtensorMap *)map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 3, const_cast<bf16 *>(x), size,
               stride, box, each, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
               CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result != CUDA_SUCCESS)
        return ASD_FAIL(ASD_E_DEVICE,
                        "cuTensorMapEncodeTiled: error %d, for (%lld, %lld, %lld) bf16 with rows "
                        "%lld apart",
                        (int)result, (long long)planes, (long long)rows, (long long)columns,
                        (long long)ld);
    return ASD_OK;
}

#else

asd_status asd_bulk_map(bulk_map *, const bf16 *, int64_t, int64_t, int64_t, int64_t)
{
    return ASD_FAIL(ASD_E_DEVICE, "bulk copies: built with CUDA %d, want 12.0 or later",
                    CUDART_VERSION);
}

#endif
