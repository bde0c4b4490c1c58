/* eval_cmds.h - the sub-commands of asd-eval; each takes its own argv and returns the exit code. */
#ifndef ASD_TOOLS_EVAL_CMDS_H
#define ASD_TOOLS_EVAL_CMDS_H

#include "base/opt.h"
#include "score/omega.h"

int eval_score_main(int argc, char **argv);
int eval_omega_main(int argc, char **argv);
int eval_table_main(int argc, char **argv);
int eval_compare_main(int argc, char **argv);
int eval_report_main(int argc, char **argv);
int eval_submit_main(int argc, char **argv);
int eval_audit_main(int argc, char **argv);

/* What omega, compare and report have in common: how to evaluate. First member of their structs, so
 * that EVAL_OPTS fits. */
typedef struct eval_args {
    asd_common common;
    char      *output, *truth, *data;
    asd_list   machine;
    int        auc, cells;
    int64_t    bootstrap, seed;
    double     level;
} eval_args;

#define EVAL_OPTS                                                                                  \
    {"truth",                                                                                      \
     0,                                                                                            \
     ASD_OPT_TEXT,                                                                                 \
     offsetof(eval_args, truth),                                                                   \
     NULL,                                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     NULL,                                                                                         \
     "DIR",                                                                                        \
     "the organisers' label folders, or an eval_data_list file; without it labels come from "      \
     "labelled file names"},                                                                       \
        {"data",                                                                                   \
         0,                                                                                        \
         ASD_OPT_TEXT,                                                                             \
         offsetof(eval_args, data),                                                                \
         NULL,                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "DIR",                                                                                    \
         "data set whose test clips must all have a score"},                                       \
        {"machine",    0,                                                                          \
         ASD_OPT_LIST, offsetof(eval_args, machine),                                               \
         "[]",         0,                                                                          \
         1000,         NULL,                                                                       \
         "NAME",       "evaluate this machine only; may be given several times"},                  \
        {"auc",                                                                                    \
         0,                                                                                        \
         ASD_OPT_CHOICE,                                                                           \
         offsetof(eval_args, auc),                                                                 \
         "official",                                                                               \
         0,                                                                                        \
         0,                                                                                        \
         "official|same-domain",                                                                   \
         "",                                                                                       \
         "anomalies that a domain's AUC uses: all, or its own"},                                   \
        {"cells",                                                                                  \
         0,                                                                                        \
         ASD_OPT_CHOICE,                                                                           \
         offsetof(eval_args, cells),                                                               \
         "21",                                                                                     \
         0,                                                                                        \
         0,                                                                                        \
         "21|14",                                                                                  \
         "",                                                                                       \
         "values a machine: 21 = AUC source, AUC target, pAUC; 14 = mean AUC, pAUC"},              \
        {"bootstrap", 0,                                                                           \
         ASD_OPT_INT, offsetof(eval_args, bootstrap),                                              \
         "10000",     0,                                                                           \
         1000000,     NULL,                                                                        \
         "N",         "replicates of the stratified bootstrap; 0 = no intervals"},                 \
        {"level",      0,                                                                          \
         ASD_OPT_REAL, offsetof(eval_args, level),                                                 \
         "0.95",       0.5,                                                                        \
         0.9999,       NULL,                                                                       \
         "",           "share of the bootstrap that an interval holds"},                           \
        {"seed", 0,    ASD_OPT_INT, offsetof(eval_args, seed), "0", 0,                             \
         9.0e15, NULL, "N",         "seed of the bootstrap"},                                      \
    {                                                                                              \
        "output", 'o', ASD_OPT_TEXT, offsetof(eval_args, output), NULL, 0, 0, NULL, "FILE",        \
            "write the result there instead of to standard output"                                 \
    }

asd_omega_options eval_options(const eval_args *a);
/* Reads and joins one system; with --data also demands a score for every test clip. */
asd_status eval_open(const eval_args *a, const char *folder, asd_eval *out);

/* Where a result goes: stdout, or a file that is complete or absent. */
typedef struct eval_out {
    FILE *stream;
    void *file; /* asd_outfile, NULL for stdout */
} eval_out;
asd_status eval_out_open(const char *path, eval_out *o);
asd_status eval_out_close(eval_out  *o,
                          asd_status st); /* st: what came before; failure leaves no file */

#endif
