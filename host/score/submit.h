/* submit.h - the challenge's submission package: made from score files, and checked (dcase2026 4).
 *
 *   task2/<LABEL>/<LABEL>.meta.yaml
 *   task2/<LABEL>/anomaly_score_<machine>_section_00_test.csv     for each evaluation machine
 *   task2/<LABEL>/decision_result_<machine>_section_00_test.csv
 *   task2/<Name>_<Institute>_task2_<n>.technical_report.pdf
 *
 * The checker sees the bytes that will be sent, whoever made them.
 */
#ifndef ASD_SCORE_SUBMIT_H
#define ASD_SCORE_SUBMIT_H

#include "data/dataset.h"
#include "score/findings.h"
#include "score/package.h"
#include "score/scores.h"

/* Names of DCASE 2026; end with NULL. */
extern const char *const asd_eval_machines_2026[];
extern const char *const asd_dev_machines_2026[];

typedef struct asd_submit_options {
    char *const *machine, *const *dev_machine; /* evaluation and development machines */
    int64_t            n_machines, n_dev;
    int64_t            rows; /* test clips a machine: 200 */
    const asd_dataset *data; /* whose test clips the names must be; NULL: not compared */
} asd_submit_options;

/* Adds the meta file and the score and decision files of the evaluation machines that `scores` has;
 * what it lacks is left to the checker. */
asd_status asd_submit_add_system(asd_package *p, const asd_submit_options *o, const char *label,
                                 const asd_scores *scores, const char *meta, size_t meta_size);
asd_status asd_submit_add_report(asd_package *p, const char *label, const char *pdf, size_t size);

/* Every error and warning, also of a package made elsewhere. ASD_E_OOM only. */
asd_status asd_submit_check(const asd_package *p, const asd_submit_options *o, asd_findings *f);

#endif
