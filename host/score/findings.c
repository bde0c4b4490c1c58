/* findings.c - see findings.h. */
#include "score/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asd_status add(asd_findings *f, int is_error, const char *format, va_list ap)
{
    asd_finding *more = realloc(f->item, (size_t)(f->n + 1) * sizeof *more);
    if (!more)
        return ASD_FAIL(ASD_E_OOM, "findings");
    f->item = more;
    if (vasprintf(&more[f->n].text, format, ap) < 0)
        return ASD_FAIL(ASD_E_OOM, "findings");
    more[f->n++].is_error = is_error;
    f->n_errors += is_error;
    return ASD_OK;
}

asd_status asd_find_error(asd_findings *f, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    asd_status st = add(f, 1, format, ap);
    va_end(ap);
    return st;
}

asd_status asd_find_warning(asd_findings *f, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    asd_status st = add(f, 0, format, ap);
    va_end(ap);
    return st;
}

void asd_findings_clear(asd_findings *f)
{
    for (int64_t i = 0; i < f->n; ++i)
        free(f->item[i].text);
    free(f->item);
    memset(f, 0, sizeof *f);
}
