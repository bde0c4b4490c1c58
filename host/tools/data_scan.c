/* data_scan.c - asd-data scan: look at a data set. */
#include "tools/data_cmds.h"

#include "base/log.h"
#include "base/opt.h"
#include "base/stop.h"
#include "data/scan.h"

#include <inttypes.h>

enum { MAX_PROBLEMS = 20 };

typedef struct options {
    asd_common common;
    asd_list   machine;
    int        no_audio, deep;
} options;

static const asd_opt opts[] = {
    {"machine", 'm', ASD_OPT_LIST, offsetof(options, machine), NULL, 0, 1000, NULL, "NAME",
     "look at this machine alone"},
    {"no-audio", 0, ASD_OPT_FLAG, offsetof(options, no_audio), "0", 0, 1, NULL, "",
     "read the file names alone, no headers"},
    {"deep", 0, ASD_OPT_FLAG, offsetof(options, deep), "0", 0, 1, NULL, "",
     "read every sample as well, and look for NaN and Inf"},
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-data scan",
    .operands = "DIR",
    .about    = "Counts the clips of a DCASE Task 2 data set (2020 to 2026) by machine, domain,\n"
                "condition and attribute, and checks the header of every file against its length.\n"
                "DIR holds dev_data or eval_data, or machine folders, or is one machine's folder.\n"
                "What differs from DCASE 2026 is a warning. Damaged or misnamed files are listed,\n"
                "and the exit code is then 3.",
    .opts     = opts,
    .min_operands = 1,
    .max_operands = 1,
    .examples     = "  asd-data scan ~/dcase2026\n"
                    "  asd-data scan --json --deep ~/dcase2026/dev_data/raw/fan",
};

static asd_status report(const asd_scan *s, const options *o)
{
    const int64_t shown = o->common.verbose ? s->problems.n : MAX_PROBLEMS;
    if (o->common.json)
        ASD_TRY(asd_scan_json(s, stdout));
    else
        asd_scan_print(s, o->common.verbose, stdout);
    fflush(stdout);
    for (int64_t i = 0; i < s->warnings.n; ++i)
        asd_warn("%s", s->warnings.text[i]);
    for (int64_t i = 0; i < s->problems.n && i < shown; ++i)
        fprintf(stderr, "%s: %s\n", command.name, s->problems.text[i]);
    if (s->problems.n > shown)
        fprintf(stderr, "and %" PRId64 " more (-v or --json shows all)\n", s->problems.n - shown);
    if (s->problems.n)
        return ASD_FAIL(ASD_E_DATA, "%s: %" PRId64 " file%s or folder%s damaged or misnamed",
                        s->data.root, s->problems.n, s->problems.n == 1 ? "" : "s",
                        s->problems.n == 1 ? "" : "s");
    return ASD_OK;
}

static asd_status scan(int argc, char **argv, options *o)
{
    asd_operands operands;
    int          exit_now;
    asd_scan     s;
    ASD_TRY(asd_opts_parse(&command, argc, argv, o, &operands, &exit_now));
    if (exit_now)
        return ASD_OK;
    if (o->no_audio && o->deep)
        return ASD_FAIL(ASD_E_USAGE, "--no-audio and --deep exclude each other");
    asd_common_apply(&o->common, command.name);
    ASD_TRY(asd_stop_install());
    ASD_TRY(asd_scan_run(operands.v[0], o->machine.item, o->machine.n,
                         o->deep       ? ASD_SCAN_SAMPLES
                         : o->no_audio ? ASD_SCAN_NAMES
                                       : ASD_SCAN_HEADERS,
                         &s));
    asd_status st = report(&s, o);
    asd_scan_clear(&s);
    return st;
}

int data_scan_main(int argc, char **argv)
{
    options    o  = {0};
    asd_status st = scan(argc, argv, &o);
    asd_opts_clear(opts, &o);
    return asd_main_end(st);
}
