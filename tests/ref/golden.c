/* golden.c - see golden.h. */
#include "ref/golden.h"

#include "harness.h"

#include <endian.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_all(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END))
        fail_msg("cannot read %s", path);
    long n = ftell(f);
    rewind(f);
    char *bytes = n > 0 ? malloc((size_t)n) : NULL;
    if (!bytes || fread(bytes, 1, (size_t)n, f) != (size_t)n)
        fail_msg("cannot read the %ld bytes of %s", n, path);
    fclose(f);
    *size = (size_t)n;
    return bytes;
}

void golden_open(golden *g, const char *name)
{
    char         path[4096];
    json_error_t error;
    size_t       size;
    uint64_t     header;
    snprintf(path, sizeof path, "%s/tests/golden/%s.json", asd_test_source(), name);
    if (!(g->scalars = json_load_file(path, 0, &error)))
        fail_msg("%s:%d: %s", path, error.line, error.text);
    snprintf(path, sizeof path, "%s/tests/golden/%s.safetensors", asd_test_source(), name);
    g->bytes = read_all(path, &size);
    memcpy(&header, g->bytes, sizeof header);
    header  = le64toh(header);
    g->data = sizeof header + header;
    if (g->data > size ||
        !(g->header = json_loadb(g->bytes + sizeof header, header, JSON_DISABLE_EOF_CHECK, &error)))
        fail_msg("%s: bad header", path);
}

void golden_close(golden *g)
{
    json_decref(g->scalars);
    json_decref(g->header);
    free(g->bytes);
    memset(g, 0, sizeof *g);
}

static json_t *walk(const golden *g, const char *format, va_list list)
{
    json_t *at = g->scalars;
    char    path[512], *rest = path;
    vsnprintf(path, sizeof path, format, list);
    for (char *key; at && (key = strsep(&rest, "/"));)
        at = json_is_array(at) ? json_array_get(at, strtoul(key, NULL, 10))
                               : json_object_get(at, key);
    return at;
}

json_t *golden_at(const golden *g, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    json_t *at = walk(g, format, list);
    va_end(list);
    if (!at)
        fail_msg("the golden has no %s (of that number)", format);
    return at;
}

double golden_number(const golden *g, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    json_t *at = walk(g, format, list);
    va_end(list);
    if (!json_is_number(at))
        fail_msg("the golden has no number %s", format);
    return json_number_value(at);
}

const float *golden_tensor(const golden *g, const char *name, int64_t *n)
{
    json_t *t     = json_object_get(g->header, name);
    json_t *range = json_object_get(t, "data_offsets");
    if (!t || strcmp(json_string_value(json_object_get(t, "dtype")), "F32") != 0)
        fail_msg("the golden has no float32 tensor %s", name);
    json_int_t from = json_integer_value(json_array_get(range, 0));
    json_int_t to   = json_integer_value(json_array_get(range, 1));
    *n              = (to - from) / (int64_t)sizeof(float);
    return (const float *)(const void *)(g->bytes + g->data + from);
}

static void worst_under(json_t *at, const char *key, const char *pattern, double *worst)
{
    json_t *value = json_object_get(at, "value"), *error = json_object_get(at, "fp32_error");
    if (value && error) {
        double r = json_number_value(error) / fabs(json_number_value(value));
        if (!fnmatch(pattern, key, 0) && r > *worst)
            *worst = r;
        return;
    }
    const char *child;
    size_t      i;
    json_t     *v;
    json_object_foreach(at, child, v) worst_under(v, child, pattern, worst);
    json_array_foreach(at, i, v) worst_under(v, key, pattern, worst);
}

double golden_relative_error(const golden *g, const char *path, const char *pattern)
{
    double worst = -1;
    worst_under(golden_at(g, "%s", path), path, pattern, &worst);
    if (worst < 0)
        fail_msg("the golden has no %s under %s", pattern, path);
    return worst;
}

/* --- inputs by formula --- */

