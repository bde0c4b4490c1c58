/* harness.h - what every test program shares, on top of cmocka.
 *
 * A case is named area/what/condition. Each program ends with
 *     static const struct CMUnitTest cases[] = {ASD_CASE("base/rng/known-answer",
 * test_rng_known_answer), ...}; ASD_TEST_MAIN(cases) and takes glob patterns of case names as
 * arguments (`test_base 'base/rng*'`).
 */
#ifndef ASD_TESTS_HARNESS_H
#define ASD_TESTS_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* needs the four above */

#include "base/status.h"
#include "cuda/gpu.h"

#define ASD_CASE(name, function)                                                                   \
    {                                                                                              \
        name, function, NULL, NULL, NULL                                                           \
    }
#define ASD_TEST_MAIN(cases)                                                                       \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return asd_test_run(cases, sizeof(cases) / sizeof *(cases), argc, argv);                   \
    }

int asd_test_run(const struct CMUnitTest *cases, size_t n, int argc, char **argv);

/* Fails the case with the library's own error text. */
#define assert_ok(expr)                                                                            \
    do {                                                                                           \
        asd_status assert_ok_ = (expr);                                                            \
        if (assert_ok_)                                                                            \
            fail_msg("%s: %s: %s", #expr, asd_status_name(assert_ok_), asd_error_text());          \
    } while (0)

/* The call fails with this status and its text contains `part`. */
#define assert_fails(expr, status, part)                                                           \
    do {                                                                                           \
        asd_status assert_fails_ = (expr);                                                         \
        if (assert_fails_ != (status))                                                             \
            fail_msg("%s: status %s, want %s (%s)", #expr, asd_status_name(assert_fails_),         \
                     asd_status_name(status), asd_error_text());                                   \
        if (!asd_test_contains(asd_error_text(), part))                                            \
            fail_msg("%s: message \"%s\" lacks \"%s\"", #expr, asd_error_text(), part);            \
    } while (0)
int asd_test_contains(const char *text, const char *part);

#define assert_near(a, b, tolerance)                                                               \
    do {                                                                                           \
        double near_a_ = (a), near_b_ = (b), near_t_ = (tolerance);                                \
        if (!(near_a_ - near_b_ <= near_t_ && near_b_ - near_a_ <= near_t_))                       \
            fail_msg("%s = %.17g, want %s = %.17g within %g", #a, near_a_, #b, near_b_, near_t_);  \
    } while (0)

/* The first device and a stream on it, for the caller to close; skips the case where there is none.
 */
void asd_test_device(asd_gpu **gpu, asd_stream **s);

/* Skips a case that only runs again what others run, and compares: with ASD_TEST_HASTE=once. */
void asd_test_skip_repetition(void);

/* Of the angle between two vectors of n. */
double asd_test_cosine(const float *a, const float *b, int64_t n);

/* A fresh folder under $TMPDIR, removed when the program ends. Valid until then; one per call. */
const char *asd_test_folder(void);
/* The folder of shared real data (ASD_SHARED, else ../shared beside the source tree), or NULL: then
 * call asd_test_skip_shared(). */
const char *asd_test_shared(void);
#define asd_test_skip_shared()                                                                     \
    do {                                                                                           \
        print_message("skipped: the folder of shared real data is not here\n");                    \
        skip();                                                                                    \
    } while (0)
const char *asd_test_source(void); /* root of the source tree */
/* Runs a shell command; returns its exit code, and its stdout in *out (caller frees) when out is
 * not NULL. */
int asd_test_shell(const char *command, char **out);

#endif
