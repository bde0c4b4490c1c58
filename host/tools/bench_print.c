/* bench_print.c - lines for people and for programs.
 *
 * JSON lines of schema asd.bench/1: first {"what": "run", ...} with machine, versions, ceilings and
 * options, then one {"what": "kernel", ...} a line of the table. Times are microseconds of one
 * call. Several runs may stand one after another in a file.
 */
#include "tools/bench.h"

#include "base/build.h"
#include "base/log.h"
#include "cuda/gpu.h"
#include "tools/info.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- JSON --- */

static json_t *text_or_null(const char *text)
{
    json_t *s = text && *text ? json_string(text) : NULL;
    return s ? s : json_null();
}

/* JSON has no NaN */
static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

/* "AMD EPYC, 2 threads": results of two such texts may be compared when they are equal. */
static json_t *device_text(const bench_device *d)
{
    return d->threads ? json_sprintf("%s, %d threads", d->name, d->threads) : json_string(d->name);
}

static json_t *device_json(const bench_device *d)
{
    asd_gpu_info gpu;
    char         libraries[512];
    json_t      *o = json_object();
    json_object_set_new(o, "kind", json_string(d->kind == ASD_CUDA ? "cuda" : "cpu"));
    json_object_set_new(o, "name", text_or_null(d->name));
    json_object_set_new(o, "threads", json_integer(d->threads));
    json_object_set_new(o, "cache_bytes", json_integer(d->cache_bytes));
    if (d->gpu && !asd_gpu_query(d->gpu, &gpu)) {
        json_object_set_new(o, "compute_capability", json_sprintf("%d.%d", gpu.major, gpu.minor));
        json_object_set_new(o, "multiprocessors", json_integer(gpu.sms));
        json_object_set_new(o, "memory_bytes", json_integer((json_int_t)gpu.total_bytes));
        json_object_set_new(o, "sm_clock_hz", json_integer(gpu.sm_clock_hz));
        json_object_set_new(o, "memory_clock_hz", json_integer(gpu.memory_clock_hz));
        json_object_set_new(o, "memory_bus_bits", json_integer(gpu.memory_bus_bits));
        json_object_set_new(o, "driver", json_integer(gpu.driver_version));
        json_object_set_new(o, "runtime", json_integer(gpu.runtime_version));
        json_object_set_new(o, "libraries",
                            text_or_null(asd_gpu_libraries(libraries, sizeof libraries)));
    }
    return o;
}

/* What the processor runs at now, as Linux tells it; null where it does not. */
static json_t *cpu_clock(void)
{
    char   line[256];
    double mhz = 0;
    FILE  *f   = fopen("/proc/cpuinfo", "re");
    while (f && !(mhz > 0) && fgets(line, sizeof line, f))
        if (sscanf(line, "cpu MHz : %lf", &mhz) != 1)
            mhz = 0;
    if (f)
        fclose(f);
    return mhz > 0 ? json_real(1e6 * mhz) : json_null();
}

json_t *bench_run_json(const bench_device *d, const bench_options *o, const char *peer)
{
    char      date[40];
    time_t    now = time(NULL);
    struct tm utc;
    double    load = NAN;
    gmtime_r(&now, &utc);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    if (getloadavg(&load, 1) != 1)
        load = NAN;
    return json_pack("{ss ss ss ss ss so so so so s{sf ss sf ss} s{sf sf si sb} so so}", "schema",
                     "asd.bench/1", "what", "run", "date", date, "commit", asd_build.commit,
                     "version", asd_build.version, "device", device_json(d), "device_text",
                     device_text(d), "cpu_clock_hz", cpu_clock(), "load", number(load), "ceilings",
                     "flops_per_s", d->flops_per_s, "flops_by", d->flops_by, "bytes_per_s",
                     d->bytes_per_s, "bytes_by", d->bytes_by, "options", "min_seconds",
                     o->min_seconds, "warm_seconds", o->warm_seconds, "cold_calls", o->cold_calls,
                     "library", o->library, "peer", text_or_null(peer), "info", info_collect());
}

