/* fuzz_scores.c - a score CSV: lines, cells, numbers, order. The first byte says how it is read. */
#include "fuzz.h"
#include "score/csv.h"

#include <math.h>

static void use(const asd_csv *c)
{
    int64_t *order = malloc((size_t)c->n * sizeof *order + 1);
    double   x;
    int      bit;
    char     text[200];
    MUST(order && c->n > 0);
    for (int64_t i = 0; i < c->n; ++i) {
        MUST(c->row[i].n >= 1 && c->row[i].n <= ASD_CSV_CELLS);
        for (int k = 0; k < c->row[i].n; ++k) {
            if (!asd_csv_number(c, i, k, "score", &x)) {
                MUST(isfinite(x));
                MUST(strtod(asd_real_text(x, text), NULL) == x);
            }
            if (!asd_csv_bit(c, i, k, "decision", &bit))
                MUST(bit == 0 || bit == 1);
        }
        asd_csv_where(c, i, text, sizeof text);
    }
    if (!asd_csv_sort(c, 0, "clip", order))
        for (int64_t i = 1; i < c->n; ++i)
            MUST(strcmp(c->row[order[i - 1]].cell[0], c->row[order[i]].cell[0]) < 0);
    free(order);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    asd_csv c;
    if (size < 1)
        return 0;
    asd_status st = asd_csv_parse("fuzz.csv", (const char *)data + 1, size - 1, data[0] & 1, &c);
    MUST(!st || st == ASD_E_DATA);
    if (!st) {
        use(&c);
        (void)asd_csv_want_cells(&c, 2, 2, "clip, score");
    }
    asd_csv_clear(&c);
    return 0;
}
