/* bank.h - distances to the nearest training rows, screened in fp32 and measured in double.
 *
 * What comes out is what measuring every pair would give, bit for bit: screening only leaves out
 * rows that are certain to be further away (bank.c has the bound). A row's result depends on
 * nothing but the row and the bank.
 */
#ifndef ASD_DETECT_BANK_H
#define ASD_DETECT_BANK_H

#include "detect/embedding.h"

enum { ASD_BANK_MAX_K = 1024 };

/* Training rows, those of group 0 first. By cosine they count by their directions alone; a row of
 * zeros has none, is at distance 1 from everything and stands behind the others. */
typedef struct asd_bank {
    int      cosine, groups;
    int64_t  n, D;     /* rows that have a distance to measure */
    int64_t  first[3]; /* group g: rows [first[g], first[g + 1]) */
    int64_t  zeros[2]; /* rows of zeros, by group */
    int64_t *origin;   /* (n + zeros) row of the caller */
    float   *row;      /* (n, D) as given */
    float   *unit;     /* (n, D) directions from the centre */
    double  *scale;    /* (n) 1, or 1 / length */
    double  *norm;     /* (n) lengths from the centre, of scaled rows */
    double  *centre;   /* (D) mean of the scaled rows */
    double   widest;   /* largest norm */
    double   reach;    /* of the longest scaled row and the centre */
} asd_bank;

/* x: (n, D) finite, n >= 1; copied. group: (n) 0 or 1, or NULL for one group. cosine: distance
 * 1 - x' y / (|x| |y|); else |x - y|. ASD_E_OOM names `what`. Call asd_bank_clear on any return.
 */
asd_status asd_bank_fit(asd_bank *b, const float *x, int64_t n, int64_t D,
                        const unsigned char *group, int cosine, const char *what);
/* score: (n, 2) by group, with one group twice the same: of the k (1 .. ASD_BANK_MAX_K) smallest
 * distances, or of all if there are fewer, the mean, or if kth the largest; INFINITY where the
 * group is empty. */
asd_status asd_bank_score(const asd_bank *b, const float *x, int64_t n, int64_t k, int kth,
                          double *score);
/* The same of the bank's own rows, in the caller's order, each to all but itself. */
asd_status asd_bank_leave_out(const asd_bank *b, int64_t k, int kth, double *score);
void       asd_bank_clear(asd_bank *b);

#endif