static void add_spread(json_t *o, const bench_spread *s, const char *prefix)
{
    static const char *const names[] = {"median", "p20", "p80", "min"};
    const double             v[]     = {s->median, s->p20, s->p80, s->min};
    char                     key[40];
    if (!s->n)
        return;
    for (int i = 0; i < 4; ++i) {
        snprintf(key, sizeof key, "%s%s_us", prefix, names[i]);
        json_object_set_new(o, key, number(1e6 * v[i]));
    }
    snprintf(key, sizeof key, "%srepeats", prefix);
    json_object_set_new(o, key, json_integer(s->n));
}

static json_t *library_json(const bench_line *l)
{
    if (!*l->library_name)
        return json_null();
    json_t *o = json_pack("{ss sf}", "name", l->library_name, "ratio",
                          l->library.hot.median / l->ours.hot.median);
    add_spread(o, &l->library.hot, "");
    return o;
}

static json_t *peer_json(const bench_line *l)
{
    if (!(l->peer_seconds > 0))
        return json_null();
    return json_pack("{ss sf sf}", "name", l->peer_name, "median_us", 1e6 * l->peer_seconds,
                     "ratio", l->peer_seconds / l->ours.hot.median);
}

static void add_times(json_t *o, const bench_device *d, const bench_line *l)
{
    char    roof;
    double  share = bench_roofline(d, l, &roof), hot = l->ours.hot.median;
    json_t *samples = json_array();
    add_spread(o, &l->ours.hot, "");
    add_spread(o, &l->ours.cold, "cold_");
    json_object_set_new(o, "tflops", number(1e-12 * l->flops / hot));
    json_object_set_new(o, "gbytes_per_s", number(1e-9 * l->bytes / hot));
    json_object_set_new(o, "roofline", number(share));
    json_object_set_new(o, "cold_roofline",
                        l->ours.cold.n ? number(share * hot / l->ours.cold.median) : json_null());
    json_object_set_new(o, "roof",
                        text_or_null(roof == 'c'   ? "compute"
                                     : roof == 'm' ? "memory"
                                                   : NULL));
    json_object_set_new(o, "library", library_json(l));
    json_object_set_new(o, "peer", peer_json(l));
    for (int i = 0; i < l->ours.n_samples; ++i)
        json_array_append_new(samples, json_real(1e6 * l->ours.sample[i]));
    json_object_set_new(o, "samples_us", samples);
}

json_t *bench_line_json(const bench_device *d, const bench_line *l)
{
    const bench_check *c = &l->check;
    json_t            *o =
        json_pack("{ss ss ss ss ss ss ss so sf sf s{sb so so sb so}}", "schema", "asd.bench/1",
                  "what", "kernel", "op", l->op, "case", l->case_name, "shape", l->shape, "dtype",
                  asd_dtype_name(l->dtype), "pass", bench_pass_name(l->pass), "device",
                  device_text(d), "flops", l->flops, "bytes", l->bytes, "check", "passed",
                  c->passed, "error", number(c->error), "limit", number(c->limit), "same_bits",
                  c->same_bits, "why", text_or_null(c->why));
    if (o && c->passed)
        add_times(o, d, l);
    return o;
}

static asd_status print_json(FILE *out, json_t *o)
{
    int failed = !o || json_dumpf(o, out, JSON_COMPACT | JSON_REAL_PRECISION(8)) ||
                 putc('\n', out) == EOF || fflush(out);
    json_decref(o);
    return failed ? ASD_FAIL(ASD_E_IO, "cannot write the result: %s", strerror(errno)) : ASD_OK;
}

/* --- table --- */

/* "12.3", "1234", "0.051": three to four digits. */
static const char *short_number(double x, char *buf, size_t size)
{
    if (!isfinite(x))
        snprintf(buf, size, "-");
    else
        snprintf(buf, size,
                 x >= 99.95    ? "%.0f"
                 : x >= 9.995  ? "%.1f"
                 : x >= 0.9995 ? "%.2f"
                               : "%.3f",
                 x);
    return buf;
}

