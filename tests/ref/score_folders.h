/* score_folders.h - small score folders for the tests of the report. */
#ifndef ASD_TESTS_SCORE_FOLDERS_H
#define ASD_TESTS_SCORE_FOLDERS_H

#include <stdint.h>

/* 48 clips of one machine and section: normal scores, anomalies raised by `lift`, target clips
 * harder. skip: this clip is left out (-1: none). */
void ref_write_scores(const char *folder, const char *machine, int section, double lift,
                      uint64_t seed, int skip);

extern const char *const ref_machines[]; /* three */
void                     ref_write_system(const char *folder, double lift, uint64_t seed);

/* A run folder with detectors "mse" and "mahalanobis". Valid until the next call. */
const char *ref_make_run(void);

enum { REF_HOSTILE = 11 };
/* As many systems in run/scores whose names, and those of their machines, try to break out of
 * markup, terminals and file names; each scores a machine of its own name and "fan". */
void ref_write_hostile(const char *run);

#endif
