/* data_synth.c - `asd-data synth DIR`: make a two-microphone machine-sound set. */
#include "base/log.h"
#include "base/opt.h"
#include "base/stop.h"
#include "data/synth.h"
#include "tools/data_cmds.h"

#include <stdlib.h>
#include <string.h>

typedef struct options {
    asd_common common;
    int64_t    seed, train_source, train_target, test, rate;
    double     seconds, snr_db, severity;
    char      *machines;
} options;

/* Defaults and ranges: keep in step with asd_synth_defaults and asd_synth_check in
 * data/synth_clip.c, which decide. */
static const asd_opt opts[] = {
    {"machines", 'm', ASD_OPT_TEXT, offsetof(options, machines), NULL, 0, 0, NULL, "LIST",
     "machines to make, separated by commas; default all"},
    {"train-source", 0, ASD_OPT_INT, offsetof(options, train_source), "990", 0, 10000, NULL,
     "clips", "normal training clips of the source domain, a machine"},
    {"train-target", 0, ASD_OPT_INT, offsetof(options, train_target), "10", 0, 10000, NULL, "clips",
     "normal training clips of the target domain, a machine"},
    {"test", 0, ASD_OPT_INT, offsetof(options, test), "50", 0, 10000, NULL, "clips",
     "test clips of each cell domain x condition, a machine"},
    {"seconds", 0, ASD_OPT_REAL, offsetof(options, seconds), "10", 0.5, 120, NULL, "s",
     "length of a clip"},
    {"rate", 0, ASD_OPT_INT, offsetof(options, rate), "16000", 8000, 96000, NULL, "Hz",
     "sampling rate"},
    {"snr-db", 0, ASD_OPT_REAL, offsetof(options, snr_db), "6", -30, 60, NULL, "dB",
     "machine over noise at the near microphone, source domain, on average"},
    {"severity", 0, ASD_OPT_REAL, offsetof(options, severity), "1", 0, 5, NULL, "",
     "multiplies every fault; 0 makes anomalies that are none"},
    {"seed", 0, ASD_OPT_INT, offsetof(options, seed), "0", 0, 9e15, NULL, "N",
     "same seed, same bits; another seed, other machines, rooms and clips"},
    ASD_COMMON_OPTS,
    ASD_FORCE_OPT,
    {0}};

static const asd_command command = {
    .name     = "asd-data synth",
    .operands = "DIR",
    .about    = "Make a two-microphone machine-sound set in the DCASE 2026 layout under DIR: fan, "
                "gearbox,\n"
                "bearing, slider, valve and toy car, near and far, with factory noise, attributes, a "
                "domain\n"
                "shift and anomalies. The set is complete or absent; interrupted, it goes on when "
                "started again.",
    .opts     = opts,
    .min_operands = 1,
    .max_operands = 1,
    .examples =
        "  asd-data synth data/synth                          the full size, 7,200 clips, 4.6 GB\n"
        "  asd-data synth --train-source 190 --test 25 DIR    a small set\n"
        "  asd-data synth --machines fan,valve --severity 2 DIR\n"};

static asd_status make(const options *o, const char *dir)
{
    asd_synth_params p = {.seed         = (uint64_t)o->seed,
                          .rate_hz      = (int)o->rate,
                          .seconds      = o->seconds,
                          .snr_db       = o->snr_db,
                          .severity     = o->severity,
                          .train_source = o->train_source,
                          .train_target = o->train_target,
                          .test         = o->test};
    const char      *name[64];
    int              n    = 0;
    char            *list = o->machines;
    for (char *part; list && (part = strsep(&list, ","));) {
        if (n == (int)(sizeof name / sizeof *name))
            return ASD_FAIL(ASD_E_USAGE, "--machines: more than %d names", n);
        name[n++] = part;
    }
    ASD_TRY(asd_stop_install());
    return asd_synth_write(&p, name, n, dir, o->common.force);
}

int data_synth_main(int argc, char **argv)
{
    options      o;
    asd_operands operands;
    int          exit_now = 0;
    asd_status   st       = asd_opts_parse(&command, argc, argv, &o, &operands, &exit_now);
    if (!st && !exit_now) {
        asd_common_apply(&o.common, "asd-data synth");
        st = make(&o, operands.v[0]);
    }
    asd_opts_clear(opts, &o);
    return asd_main_end(st);
}
