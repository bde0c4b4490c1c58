/* ticks.h - round numbers for an axis, and their labels. */
#ifndef ASD_SCORE_TICKS_H
#define ASD_SCORE_TICKS_H

/* Round numbers (1, 2 or 5 times a power of ten) inside [lo, hi]. */
#define ASD_TICKS_MAX 16
typedef struct asd_ticks {
    double at[ASD_TICKS_MAX];
    int    n;
    double step;
} asd_ticks;
/* About `want` (2 .. 10) ticks; at least one when lo < hi. lo == hi gives that value alone. */
asd_ticks asd_ticks_make(double lo, double hi, int want);
/* Ticks at powers of ten inside [lo, hi], both > 0, and at twice and five times them where there is
 * room. May be none when hi < 2.5 lo. */
asd_ticks asd_ticks_log(double lo, double hi);
/* The tick's label with as many decimals as the step needs ("0.25", "1e-05"). Returns buf. */
const char *asd_tick_text(const asd_ticks *t, int i, char buf[32]);

#endif
