/* bank.c - see bank.h.
 *
 *   u = s x - c         s: 1, or 1 / |x| by cosine;  c: the mean of the bank's s x
 *   |u - v|^2 = |u|^2 + |v|^2 - 2 |u| |v| p          p = (u / |u|)' (v / |v|)
 *   distance = |u - v|, by cosine |u - v|^2 / 2
 *
 * p comes from one product in fp32 and is wrong by at most e, so |u - v|^2 lies within 2 e |u| |v|
 * of what it says: with rows on one side of the origin, as embeddings are, the centre makes |u| and
 * |v| as small as the rows' spread and the bound worth something. A row whose lower bound is above
 * the k-th smallest upper bound is not among the k nearest. Those left, of a thousand rows one or
 * two, are measured from the rows themselves in double, as sum (s x - t y)^2: no difference of
 * large numbers, 0 for rows that are there twice.
 *
 * 1000 rows of 768 by 1000: 1.5 GFLOP in fp32, half of that where rows meet each other. In double
 * it was the same at half the rate and less exact: 1 - x' y keeps 16 digits of 1, not of what is
 * left. Rows within e of each other are all measured: if all are, three times as long as that.
 *
 * e: a rounding is at most 2^-24 of what is rounded. A chain of ASD_TILE_DEPTH fused products, the
 * chains added up, and both factors rounded to fp32; 16 more for products of roundings, unfused
 * multiplication, and lengths that are not 1 by a rounding.
 */
#include "detect/bank.h"

#include "base/par.h"
#include "detect/basis.h"
#include "kernels/cpu.h"
#include "kernels/cpu_tile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = ASD_DETECT_LANES };
enum { CHUNK = 16 };      /* rows searched for by a thread at a time */
enum { ROOM = 384 };      /* rows whose products are there at a time: of 1000, 1.5 MB */
enum { MIRRORED = 4096 }; /* rows of a bank whose products with itself are all there: 64 MB */
enum { BLOCK = 192 };     /* of those products; cpu_tile.c's pieces */
enum { STRETCH = 64 };    /* bounds made at a time */
enum { NOTED = 512 };     /* stretches whose least bound is kept */

/* --- sums in double, the same for every width of vectors --- */

/* |s x - t y|^2 */
ASD_SIMD static double square_between(const float *x, double s, const float *y, double t, int64_t D)
{
    double  sum[LANES] = {0};
    int64_t d          = 0;
    for (; d + LANES <= D; d += LANES)
        for (int k = 0; k < LANES; ++k) {
            double r = (double)x[d + k] * s - (double)y[d + k] * t;
            sum[k] += r * r;
        }
    for (int k = 0; d + k < D; ++k) {
        double r = (double)x[d + k] * s - (double)y[d + k] * t;
        sum[k] += r * r;
    }
    return asd_detect_lanes_sum(sum);
}

/* |s x - c|^2 */
ASD_SIMD static double square_from(const float *x, double s, const double *c, int64_t D)
{
    double  sum[LANES] = {0};
    int64_t d          = 0;
    for (; d + LANES <= D; d += LANES)
        for (int k = 0; k < LANES; ++k) {
            double r = (double)x[d + k] * s - c[d + k];
            sum[k] += r * r;
        }
    for (int k = 0; d + k < D; ++k) {
        double r = (double)x[d + k] * s - c[d + k];
        sum[k] += r * r;
    }
    return asd_detect_lanes_sum(sum);
}

static double length_of(const float *x, int64_t D)
{
    return sqrt(square_between(x, 1, x, 0, D));
}

ASD_SIMD static void unit_of(const float *x, double s, const double *c, double norm, int64_t D,
                             float *unit)
{
    double by = norm > 0 ? 1 / norm : 0;
    for (int64_t d = 0; d < D; ++d)
        unit[d] = (float)(((double)x[d] * s - c[d]) * by);
}

/* --- a row that neighbours are wanted of --- */

typedef struct query {
    const float *row, *product; /* (D), (b->n) */
    double       scale, norm;
    double       slack;  /* rounding of distances in double, at most */
    int64_t      itself; /* row of the bank that it is, or -1 */
} query;

/* What rounding s x - c does to the length of a difference of two such rows: an ulp of every term
 * of both, and one more for care. */
static double slack_of(const asd_bank *b, double length)
{
    return ldexp(length + b->reach, -50);
}

