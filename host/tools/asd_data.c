/* asd_data.c - look at, make, or download a data set. */
#include "base/log.h"
#include "base/opt.h"
#include "tools/data_cmds.h"

#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *text;
} commands[] = {
    {"scan", data_scan_main, "count and check the clips of a data set"},
    {"synth", data_synth_main, "make a two-microphone machine-sound set"},
    {"get", data_get_main, "download a DCASE Task 2 data set from Zenodo, with hash check"},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void help(FILE *out)
{
    fputs("usage: asd-data COMMAND [OPTION...] ...\n\nLook at, make, or download a data set.\n\n",
          out);
    for (int i = 0; i < N_COMMANDS; ++i)
        fprintf(out, "  %-6s %s\n", commands[i].name, commands[i].text);
    fputs("\n`asd-data COMMAND --help` says more. -V, --version: the version.\n", out);
}

int main(int argc, char **argv)
{
    const char *names[N_COMMANDS], *given = argc > 1 ? argv[1] : "";
    asd_log_setup("asd-data", ASD_LOG_NOTE, 0);
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
