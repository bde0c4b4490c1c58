/* dispatch.h - programs with sub-commands: `asd-eval COMMAND ...`. */
#ifndef ASD_TOOLS_DISPATCH_H
#define ASD_TOOLS_DISPATCH_H

typedef struct asd_subcommand {
    const char *name;                  /* ends the table when NULL */
    int (*run)(int argc, char **argv); /* takes argv from its own name on, returns the exit code */
    const char *text;                  /* one line for the list */
} asd_subcommand;

/* main() of such a program: runs the sub-command, or prints help or version. Returns the exit code.
 */
int asd_dispatch(const char *program, const char *about, const asd_subcommand *commands, int argc,
                 char **argv);

#endif