/* By how much |u - v|^2 may be off: products are, by 2 e u v; rounding moves the lengths, by g at
 * most, and both this sum and that of square_between. As a polynomial of v it is
 *   (2 g + r (u + v)) (u + v) + 2 e u v + g^2 = r v^2 + b v + c,   rising. */
typedef struct margin {
    double r, b, c;
} margin;

static margin margin_of(const asd_bank *b, const query *q)
{
    const int64_t terms = ASD_TILE_DEPTH + b->D / ASD_TILE_DEPTH + 16;
    const double  e = (double)terms * 0x1p-24, r = 0x1p-40, u = q->norm, g = q->slack;
    return (margin){r, 2 * (e * u + g + r * u), (2 * g + r * u) * u + g * g};
}

/* Lower (side -1) or upper (+1) bounds of the squared distances to rows [from, from + n), infinity
 * for the rest of a stretch. Returns the least. */
ASD_SIMD static double bounds(const asd_bank *b, const query *q, const margin *m, int64_t from,
                              int64_t n, double side, double *out)
{
    const float  *product = q->product + from;
    const double *norm = b->norm + from, u = q->norm;
    const double  square = 1 + side * m->r, linear = side * m->b, fixed = u * u + side * m->c;
    double        least[LANES];
    for (int64_t i = 0; i < n; ++i)
        out[i] = (square * norm[i] + (linear - 2 * u * (double)product[i])) * norm[i] + fixed;
    for (int64_t i = n; i < STRETCH; ++i)
        out[i] = (double)INFINITY;
    if (q->itself >= from && q->itself < from + n)
        out[q->itself - from] = (double)INFINITY;
    for (int k = 0; k < LANES; ++k)
        least[k] = out[k];
    for (int64_t i = LANES; i < STRETCH; i += LANES)
        for (int k = 0; k < LANES; ++k)
            least[k] = out[i + k] < least[k] ? out[i + k] : least[k];
    for (int k = 1; k < LANES; ++k)
        least[0] = least[k] < least[0] ? least[k] : least[0];
    return least[0];
}

/* The k smallest of what it is shown, in rising order. */
typedef struct smallest {
    int64_t k, n;
    double  d[ASD_BANK_MAX_K];
} smallest;

static void show(smallest *s, double d)
{
    if (s->n == s->k && d >= s->d[s->n - 1])
        return;
    int64_t at = s->n < s->k ? s->n++ : s->n - 1;
    for (; at > 0 && s->d[at - 1] > d; --at)
        s->d[at] = s->d[at - 1];
    s->d[at] = d;
}

static double limit_of(const smallest *s)
{
    return s->n == s->k ? s->d[s->k - 1] : (double)INFINITY;
}

static void start(smallest *s, int64_t k, int64_t zeros)
{
    s->k = k;
    s->n = 0;
    for (int64_t i = 0; i < zeros && i < k; ++i)
        show(s, 2); /* a cosine distance of 1, squared lengths being twice that */
}

/* The k smallest upper bounds of group g, and the least of each stretch. */
static void show_bounds(const asd_bank *b, const query *q, const margin *m, int g, smallest *s,
                        double *least)
{
    double  bound[STRETCH];
    int64_t from = b->first[g], end = b->first[g + 1];
    for (int64_t t = from, k = 0; t < end; t += STRETCH, ++k) {
        double low   = bounds(b, q, m, t, end - t < STRETCH ? end - t : STRETCH, 1, bound);
        double limit = limit_of(s);
        if (k < NOTED)
            least[k] = low;
        for (int64_t i = 0; low < limit && i < STRETCH; ++i)
            if (bound[i] < limit) {
                show(s, bound[i]);
                limit = limit_of(s);
            }
    }
}

/* Squared distances to the k nearest of group g. */
static void search(const asd_bank *b, const query *q, int g, int64_t k, smallest *s)
{
    double  bound[STRETCH], least[NOTED], limit;
    margin  m = margin_of(b, q);
    double  v = b->widest, most = 2 * ((m.r * v + m.b) * v + m.c); /* between bounds of a row */
    int64_t from = b->first[g], end = b->first[g + 1];
    start(s, k, b->zeros[g]);
    show_bounds(b, q, &m, g, s, least);
    limit = limit_of(s);
    start(s, k, b->zeros[g]);
    for (int64_t t = from, stretch = 0; t < end; t += STRETCH, ++stretch) {
        if (stretch < NOTED && least[stretch] - most > limit)
            continue;
        bounds(b, q, &m, t, end - t < STRETCH ? end - t : STRETCH, -1, bound);
        for (int64_t i = 0; i < STRETCH && t + i < end; ++i)
            if (bound[i] <= limit && t + i != q->itself) {
                show(s, square_between(q->row, q->scale, b->row + (t + i) * b->D, b->scale[t + i],
                                       b->D));
                if (limit_of(s) == 0)
                    return; /* nothing is nearer */
                limit = fmin(limit, limit_of(s));
            }
    }
}

