/* status.h - how anything that can fail says so.
 *
 * A function that can fail for reasons outside the code returns asd_status; 0 is success. The text
 * is made once, where the cause is known, with ASD_FAIL; callers pass up with ASD_TRY and add
 * nothing. Only main() prints the text (asd_main_end) and exits. ASD_ASSERT is for broken contracts
 * of our own code and aborts.
 *
 *   if (rows != want)
 *       return ASD_FAIL(ASD_E_DATA, "%s: %ld rows, want %ld", path, rows, want);
 */
#ifndef ASD_BASE_STATUS_H
#define ASD_BASE_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keep in step with the table in status.c, which gives each code its name and process exit code. */
typedef enum asd_status {
    ASD_OK = 0,
    ASD_E_IO,      /* reading or writing failed while running                    exit 1 */
    ASD_E_NUMERIC, /* NaN or Inf, a matrix that cannot be inverted               exit 1 */
    ASD_E_SHAPE,   /* tensors or arrays that do not fit together                 exit 1 */
    ASD_E_USAGE,   /* wrong command line                                         exit 2 */
    ASD_E_CONFIG,  /* wrong recipe                                               exit 2 */
    ASD_E_DATA,    /* data missing, damaged or inconsistent                      exit 3 */
    ASD_E_DEVICE,  /* no such device, a device call failed, a rank was lost      exit 4 */
    ASD_E_OOM,     /* out of memory on host or device                            exit 4 */
    ASD_E_CHECK,   /* a check ran and the answer is no                           exit 5 */
    ASD_E_STOPPED, /* stopped early on request, state saved                      exit 75 */
    ASD_NSTATUS
} asd_status;

/* Stores the formatted text for this thread and returns `code`. Text longer than 4 KiB is cut. */
asd_status asd_fail_at(const char *file, int line, asd_status code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The text of this thread's latest failure, "" if there was none. Valid until the thread's next
 * failure. */
const char *asd_error_text(void);
/* "file.c:123" of this thread's latest failure, for -v. */
const char *asd_error_where(void);
void        asd_error_clear(void);

const char *asd_status_name(asd_status code); /* "data" */
int         asd_exit_code(asd_status code);   /* interface: 0 1 2 3 4 5 75 */

void asd_assert_failed(const char *file, int line, const char *text) __attribute__((noreturn));

#define ASD_FAIL(code, ...) asd_fail_at(__FILE__, __LINE__, (code), __VA_ARGS__)

#define ASD_TRY(expr)                                                                              \
    do {                                                                                           \
        asd_status asd_try_status_ = (expr);                                                       \
        if (asd_try_status_)                                                                       \
            return asd_try_status_;                                                                \
    } while (0)

/* For functions with one exit label: `ASD_GO(done, st, call(...))`. */
#define ASD_GO(label, st, expr)                                                                    \
    do {                                                                                           \
        if (((st) = (expr)))                                                                       \
            goto label;                                                                            \
    } while (0)

#define ASD_ASSERT(cond)                                                                           \
    do {                                                                                           \
        if (!(cond))                                                                               \
            asd_assert_failed(__FILE__, __LINE__, #cond);                                          \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
