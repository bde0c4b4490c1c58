/* gemm.cu - gemm.h by cuBLASLt.
 *
 * cuBLASLt counts matrices by columns. A row-major (m, n) matrix is, byte for byte, a column-major
 * (n, m) one, so what is asked of cuBLASLt is  y^T = op(b)^T op(a)^T:  its first factor is b, its
 * second a, its M is our n and its N our m. The epilogue's bias runs over the rows of y^T, that is
 * over our n. A stored matrix that we transpose is transposed for cuBLASLt too.
 *
 * What decides the bits - the algorithm - is found once for each shape and alignment and kept.
 * Reductions over split K in the output's type are excluded: sums of bf16 stay fp32 to the end.
 *
 * A bias where y is bf16: cuBLASLt wants the bias in bf16 then. Three ways are tried in this order,
 * and the first that the library accepts for the shape is kept:
 *   1. its epilogue with the fp32 bias as it is            no further traffic
 *   2. its epilogue with the bias rounded to bf16          6 n bytes and one small kernel
 *   3. product, then bias_add_k over y                     2 x m n elements of traffic
 */
#include "cuda/kernel.cuh"

#include "cuda/gemm.h"
#include "cuda/libraries.h"

#include <cublasLt.h>
#include <cstdlib>
#include <cstring>

typedef enum bias_way { BIAS_NONE, BIAS_F32, BIAS_BF16, BIAS_AFTER } bias_way;

/* All that a choice depends on. Compared by bytes, so it has no padding: only 8-byte fields. */
typedef struct gemm_key {
    int64_t transpose_a, transpose_b, m, n, k, batch, dtype, y_dtype;
    int64_t lda, step_a, ldb, step_b, ldy, step_y, beta_bits, with_bias, step_bias;
    int64_t align_a, align_b, align_y; /* largest power of two up to 256 that divides the address */
} gemm_key;

typedef struct gemm_entry {
    gemm_key               key;
    bias_way               way;
    cublasLtMatmulDesc_t   matmul;
    cublasLtMatrixLayout_t a, b, y;
    cublasLtMatmulAlgo_t   algorithm;
} gemm_entry;

struct asd_gemm_library {
    asd_library      library;
    cublasLtHandle_t handle;
    gemm_entry     **entry; /* (room) open addressing by the key's hash */
    size_t           n, room;
    /* named as in cublasLt.h, without the prefix */
    decltype(&cublasLtCreate)                       Create;
    decltype(&cublasLtDestroy)                      Destroy;
    decltype(&cublasLtGetStatusName)                GetStatusName;
    decltype(&cublasLtMatmul)                       Matmul;
    decltype(&cublasLtMatmulAlgoGetHeuristic)       MatmulAlgoGetHeuristic;
    decltype(&cublasLtMatmulDescCreate)             MatmulDescCreate;
    decltype(&cublasLtMatmulDescDestroy)            MatmulDescDestroy;
    decltype(&cublasLtMatmulDescSetAttribute)       MatmulDescSetAttribute;
    decltype(&cublasLtMatrixLayoutCreate)           MatrixLayoutCreate;
    decltype(&cublasLtMatrixLayoutDestroy)          MatrixLayoutDestroy;
    decltype(&cublasLtMatrixLayoutSetAttribute)     MatrixLayoutSetAttribute;
    decltype(&cublasLtMatmulPreferenceCreate)       MatmulPreferenceCreate;
    decltype(&cublasLtMatmulPreferenceDestroy)      MatmulPreferenceDestroy;
    decltype(&cublasLtMatmulPreferenceSetAttribute) MatmulPreferenceSetAttribute;
};

static asd_status lt_check(const asd_gemm_library *lt, cublasStatus_t status, const char *call)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return ASD_OK;
    return ASD_FAIL(ASD_E_DEVICE, "cublasLt%.*s of cuBLASLt %s: %s", (int)strcspn(call, "("), call,
                    lt->library.version, lt->GetStatusName(status));
}
#define LT_TRY(lt, call) ASD_TRY(lt_check(lt, (lt)->call, #call))

/* --- the library --- */

