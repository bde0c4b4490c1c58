/* bench.h - parts of asd-bench: what a measurement is made of.
 *
 *   device    where the work runs, its memory, its clock, its two ceilings   bench_cpu.c,
 * bench_cuda.c subject   something that can be checked and then timed                   bench_op.c,
 * bench_adam.c stand-in  the same work by a library bench_onednn.c, bench_cudnn.c peer      the
 * same work by PyTorch, in a process of its own              bench_peer.c line      one result: a
 * subject's check, times and ratios                bench_run.c, bench_print.c
 *
 * A subject is checked first; one that fails has no times (bench_run). Times are seconds of one
 * call. All memory of a subject belongs to its device and is freed by the subject's close.
 */
#ifndef ASD_TOOLS_BENCH_H
#define ASD_TOOLS_BENCH_H

#include "base/status.h"
#include "kernels/op.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    BENCH_ROUNDS    = 20,   /* of hot calls; a round gives one sample */
    BENCH_MAX_TIMES = 4000, /* times kept of one measurement */
    BENCH_MAX_COLD  = 20,
};

/* --- devices --- */

typedef struct bench_backend bench_backend;

typedef struct bench_device {
    const bench_backend *backend;
    asd_backend          kind;
    char                 name[160]; /* "AMD EPYC", "NVIDIA H100 80GB HBM3" */
    int                  threads;   /* of the CPU; 0 on a GPU */
    int64_t              cache_bytes;
    void                *scrub; /* (scrub_bytes) zeroed to empty the caches */
    size_t               scrub_bytes;
    double               flops_per_s, bytes_per_s; /* ceilings, measured; 0 before */
    char                 flops_by[64], bytes_by[64];
    struct asd_gpu      *gpu; /* NULL on the CPU */
    struct asd_stream   *stream;
} bench_device;

/* Does one call, or enqueues it on the device's stream. */
typedef asd_status (*bench_call)(void *ctx);

struct bench_backend {
    void (*close)(bench_device *d);
    /* zeroed, at least 64-byte aligned; ASD_E_OOM names `what` */
    asd_status (*alloc)(bench_device *d, size_t bytes, const char *what, void **out);
    void (*release)(bench_device *d, void *p); /* NULL is legal */
    /* both have happened when they return */
    asd_status (*upload)(bench_device *d, void *to, const void *from, size_t bytes);
    asd_status (*download)(bench_device *d, void *to, const void *from, size_t bytes);
    asd_status (*wait)(
        bench_device *d); /* until enqueued calls are done; their failure shows here */
    /* Calls for about `seconds`, at least once. time: (max) seconds a call, *n of them; of very
     * short calls each is the mean of several. */
    asd_status (*hot)(bench_device *d, bench_call call, void *ctx, double seconds, int max,
                      double *time, int *n);
    /* n calls, each after the caches were filled with something else. time: (n) */
    asd_status (*cold)(bench_device *d, bench_call call, void *ctx, int n, double *time);
    asd_status (*ceilings)(bench_device *d, double seconds);
};

asd_status bench_cpu_open(bench_device *d);
asd_status bench_cuda_open(bench_device *d, int index);
/* text: cpu|cuda[:N]|auto. Close with bench_device_close, on failure too. */
asd_status bench_device_open(bench_device *d, const char *text);
void       bench_device_close(bench_device *d);

/* --- statistics --- */

typedef struct bench_spread {
    double median, p20, p80, min;
    int    n;
} bench_spread;

/* Of n > 0 values; sorts them. */
bench_spread bench_spread_of(double *v, int n);
double       bench_median(double *v, int64_t n); /* sorts v; the middle two averaged */

typedef struct bench_times {
    bench_spread hot, cold;            /* n = 0: not measured */
    double       sample[BENCH_ROUNDS]; /* median of each round */
    int          n_samples;
} bench_times;

/* --- lines --- */

typedef enum bench_pass { BENCH_FWD, BENCH_BWD, BENCH_STEP } bench_pass;
const char *bench_pass_name(bench_pass pass); /* "fwd", "bwd", "step" */

typedef struct bench_check {
    int passed;
    double
        error; /* root mean square error against fp64, relative to the result's root mean square */
    double limit;
    int    same_bits; /* two runs agree to the last bit */
    char   why[200];  /* "" when passed */
} bench_check;

typedef struct bench_line {
    const char *op, *case_name;
    asd_dtype   dtype;
    bench_pass  pass;
    char        shape[200]; /* "(256, 640) (128, 640) -> (256, 128)" */
    double      flops, bytes;
    bench_check check;
    bench_times ours, library;
    char        library_name[64]; /* "" when there is no stand-in */
    double      peer_seconds;     /* median; 0: none */
    char        peer_name[64];
} bench_line;

/* Share of the roofline that the hot median reaches, and which roof ('c' or 'm'); NAN, '-' without
 * ceilings or times. */
double bench_roofline(const bench_device *d, const bench_line *l, char *roof);

/* --- subjects --- */

typedef struct bench_subject bench_subject;

