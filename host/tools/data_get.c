/* data_get.c - asd-data get: download a data set from Zenodo, or a checkpoint. */
#include "tools/data_cmds.h"

#include "base/log.h"
#include "base/opt.h"
#include "base/stop.h"
#include "data/checkpoint.h"
#include "data/get.h"

#include <inttypes.h>
#include <string.h>

typedef struct options {
    asd_common common;
    asd_list   machine;
    int        list, keep_zip, allow_unverified;
    char      *base_url, *url;
    int64_t    retries;
    double     retry_wait_s;
} options;

static const asd_opt opts[] = {
    {"list", 'l', ASD_OPT_FLAG, offsetof(options, list), "0", 0, 1, NULL, "",
     "list the data sets and checkpoints that are known"},
    {"machine", 'm', ASD_OPT_LIST, offsetof(options, machine), NULL, 0, 1000, NULL, "NAME",
     "download the archives of this machine alone"},
    {"keep-zip", 0, ASD_OPT_FLAG, offsetof(options, keep_zip), "0", 0, 1, NULL, "",
     "keep the archives in DIR/zip after unpacking"},
    {"base-url", 0, ASD_OPT_TEXT, offsetof(options, base_url), "https://zenodo.org", 0, 0, NULL,
     "URL", "server with Zenodo's interface, for mirrors"},
    {"url", 0, ASD_OPT_TEXT, offsetof(options, url), "", 0, 0, NULL, "URL",
     "fetch the checkpoint from here (http, https, file)"},
    {"allow-unverified", 0, ASD_OPT_FLAG, offsetof(options, allow_unverified), "0", 0, 1, NULL, "",
     "take a checkpoint of which no checksum is known"},
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
        "twice. The data's licence (CC BY-NC-SA 4.0) is the record's, not this program's.\n"
        "With a checkpoint's NAME, its file goes to DIR, checked against the manifest's SHA-256 "
        "or\n"
        "the MD5 of its record.",
    .opts         = opts,
    .min_operands = 0,
    .max_operands = 2,
    .examples =
        "  asd-data get --list\n"
        "  asd-data get dcase2026-dev ~/dcase2026\n"
        "  asd-data get dcase2026-dev ~/dcase2026 --machine fan --dry-run\n"
        "  asd-data get dasheng-base ~/weights\n"
        "  asd-data get beats-iter3-plus ~/weights --url file:///mnt/BEATs_iter3_plus_AS2M.pt",
};

static void list_sets(void)
{
    printf("%-14s %-9s %-14s\n", "name", "record", "unpacked in");
    for (const asd_get_set *s = asd_get_sets; s->name; ++s)
        printf("%-14s %-9" PRId64 " %-14s DCASE Task 2, %s\n", s->name, s->record, s->folder,
               s->text);
}

static void list_checkpoints(void)
{
    printf("\n%-20s %-8s %-11s %-9s %-50s %s\n", "checkpoint", "network", "licence", "checksum",
           "file", "origin");
    for (const asd_checkpoint *c = asd_checkpoints; c->name; ++c)
        printf("%-20s %-8s %-11s %-9s %-50s %s\n", c->name, c->architecture, c->licence,
               *c->sha256  ? "SHA-256"
               : c->record ? "record's"
                           : "none",
               c->file, c->origin);
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

static int is_address(const char *url)
{
    return !strncmp(url, "https://", 8) || !strncmp(url, "http://", 7) ||
           !strncmp(url, "file:///", 8);
}

static asd_status get_checkpoint(const asd_checkpoint *c, const char *dir, const options *o)
{
    const asd_checkpoint_options g = {
        .http             = {(int)o->retries, o->retry_wait_s},
        .base_url         = o->base_url,
        .url              = o->url,
        .allow_unverified = o->allow_unverified,
        .dry_run          = o->common.dry_run,
        .force            = o->common.force,
    };
    if (*o->url && !is_address(o->url))
        return ASD_FAIL(ASD_E_USAGE, "--url \"%s\"; want http://..., https://... or file:///...",
                        o->url);
    if (o->machine.n || o->keep_zip)
        return ASD_FAIL(ASD_E_USAGE,
                        "%s is a checkpoint: --machine and --keep-zip are for data sets", c->name);
    return asd_checkpoint_get(c, dir, &g, stdout);
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
        list_checkpoints();
        return ASD_OK;
    }
    if (operands.n != 2)
        return ASD_FAIL(ASD_E_USAGE, "%d operands; want NAME DIR (or --list)", operands.n);
    ASD_TRY(check_url(o->base_url));
    ASD_TRY(asd_stop_install());
    const asd_checkpoint *c = asd_checkpoint_find(operands.v[0]);
    if (c)
        return get_checkpoint(c, operands.v[1], o);
    ASD_TRY(asd_get_find(operands.v[0], &set));
    if (*o->url || o->allow_unverified)
        return ASD_FAIL(ASD_E_USAGE,
                        "%s is a data set: --url and --allow-unverified are for checkpoints",
                        set->name);
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