static asd_status find_functions(asd_gemm_library *lt)
{
    const asd_library *l = &lt->library;
#define FUNCTION(name) ASD_TRY(ASD_LIBRARY_FUNCTION(l, cublasLt##name, &lt->name))
    FUNCTION(Create);
    FUNCTION(Destroy);
    FUNCTION(GetStatusName);
    FUNCTION(Matmul);
    FUNCTION(MatmulAlgoGetHeuristic);
    FUNCTION(MatmulDescCreate);
    FUNCTION(MatmulDescDestroy);
    FUNCTION(MatmulDescSetAttribute);
    FUNCTION(MatrixLayoutCreate);
    FUNCTION(MatrixLayoutDestroy);
    FUNCTION(MatrixLayoutSetAttribute);
    FUNCTION(MatmulPreferenceCreate);
    FUNCTION(MatmulPreferenceDestroy);
    FUNCTION(MatmulPreferenceSetAttribute);
#undef FUNCTION
    return ASD_OK;
}

static asd_status open_library(asd_gemm_library *lt)
{
    ASD_TRY(asd_library_open(&asd_cublaslt_spec, &lt->library));
    ASD_TRY(find_functions(lt));
    LT_TRY(lt, Create(&lt->handle));
    return ASD_OK;
}

static asd_status open_locked(asd_gpu *g)
{
    if (g->gemms)
        return ASD_OK;
    if (cudaSetDevice(g->index) != cudaSuccess) /* the handle belongs to the current device */
        return ASD_FAIL(ASD_E_DEVICE, "GPU %d: cannot be chosen", g->index);
    asd_gemm_library *lt = (asd_gemm_library *)calloc(1, sizeof *lt);
    if (!lt)
        return ASD_FAIL(ASD_E_OOM, "no memory for cuBLASLt");
    asd_status st = open_library(lt);
    if (st)
        free(lt);
    else
        g->gemms = lt;
    return st;
}

asd_status asd_gemm_open(asd_gpu *g)
{
    pthread_mutex_lock(&g->lock);
    asd_status st = open_locked(g);
    pthread_mutex_unlock(&g->lock);
    return st;
}

static void free_entry(const asd_gemm_library *lt, gemm_entry *e)
{
    if (!e)
        return;
    if (e->matmul)
        lt->MatmulDescDestroy(e->matmul);
    cublasLtMatrixLayout_t layouts[3] = {e->a, e->b, e->y};
    for (int i = 0; i < 3; ++i)
        if (layouts[i])
            lt->MatrixLayoutDestroy(layouts[i]);
    free(e);
}

void asd_gemm_close(asd_gpu *g)
{
    asd_gemm_library *lt = g->gemms;
    if (!lt)
        return;
    for (size_t i = 0; i < lt->room; ++i)
        free_entry(lt, lt->entry[i]);
    free(lt->entry);
    lt->Destroy(lt->handle);
    free(lt);
    g->gemms = NULL;
}

/* --- one shape --- */

static int64_t alignment(const void *p, int64_t step_bytes)
{
    uint64_t bits = (uint64_t)(uintptr_t)p | (uint64_t)step_bytes | 256;
    return (int64_t)(bits & (~bits + 1));
}

static gemm_key make_key(const asd_cuda_gemm *g)
{
    gemm_key key;
    int64_t  size = (int64_t)asd_dtype_size(g->dtype), y_size = (int64_t)asd_dtype_size(g->y_dtype);
    memset(&key, 0, sizeof key);
    key.transpose_a = !!g->transpose_a;
    key.transpose_b = !!g->transpose_b;
    key.m           = g->m;
    key.n           = g->n;
    key.k           = g->k;
    key.batch       = g->batch;
    key.dtype       = g->dtype;
    key.y_dtype     = g->y_dtype;
    key.lda         = g->lda;
    key.ldb         = g->ldb;
    key.ldy         = g->ldy;
    key.step_a      = g->batch > 1 ? g->step_a : 0;
    key.step_b      = g->batch > 1 ? g->step_b : 0;
    key.step_y      = g->batch > 1 ? g->step_y : 0;
    key.step_bias   = g->batch > 1 && g->bias ? g->step_bias : 0;
    key.beta_bits   = g->beta != 0;
    key.with_bias   = g->bias != NULL;
    key.align_a     = alignment(g->a, key.step_a * size);
    key.align_b     = alignment(g->b, key.step_b * size);
    key.align_y     = alignment(g->y, key.step_y * y_size);
    if (g->bias) { /* cuBLASLt knows no alignment of the bias of its own; D's stands for it */
        int64_t bias = alignment(g->bias, key.step_bias * 4);
        key.align_y  = bias < key.align_y ? bias : key.align_y;
    }
    return key;
}