struct bench_subject {
    bench_line line; /* name, shape, counts: filled by open */
    bench_call call; /* on ctx */
    void      *ctx;
    /* Runs the call on fresh data and compares. A result that is wrong is no failure of this
     * function: it is told in *out. */
    asd_status (*check)(void *ctx, bench_check *out);
    void (*close)(void *ctx);
    /* what a stand-in and a peer need; NULL for subjects that are no op */
    const asd_node *node;
    const asd_call *ready; /* device pointers, gradients in place */
};

/* Forward or backward of one case. precision: ASD_F32, or ASD_BF16 for all inputs that the op
 * allows it for. The case's arrays must outlive the subject. */
asd_status bench_op_open(bench_subject *s, bench_device *d, const asd_op *op, const asd_case *c,
                         asd_dtype precision, bench_pass pass);
/* One Adam step over n parameters, gradient norm and clipping included. */
asd_status bench_adam_open(bench_subject *s, bench_device *d, int64_t n);

/* --- library stand-ins --- */

typedef struct bench_standin {
    bench_call call; /* NULL: the library has nothing like it */
    void      *ctx;
    char       name[64]; /* "oneDNN 2.6.3 matmul" */
    /* How far it is from ours: the largest relative root mean square difference of the results.
     * Both were called before. */
    asd_status (*difference)(void *ctx, double *out);
    void (*close)(void *ctx);
} bench_standin;

asd_status bench_onednn_open(bench_standin *s, const bench_subject *of);
/* s->call is NULL when no library has the like. */
asd_status bench_standin_open(bench_standin *s, bench_device *d, const bench_subject *of);
void       bench_standin_close(bench_standin *s);

/* --- peer --- */

typedef struct bench_peer bench_peer;

/* Starts `python script` and waits until it has loaded PyTorch. *out is NULL, and *why says why,
 * when there is no python, no torch or no script: that is no failure. */
asd_status  bench_peer_open(const char *python, const char *script, const bench_device *d,
                            bench_peer **out, char *why, size_t size);
void        bench_peer_close(bench_peer *p); /* safe on NULL */
const char *bench_peer_name(const bench_peer *p);
/* Median seconds of the same work, 0 when the peer has nothing like it; then *why says so. */
asd_status bench_peer_time(bench_peer *p, const bench_subject *of, double seconds, double *median,
                           char *why, size_t size);

/* --- running and printing --- */

typedef struct bench_options {
    double min_seconds;  /* of hot calls, each of ours, library and peer */
    double warm_seconds; /* before them */
    int    cold_calls;   /* at most BENCH_MAX_COLD; 0: no cold times */
    int    library;      /* measure stand-ins */
} bench_options;

/* Checks, then times, stand-in and ours in turn; peer may be NULL. The line holds the result; a
 * failed check is in line.check, and the times stay empty. */
asd_status bench_run(bench_device *d, bench_subject *s, const bench_options *o, bench_peer *peer);

/* Where lines go: a table, or JSON lines of asd.bench/1. */
asd_status bench_print_head(FILE *out, int json, const bench_device *d, const bench_options *o,
                            const char *peer);
asd_status bench_print_line(FILE *out, int json, const bench_device *d, const bench_line *l);
/* The two kinds of JSON line; new references, NULL without memory. */
json_t *bench_run_json(const bench_device *d, const bench_options *o, const char *peer);
json_t *bench_line_json(const bench_device *d, const bench_line *l);

/* --- compare --- */

typedef struct bench_record { /* what a file says about one line */
    char    op[64], case_name[160], dtype[8], pass[8], device[200];
    int     failed; /* its check failed: no samples */
    double *sample; /* (n) seconds */
    int64_t n;
} bench_record;

typedef struct bench_results {
    char          path[256];
    bench_record *record;
    int64_t       n;
} bench_results;

/* JSON lines of asd.bench/1, of one run or several after another; the samples of a line that occurs
 * several times on one device are pooled. ASD_E_DATA: names file and line. */
asd_status bench_results_read(const char *path, bench_results *out);
void       bench_results_clear(bench_results *r);

typedef enum bench_verdict { BENCH_SAME, BENCH_FASTER, BENCH_SLOWER, BENCH_BROKEN } bench_verdict;

typedef struct bench_pair {
    const bench_record *a, *b;
    double              median_a, median_b;
    double              ratio, lo, hi; /* median of b / median of a */
    bench_verdict       verdict;
} bench_pair;

typedef struct bench_comparison {
    bench_pair          *pair;
    int64_t              n;
    const bench_record **only_a, **only_b;
    int64_t              n_only_a, n_only_b, n_slower;
    double               threshold, level;
    int64_t              replicates;
} bench_comparison;

/* a and b must outlive the result. A pair is slower (faster) when the ratio is beyond 1 + threshold
 * (below 1 / (1 + threshold)) and its interval excludes 1. ASD_E_DATA: different devices and not
 * `force`, or no line in common. */
asd_status bench_compare(const bench_results *a, const bench_results *b, double threshold,
                         double level, int64_t replicates, int force, bench_comparison *out);
void       bench_comparison_clear(bench_comparison *c);

/* --- sub-commands --- */

int bench_kernels_main(int argc, char **argv);
int bench_pipeline_main(int argc, char **argv);
int bench_compare_main(int argc, char **argv);
int bench_detectors_main(int argc, char **argv);
int bench_encoder_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