static const char *times_faster(double theirs, double ours, char *buf, size_t size)
{
    if (theirs > 0)
        snprintf(buf, size, "%.2fx", theirs / ours);
    else
        snprintf(buf, size, "-");
    return buf;
}

static const char layout[] = "%-11s %-28s %-4s %-4s %9s %17s %8s %8s %7s %7s %7s %8s %9s\n";

static void table_head(FILE *out, const bench_device *d, const char *peer)
{
    char a[32], b[32];
    fprintf(out, "%s", d->name);
    if (d->threads)
        fprintf(out, ", %d threads", d->threads);
    fprintf(out, "   ceilings: %s GFLOP/s (%s), %s GB/s (%s)\n",
            short_number(1e-9 * d->flops_per_s, a, sizeof a), d->flops_by,
            short_number(1e-9 * d->bytes_per_s, b, sizeof b), d->bytes_by);
    fprintf(out, "vs lib, vs torch: their time / ours, above 1 we are faster%s%s\n\n",
            peer ? "; " : "", peer ? peer : "");
    fprintf(out, layout, "op", "case", "type", "pass", "median us", "20 % - 80 %",
            d->kind == ASD_CPU ? "GFLOP/s" : "TFLOP/s", "GB/s", "% roof", "vs lib", "vs torch",
            "error", "cold us");
}

static void table_line(FILE *out, const bench_device *d, const bench_line *l)
{
    char   roof, median[32], p20[32], p80[32], spread[80], flops[32], bytes[32], share[32], lib[32];
    char   torch[32], error[32], cold[32];
    double hot = l->ours.hot.median, unit = d->kind == ASD_CPU ? 1e-9 : 1e-12;
    if (!l->check.passed) {
        fprintf(out, "%-11s %-28s %-4s %-4s FAILED, not timed: %s\n", l->op, l->case_name,
                asd_dtype_name(l->dtype), bench_pass_name(l->pass), l->check.why);
        return;
    }
    double of = bench_roofline(d, l, &roof);
    snprintf(spread, sizeof spread, "%s - %s", short_number(1e6 * l->ours.hot.p20, p20, sizeof p20),
             short_number(1e6 * l->ours.hot.p80, p80, sizeof p80));
    if (isfinite(of))
        snprintf(share, sizeof share, "%.0f %c", 100 * of, roof);
    else
        snprintf(share, sizeof share, "-");
    snprintf(error, sizeof error, "%.1e", l->check.error);
    fprintf(out, layout, l->op, l->case_name, asd_dtype_name(l->dtype), bench_pass_name(l->pass),
            short_number(1e6 * hot, median, sizeof median), spread,
            l->flops > 0 ? short_number(unit * l->flops / hot, flops, sizeof flops) : "-",
            short_number(1e-9 * l->bytes / hot, bytes, sizeof bytes), share,
            times_faster(l->library.hot.median, hot, lib, sizeof lib),
            times_faster(l->peer_seconds, hot, torch, sizeof torch), error,
            l->ours.cold.n ? short_number(1e6 * l->ours.cold.median, cold, sizeof cold) : "-");
}

asd_status bench_print_head(FILE *out, int json, const bench_device *d, const bench_options *o,
                            const char *peer)
{
    if (json)
        return print_json(out, bench_run_json(d, o, peer));
    table_head(out, d, peer);
    return fflush(out) ? ASD_FAIL(ASD_E_IO, "cannot write the result: %s", strerror(errno))
                       : ASD_OK;
}

asd_status bench_print_line(FILE *out, int json, const bench_device *d, const bench_line *l)
{
    if (json)
        return print_json(out, bench_line_json(d, l));
    table_line(out, d, l);
    return fflush(out) ? ASD_FAIL(ASD_E_IO, "cannot write the result: %s", strerror(errno))
                       : ASD_OK;
}
