/* cpu_bf16_product.c - see cpu_bf16_product.h.
 *
 * The tile of pairs is cpu_tile.c's for AVX-512, 8 x 48 in 24 of 32 registers, with two products an
 * element and step instead of one. It is written in vectors of the compiler's, and once more with
 * plain arithmetic in place of the one instruction, so that its indices and its sums are tested on
 * processors without it. On one with it nothing here was measured.
 */
#include "kernels/cpu_bf16_product.h"

#include "kernels/cpu_bf16.h"
#include "kernels/cpu_tile.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* --- tiles of pairs --- */

enum { LANES = 16 };
typedef float    lanes __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

/* Rows by name, not in an array: gcc keeps arrays of vectors in memory. */
#define EIGHT(DO, DOT)                                                                             \
    DO(0, DOT) DO(1, DOT) DO(2, DOT) DO(3, DOT) DO(4, DOT) DO(5, DOT) DO(6, DOT) DO(7, DOT)
#define START(r, DOT) lanes left##r = {0}, middle##r = {0}, right##r = {0};
#define STEP(r, DOT)                                                                               \
    if (r < rows) {                                                                                \
        uint32_t pair;                                                                             \
        memcpy(&pair, a + r * lda + 2 * i, sizeof pair);                                           \
        words x   = pair - (words){0};                                                             \
        left##r   = DOT(left##r, x, b0);                                                           \
        middle##r = DOT(middle##r, x, b1);                                                         \
        right##r  = DOT(right##r, x, b2);                                                          \
    }
