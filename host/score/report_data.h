/* report_data.h - all that a report shows, read and computed before the first byte is written.
 *
 * Shared by report*.c only; programs use report.h.
 */
#ifndef ASD_SCORE_REPORT_DATA_H
#define ASD_SCORE_REPORT_DATA_H

#include "base/file.h"
#include "score/canvas_cairo.h" /* asd_font */
#include "score/report.h"

#include <jansson.h>

enum { ASD_REPORT_ALL_PAIRS = 5 }; /* of more systems only the best one is set against each */

typedef struct asd_report_system {
    char     *name;   /* "mahalanobis"; unique in the report */
    char     *folder; /* of its score files */
    asd_eval  eval;
    asd_omega omega;
} asd_report_system;

/* Two systems on the same clips, or why they cannot be compared. */
typedef struct asd_report_pair {
    int64_t     a, b; /* indices of systems; differences are b - a */
    asd_compare compare;
    char       *why_not; /* NULL when `compare` holds */
} asd_report_pair;

/* A machine and section that at least one system scored. */
typedef struct asd_report_machine {
    const char *name; /* points into a system's eval */
    int         section;
} asd_report_machine;

/* Loss of one network over its steps, from metrics.jsonl. */
typedef struct asd_report_curve {
    char   *machine;                /* "" when the lines name none */
    double *step, *loss, *val_loss; /* (n) ascending steps; NaN where a line has no number */
    int64_t n;
    int64_t size; /* allocated */
} asd_report_curve;

typedef struct asd_report_run {
    char             *path;
    json_t           *facts; /* run.json, NULL when absent */
    asd_report_curve *curve; /* (n_curves) sorted by machine */
    int64_t           n_curves;
    int64_t           n_lines; /* of metrics.jsonl, 0 when absent */
    int               is_torn; /* its last line was cut off and is left out */
} asd_report_run;

typedef struct asd_report {
    const asd_report_options *options;
    asd_report_system        *system;
    asd_report_pair          *pair;
    asd_report_machine       *machine; /* sorted by (name, section) */
    asd_report_run           *run;
    int64_t                   n_systems, n_pairs, n_machines, n_runs;
    int64_t                   best;          /* system that the others are set against */
    asd_font                 *font;          /* NULL when this machine has none */
    int                       many_sections; /* a machine has more than one, or another than 00 */
} asd_report;

asd_status asd_report_gather(const asd_report_options *o, asd_report *out);
void       asd_report_clear(asd_report *r); /* after any return of asd_report_gather */

/* run.json and metrics.jsonl of one folder. Split off for tests. */
asd_status asd_report_read_run(const char *path, asd_report_run *out);
void       asd_report_run_clear(asd_report_run *run);

/* The row of a machine and section in a system, -1 when the system did not score it. */
int64_t asd_report_row(const asd_report_system *s, const asd_report_machine *m);

#endif
