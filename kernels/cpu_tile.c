/* cpu_tile.c - see cpu_tile.h.
 *
 * A tile is a block of y held in registers: 6 x 16 on AVX2 (12 of 16 registers, 12 products for 8
 * loads a step), 8 x 48 on AVX-512 (24 of 32, 24 for 11): enough chains to hide the latency of 4
 * cycles at two products a cycle. One panel of B (256 x 16 floats: 16 KB) stays in the first cache
 * while the rows of A pass.
 */
#include "kernels/cpu_tile.h"

#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

/* --- AVX2 --- */

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2,fma")))

/* Rows by name, not in an array: gcc keeps arrays of vectors in memory. */
#define SIX(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define EIGHT(DO) SIX(DO) DO(6) DO(7)

AVX2_INLINE void avx2_rows(const int rows, int64_t k, asd_matrix a, const float *b,
                           const float *base, int64_t ldbase, float *y, int64_t ldy)
{
    const float *x = a.x;
#define START(r)                                                                                   \
    __m256 left##r = _mm256_setzero_ps(), right##r = left##r;                                      \
    if (r < rows)                                                                                  \
        _mm_prefetch((const char *)(y + r * ldy), _MM_HINT_T0);
#define STEP(r)                                                                                    \
    if (r < rows) {                                                                                \
        __m256 v = _mm256_broadcast_ss(x + r * a.row);                                             \
        left##r  = _mm256_fmadd_ps(v, b0, left##r);                                                \
        right##r = _mm256_fmadd_ps(v, b1, right##r);                                               \
    }
#define END(r)                                                                                     \
    if (r < rows) {                                                                                \
        if (base) {                                                                                \
            left##r  = _mm256_add_ps(_mm256_loadu_ps(base + r * ldbase), left##r);                 \
            right##r = _mm256_add_ps(_mm256_loadu_ps(base + r * ldbase + 8), right##r);            \
        }                                                                                          \
        _mm256_storeu_ps(y + r * ldy, left##r);                                                    \
        _mm256_storeu_ps(y + r * ldy + 8, right##r);                                               \
    }
    SIX(START)
    for (int64_t i = 0; i < k; ++i, x += a.column, b += 16) {
        __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
        SIX(STEP)
    }
    SIX(END)
#undef START
#undef STEP
#undef END
}

AVX2 static void avx2_run(int64_t rows, int64_t k, asd_matrix a, const float *b, const float *base,
                          int64_t ldbase, float *y, int64_t ldy)
{
    switch (rows) {
    case 6: avx2_rows(6, k, a, b, base, ldbase, y, ldy); break;
    case 5: avx2_rows(5, k, a, b, base, ldbase, y, ldy); break;
    case 4: avx2_rows(4, k, a, b, base, ldbase, y, ldy); break;
    case 3: avx2_rows(3, k, a, b, base, ldbase, y, ldy); break;
    case 2: avx2_rows(2, k, a, b, base, ldbase, y, ldy); break;
    default: avx2_rows(1, k, a, b, base, ldbase, y, ldy); break;
    }
}

/* Pairs, then pairs of pairs, then halves. */
AVX2 static void avx2_turn(const float *from, int64_t ldfrom, float *to, int64_t ldto)
{
    __m256 r[8], s[8];
    for (int i = 0; i < 8; ++i)
        r[i] = _mm256_loadu_ps(from + i * ldfrom);
    for (int i = 0; i < 8; i += 2) {
        s[i]     = _mm256_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i]     = _mm256_shuffle_ps(s[i], s[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(s[i], s[i + 2], 0xEE);
        r[i + 2] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(s[i + 1], s[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
        _mm256_storeu_ps(to + i * ldto, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * ldto, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}

static const asd_tile avx2_tile = {"avx2", 6, 16, avx2_run, avx2_turn};

/* --- AVX-512 --- */

#define AVX512 __attribute__((target("avx512f")))
#define AVX512_INLINE static inline __attribute__((always_inline, target("avx512f")))

AVX512_INLINE void avx512_rows(const int rows, int64_t k, asd_matrix a, const float *b,
                               const float *base, int64_t ldbase, float *y, int64_t ldy)
{
    const float *x = a.x;
#define START(r) __m512 left##r = _mm512_setzero_ps(), middle##r = left##r, right##r = left##r;
#define STEP(r)                                                                                    \
    if (r < rows) {                                                                                \
        __m512 v  = _mm512_set1_ps(x[r * a.row]);                                                  \
        left##r   = _mm512_fmadd_ps(v, b0, left##r);                                               \
        middle##r = _mm512_fmadd_ps(v, b1, middle##r);                                             \
        right##r  = _mm512_fmadd_ps(v, b2, right##r);                                              \
    }
#define END(r)                                                                                     \
    if (r < rows) {                                                                                \
        if (base) {                                                                                \
            left##r   = _mm512_add_ps(_mm512_loadu_ps(base + r * ldbase), left##r);                \
            middle##r = _mm512_add_ps(_mm512_loadu_ps(base + r * ldbase + 16), middle##r);         \
            right##r  = _mm512_add_ps(_mm512_loadu_ps(base + r * ldbase + 32), right##r);          \
        }                                                                                          \
        _mm512_storeu_ps(y + r * ldy, left##r);                                                    \
        _mm512_storeu_ps(y + r * ldy + 16, middle##r);                                             \
        _mm512_storeu_ps(y + r * ldy + 32, right##r);                                              \
    }
    EIGHT(START)
    for (int64_t i = 0; i < k; ++i, x += a.column, b += 48) {
        __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16), b2 = _mm512_loadu_ps(b + 32);
        EIGHT(STEP)
    }
    EIGHT(END)
#undef START
#undef STEP
#undef END
}

AVX512 static void avx512_run(int64_t rows, int64_t k, asd_matrix a, const float *b,
                              const float *base, int64_t ldbase, float *y, int64_t ldy)
{
    switch (rows) {
    case 8: avx512_rows(8, k, a, b, base, ldbase, y, ldy); break;
    case 7: avx512_rows(7, k, a, b, base, ldbase, y, ldy); break;
    case 6: avx512_rows(6, k, a, b, base, ldbase, y, ldy); break;
    case 5: avx512_rows(5, k, a, b, base, ldbase, y, ldy); break;
    case 4: avx512_rows(4, k, a, b, base, ldbase, y, ldy); break;
    case 3: avx512_rows(3, k, a, b, base, ldbase, y, ldy); break;
    case 2: avx512_rows(2, k, a, b, base, ldbase, y, ldy); break;
    default: avx512_rows(1, k, a, b, base, ldbase, y, ldy); break;
    }
}

static const asd_tile avx512_tile = {"avx512f", 8, 48, avx512_run, avx2_turn};
#endif

/* --- any processor --- */

enum { PLAIN_ROWS = 4, PLAIN_COLUMNS = 8 };

static void plain_run(int64_t rows, int64_t k, asd_matrix a, const float *b, const float *base,
                      int64_t ldbase, float *y, int64_t ldy)
{
    float sum[PLAIN_ROWS][PLAIN_COLUMNS] = {{0}};
    for (int64_t i = 0; i < k; ++i)
        for (int64_t r = 0; r < rows; ++r)
            for (int c = 0; c < PLAIN_COLUMNS; ++c)
                sum[r][c] += a.x[r * a.row + i * a.column] * b[i * PLAIN_COLUMNS + c];
    for (int64_t r = 0; r < rows; ++r)
        for (int c = 0; c < PLAIN_COLUMNS; ++c)
            y[r * ldy + c] = base ? base[r * ldbase + c] + sum[r][c] : sum[r][c];
}

static void plain_turn(const float *from, int64_t ldfrom, float *to, int64_t ldto)
{
    for (int i = 0; i < 8; ++i)
        for (int r = 0; r < 8; ++r)
            to[i * ldto + r] = from[r * ldfrom + i];
}

static const asd_tile plain_tile = {"plain", PLAIN_ROWS, PLAIN_COLUMNS, plain_run, plain_turn};

#if defined(__x86_64__)
const asd_tile *const asd_tile_all[] = {&avx512_tile, &avx2_tile, &plain_tile, NULL};

int asd_tile_runs(const asd_tile *t)
{
    return t == &plain_tile || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                                (t == &avx2_tile || __builtin_cpu_supports("avx512f")));
}
#else
const asd_tile *const asd_tile_all[] = {&plain_tile, NULL};

int asd_tile_runs(const asd_tile *t)
{
    return t == &plain_tile;
}
#endif

const asd_tile *asd_tile_best(void)
{
    const asd_tile *const *t = asd_tile_all;
    while (!asd_tile_runs(*t))
        ++t;
    return *t;
}

int64_t asd_tile_packed(const asd_tile *t, int64_t k, int64_t n)
{
    return (n + t->columns - 1) / t->columns * t->columns * k;
}

static void turn(const asd_tile *t, int64_t rows, int64_t columns, const float *from,
                 int64_t ldfrom, float *to, int64_t ldto)
{
    int64_t whole_rows = rows / 8 * 8, whole_columns = columns / 8 * 8;
    for (int64_t r = 0; r < whole_rows; r += 8)
        for (int64_t c = 0; c < whole_columns; c += 8) {
            /* the next 8 rows, half of them with each half line; past the end it does nothing */
            for (int64_t i = 0, half = c / 8 % 2 * 4; i < 4; ++i)
                __builtin_prefetch(from + (r + 8 + half + i) * ldfrom + c);
            t->turn(from + r * ldfrom + c, ldfrom, to + c * ldto + r, ldto);
        }
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = r < whole_rows ? whole_columns : 0; c < columns; ++c)
            to[c * ldto + r] = from[r * ldfrom + c];
}

void asd_turn(int64_t rows, int64_t columns, const float *from, int64_t ldfrom, float *to,
              int64_t ldto)
{
    turn(asd_tile_best(), rows, columns, from, ldfrom, to, ldto);
}

/* n: a multiple of 8. Not memcpy: a call for 64 bytes costs more than the copy. */
static inline void copy_row(const float *restrict from, float *restrict to, int64_t n)
{
    for (int64_t c = 0; c < n; c += 8)
        for (int i = 0; i < 8; ++i)
            to[c + i] = from[c + i];
}

/* Rows of B are a page apart: the processor does not guess the next by itself. */
enum { AHEAD = 16 };

/* One panel of n <= t->columns columns. */
static void pack_panel(const asd_tile *t, asd_matrix b, int64_t k, int64_t n, float *to)
{
    int64_t N = t->columns;
    if (b.column == 1 && n == N) {
        for (int64_t i = 0; i < k; ++i) {
            __builtin_prefetch(b.x + (i + AHEAD < k ? i + AHEAD : i) * b.row);
            copy_row(b.x + i * b.row, to + i * N, N);
        }
    } else if (b.row == 1 && b.column != 1) {
        turn(t, n, k, b.x, b.column, to, N);
    } else {
        for (int64_t i = 0; i < k; ++i)
            for (int64_t c = 0; c < n; ++c)
                to[i * N + c] = b.x[i * b.row + c * b.column];
    }
    for (int64_t i = 0; n < N && i < k; ++i)
        memset(to + i * N + n, 0, (size_t)(N - n) * sizeof *to);
}

void asd_tile_pack(const asd_tile *t, asd_matrix b, int64_t k, int64_t n, float *packed)
{
    for (int64_t c = 0; c < n; c += t->columns) {
        asd_matrix panel = {b.x + c * b.column, b.row, b.column};
        pack_panel(t, panel, k, n - c < t->columns ? n - c : t->columns, packed + c * k);
    }
}

/* The last columns, fewer than a tile has: by way of a whole tile. */
static void narrow(const asd_tile *t, int64_t rows, int64_t columns, int64_t k, asd_matrix a,
                   const float *b, const float *base, int64_t ldbase, float *y, int64_t ldy)
{
    float whole[ASD_TILE_MAX_ROWS * ASD_TILE_MAX_COLUMNS];
    t->run(rows, k, a, b, NULL, 0, whole, t->columns);
    for (int64_t r = 0; r < rows; ++r)
        for (int64_t c = 0; c < columns; ++c) {
            float sum      = whole[r * t->columns + c];
            y[r * ldy + c] = base ? base[r * ldbase + c] + sum : sum;
        }
}

void asd_tile_product(const asd_tile *t, int64_t m, int64_t n, int64_t k, asd_matrix a,
                      const float *packed, const float *base, int64_t ldbase, float *y, int64_t ldy)
{
    for (int64_t c = 0; c < n; c += t->columns, packed += t->columns * k)
        for (int64_t r = 0; r < m; r += t->rows) {
            asd_matrix   rows  = {a.x + r * a.row, a.row, a.column};
            int64_t      count = m - r < t->rows ? m - r : t->rows;
            const float *from  = base ? base + r * ldbase + c : NULL;
            if (n - c < t->columns)
                narrow(t, count, n - c, k, rows, packed, from, ldbase, y + r * ldy + c, ldy);
            else
                t->run(count, k, rows, packed, from, ldbase, y + r * ldy + c, ldy);
        }
}

/* 192 columns are a multiple of every tile's. 96 rows of A by a stretch (98 KB) stay in the second
 * cache with a piece of B (192 KB) while all its panels pass. */
enum { PIECE_COLUMNS = 192, PIECE_ROWS = 96 };

/* A dense along its rows' index is copied, (depth, PIECE_ROWS): in place its neighbours along k lie
 * far apart, on few sets of the first cache. Not where columns are closer than a cache line:
 * windows. */
static asd_matrix near(asd_matrix a, int64_t rows, int64_t depth, float *room)
{
    if (a.row != 1 || (a.column < 16 && a.column > -16))
        return a;
    for (int64_t i = 0; i < depth; ++i)
        memcpy(room + i * PIECE_ROWS, a.x + i * a.column, (size_t)rows * sizeof *room);
    asd_matrix copy = {room, 1, PIECE_ROWS};
    return copy;
}

/* A piece of B serves all rows of A before the next is packed, so the packing costs 1 / (2 m) of
 * the arithmetic. */
void asd_product(int64_t m, int64_t n, int64_t k, asd_matrix a, asd_matrix b, const float *base,
                 int64_t ldbase, float *y, int64_t ldy)
{
    const asd_tile    *t = asd_tile_best();
    _Alignas(64) float packed[ASD_TILE_DEPTH * PIECE_COLUMNS];
    _Alignas(64) float room[ASD_TILE_DEPTH * PIECE_ROWS];
    for (int64_t c = 0; c < n; c += PIECE_COLUMNS)
        for (int64_t i = 0; i < k; i += ASD_TILE_DEPTH) {
            int64_t      columns = n - c < PIECE_COLUMNS ? n - c : PIECE_COLUMNS;
            int64_t      depth   = k - i < ASD_TILE_DEPTH ? k - i : ASD_TILE_DEPTH;
            asd_matrix   right   = {b.x + i * b.row + c * b.column, b.row, b.column};
            const float *from    = i ? y + c : base ? base + c : NULL;
            int64_t      ldfrom  = i ? ldy : ldbase;
            asd_tile_pack(t, right, depth, columns, packed);
            for (int64_t r = 0; r < m; r += PIECE_ROWS) {
                int64_t    rows = m - r < PIECE_ROWS ? m - r : PIECE_ROWS;
                asd_matrix left = {a.x + r * a.row + i * a.column, a.row, a.column};
                asd_tile_product(t, rows, columns, depth, near(left, rows, depth, room), packed,
                                 from ? from + r * ldfrom : NULL, ldfrom, y + r * ldy + c, ldy);
            }
        }
}
