/* log.h - what people read while a program runs. Everything here goes to stderr; results go to
 * stdout.
 *
 * Levels: -q errors and warnings only, default notes, -v details. Colour only on a terminal and
 * never when NO_COLOR is set. Only rank 0 prints; other ranks write to their log file alone.
 * Thread-safe.
 */
#ifndef ASD_BASE_LOG_H
#define ASD_BASE_LOG_H

#include "base/status.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum asd_log_level { ASD_LOG_WARN, ASD_LOG_NOTE, ASD_LOG_DETAIL } asd_log_level;

void asd_log_setup(const char *program, asd_log_level level, int rank);
/* Also append every line, with time and level, to this file. NULL closes it. */
asd_status asd_log_to_file(const char *path);
void asd_log(asd_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define asd_warn(...) asd_log(ASD_LOG_WARN, __VA_ARGS__)
#define asd_note(...) asd_log(ASD_LOG_NOTE, __VA_ARGS__)
#define asd_detail(...) asd_log(ASD_LOG_DETAIL, __VA_ARGS__)

/* A progress bar with rate and ETA on a terminal, otherwise one line at most every 30 s.
 * Set up with progress_init, step from one thread, end with progress_done. */
typedef struct asd_progress {
    const char *what; /* "read", not owned, must outlive the bar */
    const char *unit; /* "clips" */
    int64_t     total, done;
    int64_t     done_at_start; /* resumed work does not count in the rate */
    double      start, last;   /* seconds of asd_now */
    int         on_terminal;
    int         printed;
} asd_progress;

void asd_progress_init(asd_progress *p, const char *what, const char *unit, int64_t total,
                       int64_t done);
/* `extra` is added at the end of the line ("loss 0.43"), NULL for none. */
void asd_progress_step(asd_progress *p, int64_t done, const char *extra);
void asd_progress_done(asd_progress *p);

double asd_now(void); /* seconds, monotonic */
/* "3 s", "4 min 05 s", "2 h 07 min". Returns buf. */
const char *asd_format_seconds(double seconds, char *buf, size_t size);

/* The last line of every main(): prints the failure, if any, as "program: text" with a hint for -v,
 * and returns the process exit code. */
int asd_main_end(asd_status st);

#ifdef __cplusplus
}
#endif
#endif
