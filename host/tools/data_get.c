/* data_get.c - asd-data get: download a data set from Zenodo. */
#include "tools/data_cmds.h"

#include "base/log.h"
#include "base/opt.h"
#include "base/stop.h"
#include "data/get.h"

#include <inttypes.h>
#include <string.h>

typedef struct options {
    asd_common common;
    asd_list   machine;
    int        list, keep_zip;
    char      *base_url;
    int64_t    retries;
    double     retry_wait_s;
} options;

static const asd_opt opts[] = {
    {"list", 'l', ASD_OPT_FLAG, offsetof(options, list), "0", 0, 1, NULL, "",
     "list the data sets that are known"},
    {"machine", 'm', ASD_OPT_LIST, offsetof(options, machine), NULL, 0, 1000, NULL, "NAME",
     "download the archives of this machine alone"},
    {"keep-zip", 0, ASD_OPT_FLAG, offsetof(options, keep_zip), "0", 0, 1, NULL, "",
     "keep the archives in DIR/zip after unpacking"},
    {"base-url", 0, ASD_OPT_TEXT, offsetof(options, base_url), "https://zenodo.org", 0, 0, NULL,
     "URL", "server with Zenodo's interface, for mirrors"},
    {"retries", 0, ASD_OPT_INT, offsetof(options, retries), "6", 0, 1000, NULL, "N",
     "failures in a row, without a new byte, before giving up"},
    {"retry-wait", 0, ASD_OPT_REAL, offsetof(options, retry_wait_s), "1", 0, 60, NULL, "SECONDS",
     "wait before the first retry; doubles each time, to 60 s"},
    ASD_DRY_RUN_OPT,
    ASD_FORCE_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-data get",
    .operands = "NAME DIR",
    .about =
        "Downloads a DCASE Task 2 data set from Zenodo and unpacks it in DIR, in the layout of\n"
        "the official baselines. Every archive is checked against the MD5 of its record. Cut\n"
        "off, it goes on where it stopped when started again; what is there is not fetched\n"
        "twice. The data's licence (CC BY-NC-SA 4.0) is the record's, not this program's.",
    .opts         = opts,
    .min_operands = 0,
    .max_operands = 2,
    .examples     = "  asd-data get --list\n"
                    "  asd-data get dcase2026-dev ~/dcase2026\n"
                    "  asd-data get dcase2026-dev ~/dcase2026 --machine fan --dry-run",
};

static void list_sets(void)
{
    printf("%-14s %-9s %-14s\n", "name", "record", "unpacked in");
    for (const asd_get_set *s = asd_get_sets; s->name; ++s)
        printf("%-14s %-9" PRId64 " %-14s DCASE Task 2, %s\n", s->name, s->record, s->folder,
               s->text);
}

static asd_status check_url(const char *url)
{
    const size_t n = strlen(url);
    if ((strncmp(url, "https://", 8) && strncmp(url, "http://", 7)) || n > 900 || url[n - 1] == '/')
        return ASD_FAIL(ASD_E_USAGE,
                        "--base-url \"%s\"; want http://... or https://... without a final slash",
                        url);
    return ASD_OK;
}

static asd_status get(int argc, char **argv, options *o)
{
    asd_operands       operands;
    int                exit_now;
    const asd_get_set *set;
    ASD_TRY(asd_opts_parse(&command, argc, argv, o, &operands, &exit_now));
    if (exit_now)
        return ASD_OK;
    asd_common_apply(&o->common, command.name);
    if (o->list) {
        list_sets();
        return ASD_OK;
    }
    if (operands.n != 2)
        return ASD_FAIL(ASD_E_USAGE, "%d operands; want NAME DIR (or --list)", operands.n);
    ASD_TRY(check_url(o->base_url));
    ASD_TRY(asd_get_find(operands.v[0], &set));
    ASD_TRY(asd_stop_install());
    const asd_get_options g = {
        .http       = {(int)o->retries, o->retry_wait_s},
        .base_url   = o->base_url,
        .machine    = o->machine.item,
        .n_machines = o->machine.n,
        .keep_zip   = o->keep_zip,
        .dry_run    = o->common.dry_run,
        .force      = o->common.force,
    };
    ASD_TRY(asd_get_run(set, operands.v[1], &g, stdout));
    if (!g.dry_run)
        asd_note("look at it: asd-data scan %s", operands.v[1]);
    return ASD_OK;
}

int data_get_main(int argc, char **argv)
{
    options    o  = {0};
    asd_status st = get(argc, argv, &o);
    asd_opts_clear(opts, &o);
    return asd_main_end(st);
}
