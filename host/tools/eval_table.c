/* eval_table.c - asd-eval table: Omega of a published table of cells. */
#include "base/log.h"
#include "score/table.h"
#include "tools/eval_cmds.h"

typedef struct args {
    asd_common common;
    char      *output;
} args;

static const asd_opt opts[] = {
    {"output", 'o', ASD_OPT_TEXT, offsetof(args, output), NULL, 0, 0, NULL, "FILE",
     "write the result there instead of to standard output"},
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name         = "asd-eval table",
    .operands     = "CSV",
    .about        = "Omega of a table of cells, such as one typed off a report.\n"
                    "CSV has the header machine,auc_source,auc_target,pauc or machine,auc,pauc. Values "
                    "are percent\nwhen any of them is above 1, fractions otherwise, for the whole file.",
    .opts         = opts,
    .min_operands = 1,
    .max_operands = 1,
};

int eval_table_main(int argc, char **argv)
{
    args         a;
    asd_operands operands;
    asd_table    table;
    eval_out     out;
    int          over;
    asd_status   st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (st || over)
        goto done;
    asd_common_apply(&a.common, command.name);
    ASD_GO(done, st, asd_table_read(operands.v[0], &table));
    ASD_GO(done, st, eval_out_open(a.output, &out));
    if (a.common.json)
        st = asd_table_print_json(&table, out.stream);
    else
        asd_table_print(&table, out.stream);
    st = eval_out_close(&out, st);
done:
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
