/* eval_report.c - asd-eval report: its options, and where the file goes. */
#include "base/file.h"
#include "base/log.h"
#include "base/opt.h"
#include "score/report.h"

#include <stdio.h>
#include <string.h>

int eval_report_main(int argc, char **argv); /* called by asd_eval.c */

typedef struct report_values {
    asd_common common;
    char      *output, *truth, *title;
    int64_t    replicates, seed;
    double     level;
    int        auc, cells;
} report_values;

#define AT(field) offsetof(report_values, field)

static const asd_opt opts[] = {
    {"output", 'o', ASD_OPT_TEXT, AT(output), NULL, 0, 0, NULL, "FILE",
     "where to write; default RUN/eval/report.html"},
    {"truth", 0, ASD_OPT_TEXT, AT(truth), NULL, 0, 0, NULL, "DIR",
     "label files of the organisers; default: labels from the file names"},
    {"auc", 0, ASD_OPT_CHOICE, AT(auc), "official", 0, 0, "official|same-domain", "",
     "whose anomalies a domain's AUC uses"},
    {"cells", 0, ASD_OPT_CHOICE, AT(cells), "21", 0, 0, "21|14", "",
     "values that Omega averages: three or two a machine"},
    {"bootstrap", 0, ASD_OPT_INT, AT(replicates), "10000", 0, 1e6, NULL, "N",
     "resampled data sets for the intervals; 0 = none"},
    {"level", 0, ASD_OPT_REAL, AT(level), "0.95", 0.5, 0.9999, NULL, "", "level of the intervals"},
    {"seed", 0, ASD_OPT_INT, AT(seed), "0", 0, 9.0e15, NULL, "N", "seed of the bootstrap"},
    {"title", 0, ASD_OPT_TEXT, AT(title), NULL, 0, 0, NULL, "TEXT", "heading of the page"},
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-eval report",
    .operands = "RUN...",
    .about =
        "Writes one HTML file that needs nothing else: Omega with intervals, paired differences, "
        "all\n"
        "cells, ROC curves and score histograms, training loss, configuration. Prints its path.\n"
        "RUN is a run folder (scores/<detector>/), a folder of score files, or a folder of such.",
    .opts         = opts,
    .min_operands = 1,
    .max_operands = -1,
    .examples     = "asd-eval report runs/dcase-baseline\n"
                    "asd-eval report -o two.html scores/ae scores/mobilenetv2",
};

static asd_status run(const report_values *v, const asd_operands *operands)
{
    char                     path[PATH_MAX];
    const asd_report_options options = {
        .run    = operands->v,
        .n_runs = operands->n,
        .truth  = v->truth,
        .title  = v->title,
        .omega  = {v->auc, v->cells, v->replicates, v->level, (uint64_t)v->seed},
    };
    if (v->output) {
        ASD_TRY(asd_path(path, "%s", v->output));
    } else if (operands->n > 1) {
        return ASD_FAIL(ASD_E_USAGE, "report: several RUNs: say where to write with -o FILE");
    } else {
        ASD_TRY(asd_path(path, "%s/eval/report.html", operands->v[0]));
    }
    ASD_TRY(asd_report_write(&options, path));
    printf("%s\n", path);
    return ASD_OK;
}

int eval_report_main(int argc, char **argv)
{
    report_values values;
    asd_operands  operands;
    int           exit_now = 0;
    asd_status    st       = asd_opts_parse(&command, argc, argv, &values, &operands, &exit_now);
    if (!st && !exit_now) {
        asd_common_apply(&values.common, "asd-eval report");
        st = run(&values, &operands);
    }
    asd_opts_clear(opts, &values);
    return asd_main_end(st);
}
