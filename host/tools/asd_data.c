/* asd_data.c - look at, make, or download a data set. */
#include "tools/data_cmds.h"
#include "tools/dispatch.h"

static const asd_subcommand commands[] = {
    {"scan", data_scan_main, "count and check the clips of a data set"},
    {"synth", data_synth_main, "make a two-microphone machine-sound set"},
    {"get", data_get_main, "download a DCASE Task 2 data set from Zenodo, with hash check"},
    {0},
};

int main(int argc, char **argv)
{
    return asd_dispatch("asd-data", "Look at, make, or download a data set.", commands, argc, argv);
}
