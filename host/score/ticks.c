/* ticks.c - see ticks.h. */
#include "score/ticks.h"

#include <math.h>
#include <stdio.h>

asd_ticks asd_ticks_make(double lo, double hi, int want)
{
    asd_ticks t = {.n = 0, .step = 0};
    /* not below what arithmetic can halve, not beyond what it can add */
    if (!(hi > lo) || !isnormal((hi - lo) / 1024)) {
        t.at[t.n++] = lo;
        return t;
    }
    /* A step that is rounded up may be longer than the range and miss it: then finer. */
    for (; !t.n; want *= 2) {
        double rough = (hi - lo) / want;
        double power = pow(10, floor(log10(rough)));
        double ratio = rough / power;
        t.step       = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
        /* A hair of slack keeps ends such as 0.30000000000000004. Multiples are computed, not
         * summed, so 0 is exactly 0. */
        double first = ceil(lo / t.step - 1e-9);
        for (double k = first; k * t.step <= hi + 1e-9 * t.step && t.n < ASD_TICKS_MAX; ++k)
            t.at[t.n++] = k * t.step + 0.0; /* -0 becomes 0 */
    }
    return t;
}

asd_ticks asd_ticks_log(double lo, double hi)
{
    static const double digits[3] = {1, 2, 5};
    asd_ticks           t         = {.n = 0, .step = 0};
    double              decades   = log10(hi / lo);
    int                 per = decades <= 2.5 ? 3 : 1, stride = 1 + (int)(decades / 6);
    for (int e = (int)floor(log10(lo)); e <= (int)floor(log10(hi) + 1e-9); ++e)
        for (int k = 0; k < per; ++k) {
            double v = digits[k] * pow(10, e);
            if (e % stride == 0 && v >= lo * (1 - 1e-9) && v <= hi * (1 + 1e-9) &&
                t.n < ASD_TICKS_MAX)
                t.at[t.n++] = v;
        }
    return t;
}

const char *asd_tick_text(const asd_ticks *t, int i, char buf[32])
{
    double v = t->at[i];
    if (t->step > 0 && fabs(v) < 0.5 * t->step)
        v = 0;
    double largest = fmax(fabs(t->at[0]), fabs(t->at[t->n - 1]));
    if (t->step > 0 && largest < 1e5 && t->step >= 1e-4) {
        int decimals = (int)ceil(-log10(t->step) - 1e-9);
        snprintf(buf, 32, "%.*f", decimals > 0 ? decimals : 0, v);
    } else if (t->step > 0) { /* digits enough to tell neighbours apart */
        double unit   = floor(log10(t->step) + 1e-9);
        int    digits = v == 0 ? 1 : 1 + (int)(floor(log10(fabs(v)) + 1e-9) - unit);
        snprintf(buf, 32, "%.*g", digits < 1 ? 1 : digits > 12 ? 12 : digits, v);
    } else {
        snprintf(buf, 32, "%.4g", v);
    }
    return buf;
}
