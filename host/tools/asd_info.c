/* asd_info.c - versions, libraries, machine, devices: the text to paste into a bug report; or what
 * a checkpoint holds. */
#include "base/cfg.h"
#include "base/log.h"
#include "tools/info.h"

#include <stdlib.h>

typedef struct info_args {
    asd_common common;
    int        recipe_docs;
} info_args;

static const asd_opt options[] = {ASD_COMMON_OPTS,
                                  ASD_JSON_OPT,
                                  {"recipe-docs", 0, ASD_OPT_FLAG, offsetof(info_args, recipe_docs),
                                   "0", 0, 1, NULL, "",
                                   "print docs/recipes.md, the table of all recipe keys, instead"},
                                  {0}};

static const asd_command command = {
    .name     = "asd-info",
    .operands = "[FILE]",
    .about = "Show versions, libraries, machine and devices: the text to paste into a bug report.\n"
             "With FILE, a checkpoint (PyTorch's zip or legacy form, safetensors): its format, "
             "SHA-256, configuration and tensors. Nothing in the file is executed.",
    .opts  = options,
    .max_operands = 1,
    .examples     = "asd-info\nasd-info --json | jq .libraries\n"
                    "asd-info BEATs_iter3_plus_AS2M.pt\nasd-info --recipe-docs > docs/recipes.md",
};

static asd_status show(int json)
{
    json_t    *info = info_collect();
    asd_status st   = ASD_OK;
    if (!info)
        return ASD_FAIL(ASD_E_OOM, "no memory for the facts");
    if (!json)
        info_print(info, stdout);
    else if (json_dumpf(info, stdout, JSON_INDENT(2)) || putchar('\n') == EOF)
        st = ASD_FAIL(ASD_E_IO, "cannot write the result");
    json_decref(info);
    return st;
}

int main(int argc, char **argv)
{
    info_args    args;
    asd_operands operands;
    int          exit_now;
    asd_log_setup("asd-info", ASD_LOG_NOTE, 0);
    asd_status st = asd_opts_parse(&command, argc, argv, &args, &operands, &exit_now);
    if (!st && !exit_now) {
        asd_common_apply(&args.common, "asd-info");
        if (args.recipe_docs)
            asd_cfg_docs(stdout);
        else if (operands.n)
            st = info_weights(operands.v[0], args.common.json, stdout);
        else
            st = show(args.common.json);
    }
    asd_opts_clear(options, &args);
    return asd_main_end(st);
}
