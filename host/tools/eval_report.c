/* eval_report.c - asd-eval report: its options, and where the file goes. */
#include "base/file.h"
#include "base/log.h"
#include "score/report.h"
#include "tools/eval_cmds.h"

#include <stdio.h>

typedef struct args {
    eval_args eval; /* first: EVAL_OPTS */
    char     *title, *figures;
} args;

static const asd_opt opts[] = {
    EVAL_OPTS,
    {"title", 0, ASD_OPT_TEXT, offsetof(args, title), NULL, 0, 0, NULL, "TEXT",
     "heading of the page"},
    {"figures", 0, ASD_OPT_TEXT, offsetof(args, figures), NULL, 0, 0, NULL, "DIR",
     "also write each figure there, as SVG and PDF for a two-column paper"},
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name         = "asd-eval report",
    .operands     = "RUN...",
    .about        = "Writes one HTML file that needs nothing else: Omega with intervals, paired\n"
                    "differences, all cells, ROC curves and score histograms, training loss and\n"
                    "configuration. Prints its path, and with --figures that folder too. RUN is a run, a\n"
                    "folder of score files, or a folder of such folders. Without -o the file is\n"
                    "RUN/eval/report.html.",
    .opts         = opts,
    .min_operands = 1,
    .max_operands = -1,
    .examples     = "  asd-eval report runs/dcase-baseline\n"
                    "  asd-eval report -o two.html scores/ae scores/mobilenetv2\n"
                    "  asd-eval report runs/dcase-baseline --figures paper/figures\n",
};

static asd_status open_system(const void *context, const char *folder, asd_eval *out)
{
    return eval_open(context, folder, out);
}

static asd_status report(const args *a, const asd_operands *operands)
{
    char                     path[PATH_MAX];
    const asd_report_options options = {
        .run          = operands->v,
        .n_runs       = operands->n,
        .truth        = a->eval.truth,
        .title        = a->title,
        .figures      = a->figures,
        .omega        = eval_options(&a->eval),
        .open         = open_system,
        .open_context = &a->eval,
    };
    if (a->eval.output)
        ASD_TRY(asd_path(path, "%s", a->eval.output));
    else if (operands->n > 1)
        return ASD_FAIL(ASD_E_USAGE, "several RUNs: say where to write with -o FILE");
    else
        ASD_TRY(asd_path(path, "%s/eval/report.html", operands->v[0]));
    ASD_TRY(asd_report_write(&options, path));
    printf("%s\n", path);
    if (a->figures)
        printf("%s\n", a->figures);
    return ASD_OK;
}

int eval_report_main(int argc, char **argv)
{
    args         a;
    asd_operands operands;
    int          over;
    asd_status   st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (!st && !over) {
        asd_common_apply(&a.eval.common, command.name);
        st = report(&a, &operands);
    }
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
