/* mahalanobis.h - what the two halves of the detector share: mahalanobis.c, one machine on the CPU,
 * and mahalanobis_device.c, many on a device.
 */
#ifndef ASD_DETECT_MAHALANOBIS_H
#define ASD_DETECT_MAHALANOBIS_H

#include "detect/basis.h"

enum { COV_WEIGHTED, COV_LEDOIT_WOLF };
enum { LOO_CENTRE, LOO_REFIT };

typedef struct maha_params {
    int64_t k;
    double  weight;
    int     centre, cov, loo;
} maha_params;

/* cov=weighted, loo=centre. loo: (n, 2) distances of the training rows; with one head both columns
 * become the first. is_target: (n) 0 or 1 */
void maha_leave_out_centre(const asd_counts *count, int heads, const unsigned char *is_target,
                           int64_t n, double *loo);
/* Whether these leave-one-out distances of the source (one head: of all) are one number but for
 * rounding: no scale to judge others by. */
int maha_says_nothing(const asd_counts *count, int heads, const unsigned char *is_target, int64_t n,
                      const double *loo);
/* cov=ledoit_wolf: sqrt(v' (M - c r r')^-1 v) from v' v, v' r and r' r in the metric of M^-1. */
double maha_downdated(double vv, double vr, double rr, double c);

/* mahalanobis_device.c */
const char *maha_lacks(const void *params);
asd_status  maha_device(const void *params, asd_rows_task *task, int64_t n, asd_stream *s);

#endif
