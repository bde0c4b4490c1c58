/* report.h - one HTML file that says how good the systems are, how sure that is, and why; and its
 * figures one by one, for papers.
 *
 * The HTML file needs nothing else: no script, no font, no network. The metrics are those of
 * omega.h; nothing is computed a second time here.
 */
#ifndef ASD_SCORE_REPORT_H
#define ASD_SCORE_REPORT_H

#include "base/status.h"
#include "score/omega.h"

typedef struct asd_report_options {
    char *const      *run;     /* (n_runs) folders, see below */
    int64_t           n_runs;  /* 1 or more */
    const char       *truth;   /* label files (truth.h); NULL: labels from the file names */
    const char       *title;   /* NULL: made from the first run's name */
    const char       *figures; /* folder for figures as SVG and PDF, made if need be; NULL: none */
    asd_omega_options omega;
    /* Reads and joins the scores of a folder; NULL: asd_eval_open with `truth`. */
    asd_status (*open)(const void *context, const char *folder, asd_eval *out);
    const void *open_context;
} asd_report_options;

/* Each run is what asd_systems_find takes: a run folder with scores/<detector>/, a folder of score
 * files, or a folder of such folders; every folder of score files is a system. run.json and
 * log/metrics.jsonl of a run are shown when present. ASD_E_DATA: no score files, or whatever the
 * scores, run.json and metrics.jsonl have wrong. The folder of `path` is made if need be; the file
 * appears whole or not at all; the same input, options and fonts give the same bytes. So do the
 * figures, none of which appears unless all could be drawn; ASD_E_IO without any font, before
 * anything is written. */
asd_status asd_report_write(const asd_report_options *o, const char *path);

#endif