#define END(r, DOT)                                                                                \
    if (r < rows) {                                                                                \
        if (base) {                                                                                \
            lanes add[3];                                                                          \
            memcpy(add, base + r * ldbase, sizeof add);                                            \
            left##r   = add[0] + left##r;                                                          \
            middle##r = add[1] + middle##r;                                                        \
            right##r  = add[2] + right##r;                                                         \
        }                                                                                          \
        memcpy(y + r * ldy, &left##r, sizeof(lanes));                                              \
        memcpy(y + r * ldy + LANES, &middle##r, sizeof(lanes));                                    \
        memcpy(y + r * ldy + 2 * LANES, &right##r, sizeof(lanes));                                 \
    }

#define TILE(NAME, TARGET, DOT)                                                                    \
    TARGET static inline __attribute__((always_inline)) void NAME##_rows(                          \
        const int rows, int64_t pairs, const uint16_t *a, int64_t lda, const uint32_t *b,          \
        const float *base, int64_t ldbase, float *y, int64_t ldy)                                  \
    {                                                                                              \
        EIGHT(START, DOT)                                                                          \
        for (int64_t i = 0; i < pairs; ++i, b += ASD_PAIR_COLUMNS) {                               \
            words b0, b1, b2;                                                                      \
            memcpy(&b0, b, sizeof b0);                                                             \
            memcpy(&b1, b + LANES, sizeof b1);                                                     \
            memcpy(&b2, b + 2 * LANES, sizeof b2);                                                 \
            EIGHT(STEP, DOT)                                                                       \
        }                                                                                          \
        EIGHT(END, DOT)                                                                            \
    }                                                                                              \
    TARGET static void NAME##_run(int64_t rows, int64_t pairs, const uint16_t *a, int64_t lda,     \
                                  const uint32_t *b, const float *base, int64_t ldbase, float *y,  \
                                  int64_t ldy)                                                     \
    {                                                                                              \
        switch (rows) {                                                                            \
        case 8: NAME##_rows(8, pairs, a, lda, b, base, ldbase, y, ldy); break;                     \
        case 7: NAME##_rows(7, pairs, a, lda, b, base, ldbase, y, ldy); break;                     \
        case 6: NAME##_rows(6, pairs, a, lda, b, base, ldbase, y, ldy); break;                     \
        case 5: NAME##_rows(5, pairs, a, lda, b, base, ldbase, y, ldy); break;                     \
        case 4: NAME##_rows(4, pairs, a, lda, b, base, ldbase, y, ldy); break;                     \
        case 3: NAME##_rows(3, pairs, a, lda, b, base, ldbase, y, ldy); break;                     \
        case 2: NAME##_rows(2, pairs, a, lda, b, base, ldbase, y, ldy); break;                     \
        default: NAME##_rows(1, pairs, a, lda, b, base, ldbase, y, ldy); break;                    \
        }                                                                                          \
    }

/* Products of bf16 are exact in fp32, so whether a sum is fused makes no difference. */
#define PLAIN_DOT(sum, x, w)                                                                       \
    (sum + (lanes)(x & 0xffff0000u) * (lanes)(w & 0xffff0000u) +                                   \
     (lanes)(x << 16) * (lanes)(w << 16))
TILE(plain, , PLAIN_DOT)
static const asd_pair_tile plain_tile = {"plain", plain_run};

#if defined(__x86_64__)
#define AVX512_BF16 __attribute__((target("avx512f,avx512bf16")))
#define AVX512_DOT(sum, x, w) ((lanes)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(x), (__m512bh)(w)))
TILE(avx512_bf16, AVX512_BF16, AVX512_DOT)
static const asd_pair_tile avx512_bf16_tile = {"avx512-bf16", avx512_bf16_run};

const asd_pair_tile *const asd_pair_tile_all[] = {&avx512_bf16_tile, &plain_tile, NULL};

int asd_pair_tile_runs(const asd_pair_tile *t)
{
    return t == &plain_tile ||
           (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bf16"));
}
#else
const asd_pair_tile *const asd_pair_tile_all[] = {&plain_tile, NULL};

int asd_pair_tile_runs(const asd_pair_tile *t)
{
    return t == &plain_tile;
}
#endif

const asd_pair_tile *asd_pair_tile_best(void)
{
    const asd_pair_tile *t = asd_pair_tile_all[0];
    return t != &plain_tile && asd_pair_tile_runs(t) ? t : NULL;
}

const char *asd_products_by(int bf16)
{
    const asd_pair_tile *pairs = bf16 ? asd_pair_tile_best() : NULL;
    return pairs ? pairs->name : strcmp(asd_tile_best()->name, "plain") ? "fma" : "plain";
}

/* --- products --- */

/* As in cpu_tile.c: 96 rows of A by a stretch stay in the second cache with a piece of B (192 KB)
 * while all its panels pass. A stretch is a chain of sums of its own. */
enum { PIECE_COLUMNS = 192, PIECE_ROWS = 96, STRETCH = 256 };

static int64_t at_most(int64_t n, int64_t most)
{
    return n < most ? n : most;
}

/* columns <= ASD_PAIR_COLUMNS rows of B by `pairs` pairs, turned; what is missing is zero. */
static void pack_pairs(const uint16_t *b, int64_t ldb, int64_t columns, int64_t pairs, uint32_t *to)
{
    const asd_tile *t             = asd_tile_best();
    int64_t         whole_columns = columns / 8 * 8, whole_pairs = pairs / 8 * 8;
    for (int64_t c = 0; c < whole_columns; c += 8) /* a turn moves 32 bits as they are */
        for (int64_t i = 0; i < whole_pairs; i += 8)
            t->turn((const float *)(const void *)(b + c * ldb + 2 * i), ldb / 2,
                    (float *)(void *)(to + i * ASD_PAIR_COLUMNS + c), ASD_PAIR_COLUMNS);
    for (int64_t i = 0; i < pairs; ++i) {
        uint32_t *row = to + i * ASD_PAIR_COLUMNS;
        for (int64_t c = i < whole_pairs ? whole_columns : 0; c < columns; ++c)
            memcpy(row + c, b + c * ldb + 2 * i, sizeof *row);
        memset(row + columns, 0, (size_t)(ASD_PAIR_COLUMNS - columns) * sizeof *row);
    }
}

/* A panel of y, ASD_PAIR_COLUMNS wide or less; then by way of a whole tile. */
static void panel(const asd_pair_tile *t, int64_t m, int64_t columns, int64_t pairs,
                  const uint16_t *a, int64_t lda, const uint32_t *b, const float *base,
                  int64_t ldbase, float *y, int64_t ldy)
{
    float whole[ASD_PAIR_ROWS * ASD_PAIR_COLUMNS];
    for (int64_t r = 0; r < m; r += ASD_PAIR_ROWS) {
        int64_t      rows = at_most(m - r, ASD_PAIR_ROWS);
        const float *from = base ? base + r * ldbase : NULL;
        float       *to   = y + r * ldy;
        if (columns == ASD_PAIR_COLUMNS) {
            t->run(rows, pairs, a + r * lda, lda, b, from, ldbase, to, ldy);
            continue;
        }
        t->run(rows, pairs, a + r * lda, lda, b, NULL, 0, whole, ASD_PAIR_COLUMNS);
        for (int64_t i = 0; i < rows; ++i)
            for (int64_t c = 0; c < columns; ++c)
                to[i * ldy + c] =
                    (from ? from[i * ldbase + c] : 0) + whole[i * ASD_PAIR_COLUMNS + c];
    }
}

static void product_of_pairs(const asd_pair_tile *t, int64_t m, int64_t n, int64_t k,
                             const uint16_t *a, int64_t lda, const uint16_t *b, int64_t ldb,
                             const float *bias, float *y, int64_t ldy)
{
    _Alignas(64) uint32_t packed[STRETCH * PIECE_COLUMNS];
    for (int64_t c = 0; c < n; c += PIECE_COLUMNS)
        for (int64_t i = 0; i < k / 2; i += STRETCH) {
            int64_t columns = at_most(n - c, PIECE_COLUMNS), pairs = at_most(k / 2 - i, STRETCH);
            const float *base   = i ? y + c : bias ? bias + c : NULL;
            int64_t      ldbase = i ? ldy : 0;
            for (int64_t p = 0; p < columns; p += ASD_PAIR_COLUMNS)
                pack_pairs(b + (c + p) * ldb + 2 * i, ldb, at_most(columns - p, ASD_PAIR_COLUMNS),
                           pairs, packed + p * pairs);
            for (int64_t r = 0; r < m; r += PIECE_ROWS)
                for (int64_t p = 0; p < columns; p += ASD_PAIR_COLUMNS)
                    panel(t, at_most(m - r, PIECE_ROWS), at_most(columns - p, ASD_PAIR_COLUMNS),
                          pairs, a + r * lda + 2 * i, lda, packed + p * pairs,
                          base ? base + r * ldbase + p : NULL, ldbase, y + r * ldy + c + p, ldy);
        }
}

/* rows of `depth` numbers, ASD_TILE_DEPTH apart. A row is too short for the processor to guess
 * where the next begins: without asking AHEAD, 85 % of this function's time waits for memory. */
enum { AHEAD = 6, CACHE_LINE = 32 /* numbers */ };

static void widen_rows(const uint16_t *x, int64_t ld, int64_t rows, int64_t rows_there,
                       int64_t depth, float *to)
{
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < depth && r + AHEAD < rows_there; i += CACHE_LINE)
            __builtin_prefetch(x + (r + AHEAD) * ld + i);
        asd_bf16_widen(x + r * ld, to + r * ASD_TILE_DEPTH, depth);
    }
}

