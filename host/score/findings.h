/* findings.h - what a check found: every error and warning, in the order they were met. */
#ifndef ASD_SCORE_FINDINGS_H
#define ASD_SCORE_FINDINGS_H

#include "base/status.h"

#include <stdint.h>

typedef struct asd_finding {
    int   is_error; /* else a warning */
    char *text;     /* names the file, what was found and what is wanted */
} asd_finding;

typedef struct asd_findings {
    asd_finding *item; /* (n) */
    int64_t      n, n_errors;
} asd_findings;

/* ASD_E_OOM only. */
asd_status asd_find_error(asd_findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
asd_status asd_find_warning(asd_findings *f, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void asd_findings_clear(asd_findings *f);

#endif