static uint32_t lcg(uint32_t s)
{
    return s * 1664525u + 1013904223u;
}

/* A parabola in place of a sine: one period for t from -32768 to 32767, values to +-32768. */
static int64_t wave(uint32_t phase)
{
    int64_t t = (int64_t)(phase >> 16) - 32768;
    return (t * (32768 - llabs(t))) >> 13;
}

static int64_t clip_field(json_t *clip, const char *key)
{
    json_t *v = json_object_get(clip, key);
    if (!json_is_integer(v))
        fail_msg("a clip of the golden has no %s", key);
    return json_integer_value(v);
}

static void fill_clip(json_t *clip, int16_t *x, int64_t n)
{
    uint32_t s = (uint32_t)clip_field(clip, "seed"), phase = 0, beat_phase = 0;
    uint32_t step = (uint32_t)clip_field(clip, "step"), beat = (uint32_t)clip_field(clip, "beat");
    int64_t  pole = clip_field(clip, "pole"), tone = clip_field(clip, "tone"),
            third = clip_field(clip, "third"), low = clip_field(clip, "low"),
            white = clip_field(clip, "white"), state = 0;
    for (int64_t i = 0; i < n; ++i) {
        s             = lcg(s);
        int64_t noise = (int64_t)(s >> 16) - 32768;
        state += (noise * 256 - state) >> pole; /* gcc and clang shift arithmetically */
        phase += step;
        beat_phase += beat;
        int64_t swell = (noise * (int64_t)(beat_phase >> 16)) >> 16;
        x[i] = (int16_t)((wave(phase) * tone + wave(3 * phase) * third + (state >> 8) * low +
                          swell * white + noise * 40) >>
                         15);
    }
}

int16_t *golden_clip(const golden *g, int i, int64_t *n)
{
    json_t     *clip = json_array_get(golden_at(g, "clips"), (size_t)i);
    const char *name = json_string_value(json_object_get(clip, "name"));
    *n               = clip_field(clip, "samples");
    int16_t *x       = calloc((size_t)*n, sizeof *x);
    assert_non_null(x);
    if (!strcmp(name, "click"))
        x[3000] = -32768;
    else
        fill_clip(clip, x, *n);
    uint32_t sum = 0;
    for (int64_t k = 0; k < *n; ++k)
        sum += (uint32_t)(x[k] * (int32_t)(k % 251 + 1));
    if (sum != (uint32_t)clip_field(clip, "checksum"))
        fail_msg("clip %s: checksum %u, want %u", name, sum,
                 (uint32_t)clip_field(clip, "checksum"));
    return x;
}

static double uniform(uint32_t *s)
{
    *s = lcg(*s);
    return ((double)(*s >> 8) - 8388608) * 0x1p-23;
}

void golden_uniforms(uint32_t seed, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; ++i)
        out[i] = uniform(&seed);
}

void golden_layer(int i, int64_t n_in, int64_t n_out, float *w, float *b)
{
    uint32_t s     = 1000 + (uint32_t)i;
    double   bound = (double)(float)(1 / sqrt((double)n_in));
    for (int64_t k = 0; k < n_out * n_in; ++k)
        w[k] = (float)(uniform(&s) * bound);
    for (int64_t k = 0; k < n_out; ++k)
        b[k] = (float)(uniform(&s) * bound);
}

void golden_order(uint32_t epoch, int64_t n, int32_t *out)
{
    uint32_t s = 100 + epoch;
    for (int64_t i = 0; i < n; ++i)
        out[i] = (int32_t)i;
    for (int64_t i = n - 1; i > 0; --i) {
        s            = lcg(s);
        int64_t j    = (s >> 8) % (i + 1);
        int32_t swap = out[i];
        out[i]       = out[j];
        out[j]       = swap;
    }
}

double golden_probe(const float *x, int64_t n, uint32_t seed)
{
    double sum = 0;
    for (int64_t i = 0; i < n; ++i)
        sum += uniform(&seed) * (double)x[i];
    return sum;
}