static double taken(const smallest *s, int cosine, int kth)
{
    double sum = 0, last = 0;
    if (!s->n)
        return (double)INFINITY;
    for (int64_t i = 0; i < s->n; ++i) {
        last = cosine ? 0.5 * s->d[i] : sqrt(s->d[i]);
        sum += last;
    }
    return kth ? last : sum / (double)s->n;
}

static void score_row(const asd_bank *b, const query *q, int64_t k, int kth, double *score)
{
    smallest s;
    for (int g = 0; g < b->groups; ++g) {
        search(b, q, g, k, &s);
        score[g] = taken(&s, b->cosine, kth);
    }
    if (b->groups == 1)
        score[1] = score[0];
}

/* A row of zeros, by cosine: at distance 1 from all there are. own: the group that it is of itself,
 * or -1. */
static void score_zero(const asd_bank *b, int own, double *score)
{
    for (int g = 0; g < b->groups; ++g) {
        int64_t there = b->first[g + 1] - b->first[g] + b->zeros[g] - (g == own);
        score[g]      = there > 0 ? 1 : (double)INFINITY;
    }
    if (b->groups == 1)
        score[1] = score[0];
}

/* --- rows that are not of the bank --- */

typedef struct rows_job {
    const asd_bank *b;
    const float    *x; /* (n, D) */
    int64_t         n, k;
    int             kth;
    float          *unit;          /* (n, D) */
    double         *length, *norm; /* (n) */
    const float    *product;       /* (n, b->n) */
    double         *score;         /* (n, 2) */
} rows_job;

static double scale_of(const asd_bank *b, double length)
{
    return b->cosine && length > 0 ? 1 / length : 1;
}

static void prepare_chunk(void *ctx, int64_t first, int64_t count)
{
    const rows_job *j = ctx;
    const asd_bank *b = j->b;
    for (int64_t i = first; i < first + count; ++i) {
        const float *x     = j->x + i * b->D;
        double       scale = scale_of(b, j->length[i] = length_of(x, b->D));
        j->norm[i]         = sqrt(square_from(x, scale, b->centre, b->D));
        unit_of(x, scale, b->centre, j->norm[i], b->D, j->unit + i * b->D);
    }
}

static void score_chunk(void *ctx, int64_t first, int64_t count)
{
    const rows_job *j = ctx;
    const asd_bank *b = j->b;
    for (int64_t i = first; i < first + count; ++i) {
        double scale = scale_of(b, j->length[i]);
        query  q     = {j->x + i * b->D, j->product + i * b->n, scale, j->norm[i], 0, -1};
        q.slack      = slack_of(b, scale * j->length[i]);
        if (b->cosine && !(j->length[i] > 0))
            score_zero(b, -1, j->score + 2 * i);
        else
            score_row(b, &q, j->k, j->kth, j->score + 2 * i);
    }
}

/* y = rows units' */
static void multiply(const asd_bank *b, const float *unit, int64_t n, float *y)
{
    asd_gemm_job j = {.transpose_b = 1,
                      .m           = n,
                      .n           = b->n,
                      .k           = b->D,
                      .a           = unit,
                      .lda         = b->D,
                      .b           = b->unit,
                      .ldb         = b->D,
                      .y           = y,
                      .ldy         = b->n};
    if (b->n)
        asd_gemm(&j);
}

asd_status asd_bank_score(const asd_bank *b, const float *x, int64_t n, int64_t k, int kth,
                          double *score)
{
    int64_t  room = n < ROOM ? n : ROOM;
    rows_job j    = {.b = b, .k = k, .kth = kth};
    ASD_ASSERT(k >= 1 && k <= ASD_BANK_MAX_K);
    j.length       = malloc((size_t)(2 * room + 1) * sizeof *j.length);
    j.unit         = malloc((size_t)(room * b->D + 1) * sizeof *j.unit);
    float *product = malloc((size_t)(room * b->n + 1) * sizeof *product);
    if (j.length && j.unit && product) {
        j.norm    = j.length + room;
        j.product = product;
        for (int64_t at = 0; at < n; at += room) {
            j.n     = n - at < room ? n - at : room;
            j.x     = x + at * b->D;
            j.score = score + 2 * at;
            asd_par_ranges(j.n, CHUNK, prepare_chunk, &j);
            multiply(b, j.unit, j.n, product);
            asd_par_ranges(j.n, CHUNK, score_chunk, &j);
        }
    }
    int short_of = !j.length || !j.unit || !product;
    free(j.length);
    free(j.unit);
    free(product);
    return short_of ? ASD_FAIL(ASD_E_OOM, "no memory for distances to %lld clips", (long long)b->n)
                    : ASD_OK;
}

