/* panels.c - products and triangular solves in double whose rows know nothing of each other. See
 * basis.h.
 *
 *   y(r, c) = sum over pieces of 256 of d, in order, of (sum over d of the piece, in order)
 *
 * One chain of fused multiply-adds a piece, whatever the rows and columns beside it. A tile is 6
 * rows of x by a panel of 8 columns: 12 sums in registers of AVX2, 12 products for 2 loads of the
 * panel and 6 broadcasts, enough chains to hide the latency of 4 cycles at two products a cycle. A
 * piece of a panel is 16 KB and stays in the first cache while the rows of a chunk, packed tile by
 * tile, pass it from the second. (Processors without FMA multiply and then add, and have other
 * bits.)
 *
 * y L' = x is solved in the same way, eight columns at a time from the left: what those before
 * contribute is a product, what is left is multiplied by the inverse of the 8 x 8 block on the
 * diagonal. As much arithmetic as a product with the inverse of L, which then need not be made.
 */
#include "detect/basis.h"

#include "base/arena.h"
#include "base/par.h"

#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROWS = ASD_PANEL_ROWS, COLUMNS = 8, DEPTH = 256, MOST_ROWS = 8 * ROWS };
enum { CHUNK_NUMBERS = 65536 }; /* of a thread's rows */
_Static_assert(CHUNK_NUMBERS >= ROWS * ASD_MAX_COLUMNS, "a tile of any width fits");

static asd_status allocate(asd_panels *p, int64_t D, int64_t k, int64_t numbers)
{
    ASD_ASSERT(D <= ASD_MAX_COLUMNS);
    *p = (asd_panels){.D = D, .k = k, .a = asd_calloc_aligned((size_t)numbers, sizeof(double))};
    return p->a ? ASD_OK
                : ASD_FAIL(ASD_E_OOM, "no memory for a matrix of %lld x %lld", (long long)D,
                           (long long)k);
}

int64_t asd_panels_numbers(const asd_panels *p)
{
    int64_t end = (p->k + COLUMNS - 1) / COLUMNS * COLUMNS;
    return p->solves ? end * (end + COLUMNS) / 2 : end * p->D;
}

asd_status asd_panels_new(asd_panels *p, int64_t D, int64_t k)
{
    asd_panels shape = {.D = D, .k = k};
    return allocate(p, D, k, asd_panels_numbers(&shape));
}

asd_status asd_panels_copy(asd_panels *p, const double *a)
{
    int64_t n      = asd_panels_numbers(p);
    int     solves = p->solves;
    ASD_TRY(allocate(p, p->D, p->k, n));
    p->solves = solves;
    memcpy(p->a, a, (size_t)n * sizeof *a);
    return ASD_OK;
}

/* First number of the panel that begins with column c. That of a factor ends with its block on the
 * diagonal. */
static double *panel_of(const asd_panels *p, int64_t c)
{
    return p->a + (p->solves ? c * (c + COLUMNS) / 2 : c * p->D);
}

/* The inverse of the width x width lower triangle at l, column-major, ld: row f in column f of
 * to: (COLUMNS, COLUMNS). */
static void invert_block(const double *l, int64_t ld, int64_t width, double *to)
{
    for (int64_t e = 0; e < width; ++e)
        for (int64_t f = e; f < width; ++f) {
            double sum = f == e;
            for (int64_t i = e; i < f; ++i)
                sum -= l[i * ld + f] * to[e * COLUMNS + i];
            to[e * COLUMNS + f] = sum / l[f * ld + f];
        }
}

asd_status asd_panels_factor(asd_panels *p, int64_t D, const double *l)
{
    asd_panels shape = {.D = D, .k = D, .solves = 1};
    ASD_TRY(allocate(p, D, D, asd_panels_numbers(&shape)));
    p->solves = 1;
    for (int64_t c = 0; c < D; c += COLUMNS) {
        int64_t width = D - c < COLUMNS ? D - c : COLUMNS;
        double *panel = panel_of(p, c);
        for (int64_t d = 0; d < c; ++d)
            memcpy(panel + d * COLUMNS, l + d * D + c, (size_t)width * sizeof *panel);
        invert_block(l + c * D + c, D, width, panel + c * COLUMNS);
    }
    return ASD_OK;
}

