/* dispatch.c - see dispatch.h. */
#include "tools/dispatch.h"

#include "base/log.h"
#include "base/opt.h"

#include <stdio.h>
#include <string.h>

static void help(const char *program, const char *about, const asd_subcommand *commands, FILE *out)
{
    fprintf(out, "usage: %s COMMAND [OPTION...] ...\n\n%s\n\n", program, about);
    for (const asd_subcommand *c = commands; c->name; ++c)
        fprintf(out, "  %-8s %s\n", c->name, c->text);
    fprintf(out, "\n`%s COMMAND --help` says more. -V, --version: the version.\n", program);
}

int asd_dispatch(const char *program, const char *about, const asd_subcommand *commands, int argc,
                 char **argv)
{
    const char *names[32], *given = argc > 1 ? argv[1] : "";
    int64_t     n = 0;
    asd_log_setup(program, ASD_LOG_NOTE, 0);
    for (const asd_subcommand *c = commands; c->name; ++c) {
        ASD_ASSERT(n < 32);
        names[n++] = c->name;
        if (!strcmp(given, c->name))
            return c->run(argc - 1, argv + 1);
    }
    if (!strcmp(given, "-h") || !strcmp(given, "--help")) {
        help(program, about, commands, stdout);
        return asd_main_end(ASD_OK);
    }
    if (!strcmp(given, "-V") || !strcmp(given, "--version")) {
        puts("asd " ASD_VERSION);
        return asd_main_end(ASD_OK);
    }
    if (!*given) {
        help(program, about, commands, stderr);
        return asd_exit_code(ASD_E_USAGE);
    }
    const char *near = asd_nearest(given, names, n);
    return asd_main_end(ASD_FAIL(ASD_E_USAGE, "unknown command \"%s\"%s%s%s", given,
                                 near ? "; did you mean \"" : "", near ? near : "",
                                 near ? "\"?" : ""));
}