static cudaDataType_t data_type(int64_t t)
{
    return t == ASD_BF16 ? CUDA_R_16BF : CUDA_R_32F;
}

static asd_status make_layout(const asd_gemm_library *lt, int64_t dtype, int64_t rows,
                              int64_t columns, int64_t ld, int64_t batch, int64_t step,
                              cublasLtMatrixLayout_t *out)
{
    int32_t count = (int32_t)batch;
    /* one row is stored `ld` after the other only if there is another */
    int64_t stride = ld < columns ? columns : ld;
    LT_TRY(lt,
           MatrixLayoutCreate(out, data_type(dtype), (uint64_t)columns, (uint64_t)rows, stride));
    if (batch > 1) {
        LT_TRY(lt, MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                            sizeof count));
        LT_TRY(lt, MatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
                                            &step, sizeof step));
    }
    return ASD_OK;
}

static asd_status set_bias(const asd_gemm_library *lt, gemm_entry *e, const void *bias)
{
    LT_TRY(lt, MatmulDescSetAttribute(e->matmul, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias,
                                      sizeof bias));
    return ASD_OK;
}

static asd_status set_epilogue(const asd_gemm_library *lt, gemm_entry *e, bias_way way,
                               const void *bias)
{
    cublasLtEpilogue_t epilogue =
        way == BIAS_F32 || way == BIAS_BF16 ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
    int32_t type = way == BIAS_BF16 ? CUDA_R_16BF : CUDA_R_32F;
    int64_t step = e->key.step_bias;
    LT_TRY(lt, MatmulDescSetAttribute(e->matmul, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue,
                                      sizeof epilogue));
    if (epilogue == CUBLASLT_EPILOGUE_DEFAULT)
        return ASD_OK;
    LT_TRY(lt, MatmulDescSetAttribute(e->matmul, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &type,
                                      sizeof type));
    if (e->key.batch > 1)
        LT_TRY(lt, MatmulDescSetAttribute(e->matmul, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE, &step,
                                          sizeof step));
    return set_bias(lt, e, bias);
}

static asd_status describe(const asd_gemm_library *lt, gemm_entry *e)
{
    const gemm_key   *q  = &e->key;
    cublasOperation_t ta = q->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasOperation_t tb = q->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    LT_TRY(lt, MatmulDescCreate(&e->matmul, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    LT_TRY(lt, MatmulDescSetAttribute(e->matmul, CUBLASLT_MATMUL_DESC_TRANSA, &ta, sizeof ta));
    LT_TRY(lt, MatmulDescSetAttribute(e->matmul, CUBLASLT_MATMUL_DESC_TRANSB, &tb, sizeof tb));
    ASD_TRY(make_layout(lt, q->dtype, q->transpose_b ? q->n : q->k, q->transpose_b ? q->k : q->n,
                        q->ldb, q->batch, q->step_b, &e->b));
    ASD_TRY(make_layout(lt, q->dtype, q->transpose_a ? q->k : q->m, q->transpose_a ? q->m : q->k,
                        q->lda, q->batch, q->step_a, &e->a));
    return make_layout(lt, q->y_dtype, q->m, q->n, q->ldy, q->batch, q->step_y, &e->y);
}

static asd_status prefer(const asd_gemm_library *lt, const gemm_key *q, bias_way way,
                         cublasLtMatmulPreference_t p)
{
    /* the rounded bias lies in a workspace of ours, rows of it `step` apart from a 256-byte border
     */
    int64_t  y         = way == BIAS_BF16 && q->batch > 1 ? 2 : q->align_y;
    uint64_t workspace = ASD_WORKSPACE_BYTES;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, a = (uint32_t)q->align_b,
             b = (uint32_t)q->align_a, d = (uint32_t)(y < q->align_y ? y : q->align_y);
    LT_TRY(lt, MatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                            sizeof workspace));
    LT_TRY(lt, MatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                            &reduction, sizeof reduction));
    LT_TRY(lt, MatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &a,
                                            sizeof a));
    LT_TRY(lt, MatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &b,
                                            sizeof b));
    LT_TRY(lt, MatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &d,
                                            sizeof d));
    LT_TRY(lt, MatmulPreferenceSetAttribute(p, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &d,
                                            sizeof d));
    return ASD_OK;
}