static void product_of_widened(int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t lda,
                               const uint16_t *b, int64_t ldb, const float *bias, float *y,
                               int64_t ldy)
{
    const asd_tile    *t = asd_tile_best();
    _Alignas(64) float packed[ASD_TILE_DEPTH * PIECE_COLUMNS];
    _Alignas(64) float room[ASD_TILE_DEPTH * PIECE_ROWS]; /* of A, and before it of panels of B */
    const asd_matrix   wide = {room, ASD_TILE_DEPTH, 1}, turned = {room, 1, ASD_TILE_DEPTH};
    _Static_assert((int)PIECE_ROWS >= (int)ASD_TILE_MAX_COLUMNS,
                   "a panel of B waits in the room of A");
    for (int64_t c = 0; c < n; c += PIECE_COLUMNS)
        for (int64_t i = 0; i < k; i += ASD_TILE_DEPTH) {
            int64_t columns = at_most(n - c, PIECE_COLUMNS), depth = at_most(k - i, ASD_TILE_DEPTH);
            const float *base   = i ? y + c : bias ? bias + c : NULL;
            int64_t      ldbase = i ? ldy : 0;
            for (int64_t p = 0; p < columns; p += t->columns) {
                int64_t some = at_most(columns - p, t->columns);
                widen_rows(b + (c + p) * ldb + i, ldb, some, n - c - p, depth, room);
                asd_tile_pack(t, turned, depth, some, packed + p * depth);
            }
            for (int64_t r = 0; r < m; r += PIECE_ROWS) {
                int64_t rows = at_most(m - r, PIECE_ROWS);
                widen_rows(a + r * lda + i, lda, rows, m - r, depth, room);
                asd_tile_product(t, rows, columns, depth, wide, packed,
                                 base ? base + r * ldbase : NULL, ldbase, y + r * ldy + c, ldy);
            }
        }
}

void asd_bf16_product(const asd_pair_tile *t, int64_t m, int64_t n, int64_t k, const uint16_t *a,
                      int64_t lda, const uint16_t *b, int64_t ldb, const float *bias, float *y,
                      int64_t ldy)
{
    if (t && k % 2 == 0 && ldb % 2 == 0)
        product_of_pairs(t, m, n, k, a, lda, b, ldb, bias, y, ldy);
    else
        product_of_widened(m, n, k, a, lda, b, ldb, bias, y, ldy);
}
