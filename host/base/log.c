/* log.c - see log.h. One process-wide log: the only state outside const tables in this library. */
#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    char            program[64];
    asd_log_level   level;
    int             rank;
    FILE           *file;
    int             bar_on_line; /* a progress bar stands on the terminal's last line */
    pthread_mutex_t lock;
} log_state = {.program = "asd", .level = ASD_LOG_NOTE, .lock = PTHREAD_MUTEX_INITIALIZER};

double asd_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void asd_log_setup(const char *program, asd_log_level level, int rank)
{
    snprintf(log_state.program, sizeof log_state.program, "%s", program);
    log_state.level = level;
    log_state.rank  = rank;
}

asd_status asd_log_to_file(const char *path)
{
    FILE *f = NULL;
    if (path && !(f = fopen(path, "a")))
        return ASD_FAIL(ASD_E_IO, "%s: cannot open the log for writing: %s", path, strerror(errno));
    pthread_mutex_lock(&log_state.lock);
    if (log_state.file)
        fclose(log_state.file);
    log_state.file = f;
    pthread_mutex_unlock(&log_state.lock);
    return ASD_OK;
}

static int use_colour(void)
{
    const char *no = getenv("NO_COLOR");
    return isatty(STDERR_FILENO) && !(no && *no);
}

static void write_file_line(asd_log_level level, const char *text)
{
    static const char *const names[] = {"warn", "note", "detail"};
    char                     when[32];
    time_t                   now = time(NULL);
    struct tm                tm;
    gmtime_r(&now, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(log_state.file, "%s %-6s %s\n", when, names[level], text);
    fflush(log_state.file);
}

void asd_log(asd_log_level level, const char *format, ...)
{
    char    text[4608];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    pthread_mutex_lock(&log_state.lock);
    if (log_state.file)
        write_file_line(level, text);
    if (level <= log_state.level && log_state.rank == 0) {
        if (log_state.bar_on_line)
            fputs("\r\033[K", stderr);
        log_state.bar_on_line = 0;
        if (level == ASD_LOG_WARN)
            fprintf(stderr, "%s%s: warning:%s %s\n", use_colour() ? "\033[33m" : "",
                    log_state.program, use_colour() ? "\033[0m" : "", text);
        else
            fprintf(stderr, "%s\n", text);
    }
    pthread_mutex_unlock(&log_state.lock);
}

const char *asd_format_seconds(double seconds, char *buf, size_t size)
{
    if (!(seconds >= 0) || seconds > 3.6e7)
        snprintf(buf, size, "?");
    else if (seconds < 9.95)
        snprintf(buf, size, "%.1f s", seconds);
    else if (seconds < 59.5)
        snprintf(buf, size, "%.0f s", seconds);
    else if (seconds < 3570)
        snprintf(buf, size, "%d min %02d s", (int)(seconds + 0.5) / 60, (int)(seconds + 0.5) % 60);
    else
        snprintf(buf, size, "%d h %02d min", (int)(seconds / 60 + 0.5) / 60,
                 (int)(seconds / 60 + 0.5) % 60);
    return buf;
}

void asd_progress_init(asd_progress *p, const char *what, const char *unit, int64_t total,
                       int64_t done)
{
    *p = (asd_progress){
        .what = what, .unit = unit, .total = total, .done = done, .done_at_start = done};
    p->start = p->last = asd_now();
    p->on_terminal     = isatty(STDERR_FILENO);
}

static void print_progress(asd_progress *p, double now, const char *extra)
{
    enum { WIDTH = 24 };
    double rate     = (double)(p->done - p->done_at_start) / fmax(now - p->start, 1e-9);
    double fraction = p->total > 0 ? (double)p->done / (double)p->total : 0;
    char   eta[32], rate_text[32], bar[WIDTH + 1];
    asd_format_seconds(rate > 0 ? (double)(p->total - p->done) / rate : NAN, eta, sizeof eta);
    snprintf(rate_text, sizeof rate_text, rate < 10 ? "%.2f" : "%.0f", rate);
    pthread_mutex_lock(&log_state.lock);
    if (p->on_terminal) {
        memset(bar, ' ', WIDTH);
        memset(bar, '#', (size_t)(fmin(fraction, 1) * WIDTH));
        bar[WIDTH] = 0;
        fprintf(stderr, "\r\033[K%-10s [%s] %3.0f %%  %s %s/s  ETA %s  %s", p->what, bar,
                100 * fraction, rate_text, p->unit, eta, extra ? extra : "");
        log_state.bar_on_line = 1;
        fflush(stderr);
    } else {
        fprintf(stderr, "%s: %lld of %lld %s, %s/s, ETA %s%s%s\n", p->what, (long long)p->done,
                (long long)p->total, p->unit, rate_text, eta, extra ? ", " : "",
                extra ? extra : "");
    }
    pthread_mutex_unlock(&log_state.lock);
    p->printed = 1;
}

void asd_progress_step(asd_progress *p, int64_t done, const char *extra)
{
    double now = asd_now();
    p->done    = done;
    if (log_state.level < ASD_LOG_NOTE || log_state.rank != 0)
        return;
    if (now - p->last < (p->on_terminal ? 0.1 : 30.0)) /* 30 s: the interface's limit for logs */
        return;
    p->last = now;
    print_progress(p, now, extra);
}

void asd_progress_done(asd_progress *p)
{
    if (p->on_terminal && p->printed) {
        pthread_mutex_lock(&log_state.lock);
        fputs("\r\033[K", stderr);
        log_state.bar_on_line = 0;
        pthread_mutex_unlock(&log_state.lock);
    }
}

int asd_main_end(asd_status st)
{
    if (st) {
        const char   *text  = asd_error_text();
        asd_log_level quiet = log_state.level;
        if (log_state.file)
            write_file_line(ASD_LOG_WARN, text);
        if (log_state.rank == 0) {
            fprintf(stderr, "%s%s%s: %s%s\n", log_state.bar_on_line ? "\r\033[K" : "",
                    use_colour() ? "\033[31m" : "", log_state.program,
                    use_colour() ? "\033[0m" : "", *text ? text : asd_status_name(st));
            if (quiet >= ASD_LOG_DETAIL && *asd_error_where())
                fprintf(stderr, "  (%s error raised at %s)\n", asd_status_name(st),
                        asd_error_where());
        }
    }
    /* A result that could not be written is a failure: a full disk behind a pipe must not exit 0.
     */
    if (fflush(stdout) || ferror(stdout)) {
        fprintf(stderr, "%s: standard output: %s\n", log_state.program, strerror(errno));
        if (!st)
            st = ASD_E_IO;
    }
    asd_log_to_file(NULL);
    return asd_exit_code(st);
}
