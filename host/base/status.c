/* status.c - the failure text of each thread, and the table of codes. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One row per code, in the order of the enum. Exit codes are those of the interface. */
static const struct {
    const char *name;
    int         exit_code;
} status_table[] = {
    [ASD_OK]        = {"ok", 0},
    [ASD_E_IO]      = {"io", 1},
    [ASD_E_NUMERIC] = {"numeric", 1},
    [ASD_E_SHAPE]   = {"shape", 1},
    [ASD_E_USAGE]   = {"usage", 2},
    [ASD_E_CONFIG]  = {"config", 2},
    [ASD_E_DATA]    = {"data", 3},
    [ASD_E_DEVICE]  = {"device", 4},
    [ASD_E_OOM]     = {"memory", 4},
    [ASD_E_CHECK]   = {"check", 5},
    [ASD_E_STOPPED] = {"stopped", 75},
};
_Static_assert(sizeof status_table / sizeof status_table[0] == ASD_NSTATUS, "a row per status");

static _Thread_local char error_text[4096];
static _Thread_local char error_where[128];

asd_status asd_fail_at(const char *file, int line, asd_status code, const char *format, ...)
{
    /* Formatted apart first: an argument may point into the previous text. */
    char    text[sizeof error_text];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    memcpy(error_text, text, sizeof text);
    const char *base = strrchr(file, '/');
    snprintf(error_where, sizeof error_where, "%s:%d", base ? base + 1 : file, line);
    return code;
}

const char *asd_error_text(void)
{
    return error_text;
}

const char *asd_error_where(void)
{
    return error_where;
}

void asd_error_clear(void)
{
    error_text[0] = error_where[0] = 0;
}

const char *asd_status_name(asd_status code)
{
    return (unsigned)code < ASD_NSTATUS ? status_table[code].name : "unknown";
}

int asd_exit_code(asd_status code)
{
    return (unsigned)code < ASD_NSTATUS ? status_table[code].exit_code : 1;
}

void asd_assert_failed(const char *file, int line, const char *text)
{
    fprintf(stderr,
            "%s:%d: broken contract: %s\nThis is a bug in asd, please report it with `asd-info`.\n",
            file, line, text);
    abort();
}
