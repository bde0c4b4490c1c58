/* asd_eval.c - scores, metrics, comparisons, reports and the challenge package. */
#include "tools/eval_cmds.h"
#include "tools/dispatch.h"

static const asd_subcommand commands[] = {
    {"score", eval_score_main, "anomaly scores and decisions of a finished run"},
    {"omega", eval_omega_main, "official values of anomaly scores, with intervals"},
    {"table", eval_table_main, "Omega of a published table of cells"},
    {"compare", eval_compare_main, "is B better than A on the same clips?"},
    {"audit", eval_audit_main, "does a score come from one clip's sound alone?"},
    {"report", eval_report_main, "one HTML page: values, intervals, curves, provenance"},
    {"submit", eval_submit_main, "make and check the challenge package"},
    {0},
};

int main(int argc, char **argv)
{
    return asd_dispatch("asd-eval", "Scores, metrics, comparisons and the challenge package.",
                        commands, argc, argv);
}
