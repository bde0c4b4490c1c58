/* mma_ptx.cuh - the primitives of mma.cuh for nvcc: one PTX instruction each. See the PTX manual,
 * "mma.m16n8k16", "ldmatrix" and "cp.async". */
#ifndef ASD_CUDA_MMA_PTX_CUH
#define ASD_CUDA_MMA_PTX_CUH

static __device__ __forceinline__ uint32_t bf16x2(float low, float high)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

static __device__ __forceinline__ void store_bf16x2(bf16 *p, uint32_t two)
{
    *reinterpret_cast<uint32_t *>(p) = two;
}

static __device__ __forceinline__ uint32_t to_tf32(float x)
{
    uint32_t r;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}

static __device__ __forceinline__ float exp2_fast(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

static __device__ __forceinline__ void mma_16x8x16(mma_c &c, const mma_a &a, const mma_b &b)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c.x[0]), "+f"(c.x[1]), "+f"(c.x[2]), "+f"(c.x[3])
        : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1]));
}

static __device__ __forceinline__ void mma_16x8x8_tf32(mma_c &c, const mma_a &a, const mma_b &b)
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c.x[0]), "+f"(c.x[1]), "+f"(c.x[2]), "+f"(c.x[3])
        : "r"(a.x[0]), "r"(a.x[1]), "r"(a.x[2]), "r"(a.x[3]), "r"(b.x[0]), "r"(b.x[1]));
}

static __device__ __forceinline__ uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

/* volatile and "memory": not to be moved over barriers or stores to the tile. */
#define ASD_LDMATRIX_X4(name, suffix)                                                              \
    static __device__ __forceinline__ void name(uint32_t(&r)[4], const bf16 *row)                  \
    {                                                                                              \
        asm volatile("ldmatrix.sync.aligned.m8n8.x4" suffix ".shared.b16 {%0, %1, %2, %3}, [%4];"  \
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])                              \
                     : "r"(shared_address(row))                                                    \
                     : "memory");                                                                  \
    }
#define ASD_LDMATRIX_X2(name, suffix)                                                              \
    static __device__ __forceinline__ void name(uint32_t(&r)[2], const bf16 *row)                  \
    {                                                                                              \
        asm volatile("ldmatrix.sync.aligned.m8n8.x2" suffix ".shared.b16 {%0, %1}, [%2];"          \
                     : "=r"(r[0]), "=r"(r[1])                                                      \
                     : "r"(shared_address(row))                                                    \
                     : "memory");                                                                  \
    }
ASD_LDMATRIX_X4(ldmatrix_x4, "")
ASD_LDMATRIX_X4(ldmatrix_x4_trans, ".trans")
ASD_LDMATRIX_X2(ldmatrix_x2, "")
ASD_LDMATRIX_X2(ldmatrix_x2_trans, ".trans")
#undef ASD_LDMATRIX_X4
#undef ASD_LDMATRIX_X2

/* .cg: past L1, which a tile that is used once would only flush. */
template <typename T>
static __device__ __forceinline__ void cp_async16(T *dst, const T *src, bool valid)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(dst)), "l"(__cvta_generic_to_global(src)), "r"(valid ? 16 : 0)
                 : "memory");
}

static __device__ __forceinline__ void cp_async_commit()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int YOUNGEST> static __device__ __forceinline__ void cp_async_wait()
{
    asm volatile("cp.async.wait_group %0;" : : "n"(YOUNGEST) : "memory");
}

#endif
