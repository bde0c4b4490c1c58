/* asd_eval.c - scores, metrics, comparisons, reports and the challenge package. */
#include "base/log.h"
#include "tools/eval_cmds.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *text;
} commands[] = {
    {"score", eval_score_main, "anomaly scores and decisions of a finished run"},
    {"omega", eval_omega_main, "official values of anomaly scores, with intervals"},
    {"table", eval_table_main, "Omega of a published table of cells"},
    {"compare", eval_compare_main, "is B better than A on the same clips?"},
    {"report", eval_report_main, "one HTML page: values, intervals, curves, provenance"},
    {"submit", eval_submit_main, "make and check the challenge package"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out)
{
    fputs("usage: asd-eval COMMAND [OPTION...] ...\n\nScores, metrics, comparisons and the "
          "challenge package.\n\n",
          out);
    for (int i = 0; i < N_COMMANDS; ++i)
        fprintf(out, "  %-8s %s\n", commands[i].name, commands[i].text);
    fputs("\n`asd-eval COMMAND --help` says more. -V, --version: the version.\n", out);
}

int main(int argc, char **argv)
{
    const char *names[N_COMMANDS], *given = argc > 1 ? argv[1] : "";
    asd_log_setup("asd-eval", ASD_LOG_NOTE, 0);
    for (int i = 0; i < N_COMMANDS; ++i) {
        names[i] = commands[i].name;
        if (!strcmp(given, commands[i].name))
            return commands[i].run(argc - 1, argv + 1);
    }
    if (!strcmp(given, "-h") || !strcmp(given, "--help")) {
        help(stdout);
        return 0;
    }
    if (!strcmp(given, "-V") || !strcmp(given, "--version")) {
        puts("asd " ASD_VERSION);
        return 0;
    }
    if (!*given) {
        help(stderr);
        return asd_exit_code(ASD_E_USAGE);
    }
    const char *near = asd_nearest(given, names, N_COMMANDS);
    return asd_main_end(ASD_FAIL(ASD_E_USAGE, "unknown command \"%s\"%s%s%s", given,
                                 near ? "; did you mean \"" : "", near ? near : "",
                                 near ? "\"?" : ""));
}
