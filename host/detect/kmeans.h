/* kmeans.h - k-means with k-means++ starts, the best of several. */
#ifndef ASD_DETECT_KMEANS_H
#define ASD_DETECT_KMEANS_H

#include "base/status.h"

#include <stdint.h>

/* y: (n, D). centre: (K, D); label: (n). *K: clusters wanted; on return those that have members,
 * which are fewer when there are fewer different rows. Restart r draws from the seed and r alone;
 * of equal sums of squares the first counts. The same bits for any number of threads. ASD_E_OOM. */
asd_status asd_kmeans(const double *y, int64_t n, int64_t D, int64_t *K, int64_t restarts,
                      uint64_t seed, double *centre, int32_t *label);

#endif