/* The library's first choice, *found = 0 when it has none for this way of adding the bias. */
static asd_status ask(const asd_gemm_library *lt, gemm_entry *e, bias_way way, const void *bias,
                      int *found)
{
    cublasLtMatmulPreference_t      p = NULL;
    cublasLtMatmulHeuristicResult_t best;
    int                             n = 0;
    *found                            = 0;
    ASD_TRY(set_epilogue(lt, e, way, bias));
    LT_TRY(lt, MatmulPreferenceCreate(&p));
    asd_status st = prefer(lt, &e->key, way, p);
    if (!st) { /* our b is its A */
        cublasStatus_t s = lt->MatmulAlgoGetHeuristic(lt->handle, e->matmul, e->b, e->a, e->y, e->y,
                                                      p, 1, &best, &n);
        *found = s == CUBLAS_STATUS_SUCCESS && n == 1 && best.state == CUBLAS_STATUS_SUCCESS;
        if (*found)
            e->algorithm = best.algo;
    }
    lt->MatmulPreferenceDestroy(p);
    e->way = way;
    return st;
}

/* Rounded biases of a batch as they lie in the workspace: `n` each, the same for all with step 0.
 */
static int64_t rounded_count(const gemm_key *q)
{
    return q->step_bias ? q->n * q->batch : q->n;
}

static asd_status choose(const asd_gemm_library *lt, const asd_cuda_gemm *g, const void *rounded,
                         gemm_entry *e)
{
    int found = 0;
    ASD_TRY(describe(lt, e));
    if (!g->bias) {
        ASD_TRY(ask(lt, e, BIAS_NONE, NULL, &found));
    } else {
        ASD_TRY(ask(lt, e, BIAS_F32, g->bias, &found));
        if (!found && g->y_dtype == ASD_BF16 && rounded_count(&e->key) * 2 <= ASD_BIAS_BYTES) {
            int64_t step = e->key.step_bias;
            if (step)
                e->key.step_bias = g->n; /* for the epilogue; the key itself is put back */
            asd_status st    = ask(lt, e, BIAS_BF16, rounded, &found);
            e->key.step_bias = step;
            ASD_TRY(st);
        }
        if (!found)
            ASD_TRY(ask(lt, e, BIAS_AFTER, NULL, &found));
    }
    if (!found)
        return ASD_FAIL(ASD_E_DEVICE,
                        "cuBLASLt %s has no algorithm for a product of (%lld, %lld) and (%lld, "
                        "%lld)%s%s, batch %lld, %s to %s, rows %lld, %lld and %lld apart",
                        lt->library.version, (long long)g->m, (long long)g->k, (long long)g->k,
                        (long long)g->n, g->transpose_a ? ", first transposed" : "",
                        g->transpose_b ? ", second transposed" : "", (long long)g->batch,
                        asd_dtype_name(g->dtype), asd_dtype_name(g->y_dtype), (long long)g->lda,
                        (long long)g->ldb, (long long)g->ldy);
    return ASD_OK;
}

/* --- the cache --- */