/* --- rows of the bank, to the others --- */

typedef struct own_job {
    const asd_bank *b;
    int64_t         from, k; /* of the bank's rows, the first whose products there are */
    int             kth;
    float          *product; /* (rows, b->n) */
    double         *score;   /* of the caller's rows */
} own_job;

static void own_chunk(void *ctx, int64_t first, int64_t count)
{
    const own_job  *j = ctx;
    const asd_bank *b = j->b;
    for (int64_t i = first; i < first + count; ++i) {
        int64_t t = j->from + i;
        query   q = {b->row + t * b->D, j->product + i * b->n, b->scale[t], b->norm[t], 0, t};
        q.slack   = slack_of(b, b->reach);
        score_row(b, &q, j->k, j->kth, j->score + 2 * b->origin[t]);
    }
}

/* Block (row, column) of the products on and above the diagonal, and its mirror image below. */
static void mirrored_chunk(void *ctx, int64_t chunk)
{
    const own_job  *j = ctx;
    const asd_bank *b = j->b;
    int64_t         n = b->n, blocks = (n + BLOCK - 1) / BLOCK, row = 0;
    for (; chunk >= blocks - row; ++row)
        chunk -= blocks - row;
    int64_t      at = row * BLOCK, to = (row + chunk) * BLOCK;
    int64_t      height = n - at < BLOCK ? n - at : BLOCK, width = n - to < BLOCK ? n - to : BLOCK;
    asd_gemm_job g = {.transpose_b = 1,
                      .m           = height,
                      .n           = width,
                      .k           = b->D,
                      .a           = b->unit + at * b->D,
                      .lda         = b->D,
                      .b           = b->unit + to * b->D,
                      .ldb         = b->D,
                      .y           = j->product + at * n + to,
                      .ldy         = n};
    asd_gemm_here(&g);
    if (at != to)
        asd_turn(height, width, g.y, n, j->product + to * n + at, n);
}

asd_status asd_bank_leave_out(const asd_bank *b, int64_t k, int kth, double *score)
{
    int64_t n = b->n, room = n <= MIRRORED ? n : ROOM, blocks = (n + BLOCK - 1) / BLOCK;
    own_job j = {.b = b, .k = k, .kth = kth, .score = score};
    ASD_ASSERT(k >= 1 && k <= ASD_BANK_MAX_K);
    j.product = malloc((size_t)(room * n + 1) * sizeof *j.product);
    if (!j.product)
        return ASD_FAIL(ASD_E_OOM, "no memory for distances of %lld clips", (long long)n);
    if (n <= MIRRORED)
        asd_par_for(blocks * (blocks + 1) / 2, mirrored_chunk, &j);
    for (; j.from < n; j.from += room) {
        int64_t rows = n - j.from < room ? n - j.from : room;
        if (n > MIRRORED)
            multiply(b, b->unit + j.from * b->D, rows, j.product);
        asd_par_ranges(rows, CHUNK, own_chunk, &j);
    }
    for (int64_t t = n; t < n + b->zeros[0] + b->zeros[1]; ++t)
        score_zero(b, t >= n + b->zeros[0], score + 2 * b->origin[t]);
    free(j.product);
    return ASD_OK;
}

/* --- the bank --- */

typedef struct bank_job {
    asd_bank     *b;
    const float  *x;      /* (all, D), the caller's */
    const double *length; /* (all) of its rows */
    double       *out;
} bank_job;

static void lengths_chunk(void *ctx, int64_t first, int64_t count)
{
    const bank_job *j = ctx;
    for (int64_t i = first; i < first + count; ++i)
        j->out[i] = length_of(j->x + i * j->b->D, j->b->D);
}

