/* data_cmds.h - the sub-commands of asd-data. Each takes argv from its own name on and returns the
 * process exit code. */
#ifndef ASD_TOOLS_DATA_CMDS_H
#define ASD_TOOLS_DATA_CMDS_H

int data_scan_main(int argc, char **argv);
int data_synth_main(int argc, char **argv);
int data_get_main(int argc, char **argv);

#endif