static size_t hash(const gemm_key *key)
{
    uint64_t             h     = 1469598103934665603u; /* FNV-1a */
    const unsigned char *bytes = (const unsigned char *)key;
    for (size_t i = 0; i < sizeof *key; ++i)
        h = (h ^ bytes[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32);
}

/* Where the key is, or the empty place for it. room: a power of two, never full. */
static gemm_entry **slot(gemm_entry **entry, size_t room, const gemm_key *key)
{
    size_t i = hash(key) & (room - 1);
    while (entry[i] && memcmp(&entry[i]->key, key, sizeof *key))
        i = (i + 1) & (room - 1);
    return &entry[i];
}

static int grow(asd_gemm_library *lt)
{
    if (2 * (lt->n + 1) <= lt->room)
        return 1;
    size_t       room = lt->room ? 2 * lt->room : 64;
    gemm_entry **more = (gemm_entry **)calloc(room, sizeof *more);
    if (!more)
        return 0;
    for (size_t i = 0; i < lt->room; ++i)
        if (lt->entry[i])
            *slot(more, room, &lt->entry[i]->key) = lt->entry[i];
    free(lt->entry);
    lt->entry = more;
    lt->room  = room;
    return 1;
}

static asd_status find(asd_gemm_library *lt, const asd_cuda_gemm *g, const void *rounded,
                       gemm_entry **out)
{
    gemm_key key = make_key(g);
    if (!grow(lt))
        return ASD_FAIL(ASD_E_OOM, "no memory for %zu algorithms of cuBLASLt", lt->n + 1);
    gemm_entry **at = slot(lt->entry, lt->room, &key);
    *out            = *at;
    if (*at)
        return ASD_OK;
    gemm_entry *e = (gemm_entry *)calloc(1, sizeof *e);
    if (!e)
        return ASD_FAIL(ASD_E_OOM, "no memory for %zu algorithms of cuBLASLt", lt->n + 1);
    e->key        = key;
    asd_status st = choose(lt, g, rounded, e);
    if (st) {
        free_entry(lt, e);
        return st;
    }
    *out = *at = e;
    ++lt->n;
    return ASD_OK;
}

/* --- biases --- */

/* One thread an element of the rounded biases, (batch, n). */
static __global__ void bias_round_k(const float *bias, bf16 *rounded, int64_t n, int64_t step,
                                    int64_t count)
{
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        rounded[i] = from_f32<bf16>(bias[i / n * step + i % n]);
}

/* y[i][r][c] += bias[i][c]. One block a row, blockIdx.y = matrix of the batch; threads stride over
 * c. */
template <typename T>
static __global__ void bias_add_k(T *y, const float *bias, int64_t n, int64_t ldy, int64_t step_y,
                                  int64_t step_bias)
{
    T           *row = y + blockIdx.y * step_y + blockIdx.x * ldy;
    const float *b   = bias + blockIdx.y * step_bias;
    for (int64_t c = threadIdx.x; c < n; c += blockDim.x)
        row[c] = from_f32<T>(to_f32(row[c]) + b[c]);
}

static asd_status add_bias(asd_stream *s, const asd_cuda_gemm *g)
{
    dim3    grid((unsigned)g->m, (unsigned)g->batch);
    int64_t step_y = g->batch > 1 ? g->step_y : 0, step_bias = g->batch > 1 ? g->step_bias : 0;
    if (g->y_dtype == ASD_BF16)
        return ASD_LAUNCH((bias_add_k<bf16>), grid, 256, 0, s, (bf16 *)g->y, g->bias, g->n, g->ldy,
                          step_y, step_bias);
    return ASD_LAUNCH((bias_add_k<float>), grid, 256, 0, s, (float *)g->y, g->bias, g->n, g->ldy,
                      step_y, step_bias);
}

/* --- running --- */

static asd_status run_locked(asd_stream *s, const asd_cuda_gemm *g)
{
    const float alpha   = 1;
    bf16       *rounded = (bf16 *)(s->workspace + ASD_WORKSPACE_BYTES);
    gemm_entry *e;
    ASD_TRY(open_locked(s->gpu));
    asd_gemm_library *lt = s->gpu->gemms;
    ASD_TRY(find(lt, g, rounded, &e));
    if (e->way == BIAS_F32)
        ASD_TRY(set_bias(lt, e, g->bias));
    if (e->way == BIAS_BF16) {
        int64_t count = rounded_count(&e->key);
        ASD_TRY(set_bias(lt, e, rounded));
        ASD_TRY(ASD_LAUNCH(bias_round_k, asd_blocks(count, 256), 256, 0, s, g->bias, rounded, g->n,
                           e->key.step_bias, count));
    }
    LT_TRY(lt, Matmul(lt->handle, e->matmul, &alpha, g->b, e->b, g->a, e->a, &g->beta, g->y, e->y,
                      g->y, e->y, &e->algorithm, s->workspace, ASD_WORKSPACE_BYTES, s->stream));
    return e->way == BIAS_AFTER ? add_bias(s, g) : ASD_OK;
}

asd_status asd_cuda_gemm_run(asd_stream *s, const asd_cuda_gemm *g)
{
    pthread_mutex_lock(&s->gpu->lock);
    asd_status st = run_locked(s, g);
    pthread_mutex_unlock(&s->gpu->lock);
    if (st)
        s->failed = 1;
    return st;
}