static void copy_chunk(void *ctx, int64_t first, int64_t count)
{
    const bank_job *j = ctx;
    asd_bank       *b = j->b;
    for (int64_t t = first; t < first + count; ++t) {
        memcpy(b->row + t * b->D, j->x + b->origin[t] * b->D, (size_t)b->D * sizeof *b->row);
        b->scale[t] = scale_of(b, j->length[b->origin[t]]);
    }
}

/* Columns [first, first + count) of the mean: of each, rows in order. */
static void centre_chunk(void *ctx, int64_t first, int64_t count)
{
    const bank_job *j = ctx;
    asd_bank       *b = j->b;
    double         *c = b->centre + first;
    for (int64_t t = 0; t < b->n; ++t) {
        const float *x = b->row + t * b->D + first;
        for (int64_t d = 0; d < count; ++d)
            c[d] += (double)x[d] * b->scale[t];
    }
    for (int64_t d = 0; d < count; ++d)
        c[d] /= (double)b->n;
}

static void units_chunk(void *ctx, int64_t first, int64_t count)
{
    const bank_job *j = ctx;
    asd_bank       *b = j->b;
    for (int64_t t = first; t < first + count; ++t) {
        const float *x = b->row + t * b->D;
        b->norm[t]     = sqrt(square_from(x, b->scale[t], b->centre, b->D));
        unit_of(x, b->scale[t], b->centre, b->norm[t], b->D, b->unit + t * b->D);
    }
}

/* origin: rows with a direction by group, then those of zeros by group. */
static void arrange(asd_bank *b, int64_t all, const unsigned char *group, const double *length)
{
    int64_t at = 0;
    for (int zero = 0; zero < 2; ++zero)
        for (int g = 0; g < 2; ++g) {
            int64_t before = at;
            for (int64_t i = 0; i < all; ++i)
                if ((group && group[i]) == g && (b->cosine && !(length[i] > 0)) == zero)
                    b->origin[at++] = i;
            if (zero)
                b->zeros[g] = at - before;
            else
                b->first[g + 1] = b->n = at;
        }
}

static asd_status bank_memory(asd_bank *b, const char *what)
{
    size_t n = (size_t)b->n, D = (size_t)b->D;
    b->row    = malloc((n * D + 1) * sizeof *b->row);
    b->unit   = malloc((n * D + 1) * sizeof *b->unit);
    b->scale  = malloc((n + 1) * sizeof *b->scale);
    b->norm   = malloc((n + 1) * sizeof *b->norm);
    b->centre = calloc(D, sizeof *b->centre);
    if (!b->row || !b->unit || !b->scale || !b->norm || !b->centre)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a bank of %zu clips", what, n);
    return ASD_OK;
}

static void fill_bank(bank_job *j)
{
    enum { COLUMNS = 64 };
    asd_bank *b       = j->b;
    double    longest = 0, centre = 0;
    if (!b->n)
        return;
    asd_par_ranges(b->n, CHUNK, copy_chunk, j);
    asd_par_ranges(b->D, COLUMNS, centre_chunk, j);
    asd_par_ranges(b->n, CHUNK, units_chunk, j);
    for (int64_t t = 0; t < b->n; ++t) {
        longest   = fmax(longest, b->scale[t] * j->length[b->origin[t]]);
        b->widest = fmax(b->widest, b->norm[t]);
    }
    for (int64_t d = 0; d < b->D; ++d)
        centre += b->centre[d] * b->centre[d];
    b->reach = longest + 2 * sqrt(centre);
}

asd_status asd_bank_fit(asd_bank *b, const float *x, int64_t n, int64_t D,
                        const unsigned char *group, int cosine, const char *what)
{
    memset(b, 0, sizeof *b);
    b->cosine      = cosine;
    b->groups      = group ? 2 : 1;
    b->D           = D;
    b->origin      = malloc((size_t)n * sizeof *b->origin);
    double *length = malloc((size_t)n * sizeof *length);
    if (!b->origin || !length) {
        free(length);
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a bank of %lld clips", what, (long long)n);
    }
    bank_job j = {.b = b, .x = x, .length = length, .out = length};
    asd_par_ranges(n, CHUNK, lengths_chunk, &j);
    arrange(b, n, group, length);
    asd_status st = bank_memory(b, what);
    if (!st)
        fill_bank(&j);
    free(length);
    return st;
}

void asd_bank_clear(asd_bank *b)
{
    free(b->origin);
    free(b->row);
    free(b->unit);
    free(b->scale);
    free(b->norm);
    free(b->centre);
    memset(b, 0, sizeof *b);
}
