/* meta.h - the meta.yaml of a challenge submission (dcase2026 4.3): checked, and a form to fill in.
 */
#ifndef ASD_SCORE_META_H
#define ASD_SCORE_META_H

#include "base/status.h"
#include "score/findings.h"
#include "score/omega.h"

#include <stdio.h>

/* <LastName>_<Institute>_task2_<1..4>; letters, digits and hyphens in the first two parts. */
int asd_label_valid(const char *label);

/* submission.label of a meta file. ASD_E_DATA, with line and column, when it is not YAML or has no
 * label. name stands for the path; label: at least 128 bytes. */
asd_status asd_meta_label(const char *name, const char *text, size_t size, char *label);

/* Adds every missing or wrong field to f. label: of the folder it lies in. dev_machine: whose
 * results must be there. ASD_E_OOM only; a file that is no YAML is a finding too. */
asd_status asd_meta_check(const char *name, const char *text, size_t size, const char *label,
                          char *const *dev_machine, int64_t n_dev, asd_findings *f);

/* A form with every field. omega: values of the development machines to fill in, NULL for none. */
void asd_meta_template(const asd_omega *omega, char *const *dev_machine, int64_t n_dev, FILE *out);

#endif