void asd_panels_clear(asd_panels *p)
{
    free(p->a);
    memset(p, 0, sizeof *p);
}

/* --- tiles --- */

static void tile_plain(int64_t depth, const double *x, const double *panel, int add, double *out)
{
    double sum[ROWS * COLUMNS] = {0};
    for (int64_t d = 0; d < depth; ++d)
        for (int r = 0; r < ROWS; ++r)
            for (int c = 0; c < COLUMNS; ++c)
                sum[r * COLUMNS + c] += x[d * ROWS + r] * panel[d * COLUMNS + c];
    for (int i = 0; i < ROWS * COLUMNS; ++i)
        out[i] = add ? out[i] + sum[i] : sum[i];
}

#if defined(__x86_64__)
/* Rows by name, not in an array: gcc keeps arrays of vectors in memory. */
#define SIX(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define START(r) __m256d left##r = _mm256_setzero_pd(), right##r = left##r;
#define STEP(r)                                                                                    \
    {                                                                                              \
        __m256d v = _mm256_broadcast_sd(x + r);                                                    \
        left##r   = _mm256_fmadd_pd(v, a, left##r);                                                \
        right##r  = _mm256_fmadd_pd(v, b, right##r);                                               \
    }
#define END(r)                                                                                     \
    if (add) {                                                                                     \
        left##r  = _mm256_add_pd(_mm256_loadu_pd(out + r * COLUMNS), left##r);                     \
        right##r = _mm256_add_pd(_mm256_loadu_pd(out + r * COLUMNS + 4), right##r);                \
    }                                                                                              \
    _mm256_storeu_pd(out + r * COLUMNS, left##r);                                                  \
    _mm256_storeu_pd(out + r * COLUMNS + 4, right##r);

__attribute__((target("avx2,fma"))) static void tile_avx2(int64_t depth, const double *x,
                                                          const double *panel, int add, double *out)
{
    SIX(START)
    for (int64_t d = 0; d < depth; ++d, x += ROWS, panel += COLUMNS) {
        __m256d a = _mm256_loadu_pd(panel), b = _mm256_loadu_pd(panel + 4);
        SIX(STEP)
    }
    SIX(END)
}
#undef SIX
#undef START
#undef STEP
#undef END

const asd_panel_tile asd_panel_tile_all[] = {tile_avx2, tile_plain, NULL};

int asd_panel_tile_runs(asd_panel_tile tile)
{
    return tile == tile_plain || (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"));
}
#else
const asd_panel_tile asd_panel_tile_all[] = {tile_plain, NULL};

int asd_panel_tile_runs(asd_panel_tile tile)
{
    return tile == tile_plain;
}
#endif

static asd_panel_tile tile_best(void)
{
    const asd_panel_tile *t = asd_panel_tile_all;
    while (!asd_panel_tile_runs(*t))
        ++t;
    return *t;
}

/* --- products --- */

typedef struct multiply_job {
    const asd_panels *p;
    const float      *x;
    const double     *wide, *centre;
    int64_t           n;
    double           *y;
    asd_panel_tile    tile;
} multiply_job;

/* Row `at` + i of x in double, centred, becomes column i of the packed tile; zeros behind the last
 * row. */
static void pack_row(const multiply_job *j, int64_t at, int64_t i, double *to)
{
    int64_t D = j->p->D;
    to += i / ROWS * ROWS * D + i % ROWS;
    if (at + i >= j->n) {
        for (int64_t d = 0; d < D; ++d)
            to[d * ROWS] = 0;
    } else if (j->wide) {
        for (int64_t d = 0; d < D; ++d)
            to[d * ROWS] = j->wide[(at + i) * D + d];
    } else {
        const float *x = j->x + (at + i) * D;
        for (int64_t d = 0; d < D; ++d)
            to[d * ROWS] = (double)x[d] - (j->centre ? j->centre[d] : 0);
    }
}

/* out: (tiles, ROWS, COLUMNS), tile by tile x[from ..] times the panel's rows [from, from + depth)
 */
static void multiply_panel(const multiply_job *j, int64_t tiles, const double *x, int64_t from,
                           int64_t depth, const double *panel, double *out)
{
    int64_t D = j->p->D, size = ROWS * COLUMNS;
    if (!depth)
        memset(out, 0, (size_t)(tiles * size) * sizeof *out);
    for (int64_t d = 0; d < depth; d += DEPTH)
        for (int64_t t = 0; t < tiles; ++t)
            j->tile(depth - d < DEPTH ? depth - d : DEPTH, x + (t * D + from + d) * ROWS,
                    panel + (from + d) * COLUMNS, d > 0, out + t * size);
}

/* Columns [c, c + width) of the tiles' x: less out, or out itself. */
static void subtract(int64_t D, int64_t tiles, int64_t c, int64_t width, const double *out,
                     double *x)
{
    for (int64_t t = 0; t < tiles; ++t)
        for (int64_t w = 0; w < width; ++w)
            for (int64_t r = 0; r < ROWS; ++r)
                x[(t * D + c + w) * ROWS + r] -= out[(t * ROWS + r) * COLUMNS + w];
}

static void replace(int64_t D, int64_t tiles, int64_t c, int64_t width, const double *out,
                    double *x)
{
    for (int64_t t = 0; t < tiles; ++t)
        for (int64_t w = 0; w < width; ++w)
            for (int64_t r = 0; r < ROWS; ++r)
                x[(t * D + c + w) * ROWS + r] = out[(t * ROWS + r) * COLUMNS + w];
}

static void multiply_chunk(void *ctx, int64_t at, int64_t n)
{
    const multiply_job *j     = ctx;
    const asd_panels   *p     = j->p;
    int64_t             tiles = (n + ROWS - 1) / ROWS;
    double              x[CHUNK_NUMBERS], out[MOST_ROWS * COLUMNS];
    for (int64_t i = 0; i < tiles * ROWS; ++i)
        pack_row(j, at, i, x);
    for (int64_t c = 0; c < p->k; c += COLUMNS) {
        int64_t       width = p->k - c < COLUMNS ? p->k - c : COLUMNS;
        const double *panel = panel_of(p, c);
        if (p->solves) {
            multiply_panel(j, tiles, x, 0, c, panel, out);
            subtract(p->D, tiles, c, width, out, x);
            multiply_panel(j, tiles, x, c, width, panel, out);
            replace(p->D, tiles, c, width, out, x);
        } else {
            multiply_panel(j, tiles, x, 0, p->D, panel, out);
        }
        for (int64_t i = 0; i < n; ++i) {
            double *y = j->y + (at + i) * p->k + c;
            if (width == COLUMNS) /* of a length that is known: no call */
                memcpy(y, out + i * COLUMNS, COLUMNS * sizeof *out);
            else
                memcpy(y, out + i * COLUMNS, (size_t)width * sizeof *out);
        }
    }
}

/* Rows that one thread takes at a time: what half a megabyte of cache holds, by the width alone. */
static void multiply(multiply_job j)
{
    int64_t rows = CHUNK_NUMBERS / j.p->D / ROWS * ROWS;
    j.tile       = tile_best();
    asd_par_ranges(j.n, rows < MOST_ROWS ? rows : MOST_ROWS, multiply_chunk, &j);
}

void asd_panels_multiply(const asd_panels *p, const float *x, int64_t n, const double *centre,
                         double *y)
{
    multiply((multiply_job){.p = p, .x = x, .centre = centre, .n = n, .y = y});
}

void asd_panels_multiply_d(const asd_panels *p, const double *x, int64_t n, double *y)
{
    multiply((multiply_job){.p = p, .wide = x, .n = n, .y = y});
}
