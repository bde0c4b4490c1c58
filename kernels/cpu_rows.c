/* cpu_rows.c - sums along a row (cpu.h), and the second pass of sums over rows (rows.h). */
#include "kernels/rows.h"

#include "base/par.h"
#include "kernels/cpu.h"
#include "kernels/cpu_math.h"

ASD_SIMD float asd_row_dot(const float *a, const float *b, int64_t n)
{
    float   s[ASD_LANES] = {0};
    int64_t i            = 0;
    for (; i + ASD_LANES <= n; i += ASD_LANES)
        for (int k = 0; k < ASD_LANES; ++k)
            s[k] += a[i + k] * b[i + k];
    for (; i < n; ++i)
        s[i % ASD_LANES] += a[i] * b[i];
    return asd_lanes_sum(s);
}

enum { COLUMNS = 64 }; /* of one chunk */

typedef struct sum_job {
    const float *lines;
    int64_t      parts, ld, columns;
    float       *out;
    int          add;
} sum_job;

ASD_SIMD static void sum_columns(const float *lines, int64_t parts, int64_t ld, int64_t columns,
                                 float *out, int add)
{
    float sum[COLUMNS] = {0};
    for (int64_t p = 0; p < parts; ++p)
        for (int64_t c = 0; c < columns; ++c)
            sum[c] += lines[p * ld + c];
    for (int64_t c = 0; c < columns; ++c)
        out[c] = add ? out[c] + sum[c] : sum[c];
}

static void sum_chunk(void *ctx, int64_t chunk)
{
    const sum_job *j = ctx;
    int64_t        o = chunk * COLUMNS, left = j->columns - o;
    sum_columns(j->lines + o, j->parts, j->ld, left < COLUMNS ? left : COLUMNS, j->out + o, j->add);
}

void asd_sum_lines(const float *lines, int64_t parts, int64_t ld, int64_t columns, float *out,
                   int add)
{
    sum_job j = {lines, parts, ld, columns, out, add};
    asd_par_for((columns + COLUMNS - 1) / COLUMNS, sum_chunk, &j);
}
