/* golden.h - the golden files of tests/golden and the formulas that make their inputs.
 *
 * The formulas are those of make_baseline.py: keep in step with it. Everything here fails the
 * running case instead of returning an error.
 */
#ifndef ASD_TESTS_REF_GOLDEN_H
#define ASD_TESTS_REF_GOLDEN_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

typedef struct golden {
    json_t *scalars; /* NAME.json */
    json_t *header;  /* of NAME.safetensors */
    char   *bytes;   /* the whole of NAME.safetensors */
    size_t  data;    /* where its tensors start */
} golden;

void golden_open(golden *g, const char *name);
void golden_close(golden *g);

/* The JSON value at a path of keys and indices, "train/losses/3/value", written as for printf. */
json_t *golden_at(const golden *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
double  golden_number(const golden *g, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Tensor by name, float32; *n: its elements. */
const float *golden_tensor(const golden *g, const char *name, int64_t *n);

/* Largest fp32_error / |value| among all {value, fp32_error} found under a path whose last key
 * matches a glob pattern: how much the same mathematics errs in single precision. A single number's
 * own error can be small by luck; that of its kind is not. */
double golden_relative_error(const golden *g, const char *path, const char *pattern);

/* --- inputs by formula --- */

/* int16 samples of clip number i of the golden; *n of them; caller frees. Checked against its
 * checksum. */
int16_t *golden_clip(const golden *g, int i, int64_t *n);
/* n uniform numbers in [-1, 1) */
void golden_uniforms(uint32_t seed, int64_t n, double *out);
/* Weight (n_out, n_in) and bias (n_out) of layer i. */
void golden_layer(int i, int64_t n_in, int64_t n_out, float *w, float *b);
/* Order of the rows in epoch e. out: (n) */
void golden_order(uint32_t epoch, int64_t n, int32_t *out);
/* Dot product with the uniforms of that seed. */
double golden_probe(const float *x, int64_t n, uint32_t seed);

#endif
