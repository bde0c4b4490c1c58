/* bench_compare.c - asd-bench compare: two files of asd-bench kernels. */
#include "base/log.h"
#include "tools/bench.h"
#include "tools/eval_cmds.h" /* eval_out */

#include <errno.h>
#include <math.h>
#include <string.h>

typedef struct args {
    asd_common common;
    char      *output;
    double     threshold, level;
    int64_t    bootstrap;
} args;

static const asd_opt opts[] = {
    {"threshold", 0, ASD_OPT_REAL, offsetof(args, threshold), "5", 0, 1000, NULL, "PERCENT",
     "how much longer B may take"},
    {"level", 0, ASD_OPT_REAL, offsetof(args, level), "0.95", 0.5, 0.9999, NULL, "",
     "share of the bootstrap that an interval holds"},
    {"bootstrap", 0, ASD_OPT_INT, offsetof(args, bootstrap), "2000", 100, 1000000, NULL, "N",
     "replicates of a ratio"},
    {"output", 'o', ASD_OPT_TEXT, offsetof(args, output), NULL, 0, 0, NULL, "FILE",
     "write the result there instead of to standard output"},
    ASD_COMMON_FLAG("force", 'f', force, "compare different devices all the same"),
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-bench compare",
    .operands = "A B",
    .about =
        "The ratio of the times of B to those of A, line by line, with a bootstrap interval. A "
        "and\n"
        "B are files of `asd-bench kernels -o`, of one run or of several one after another. Ends\n"
        "with 5 when a line is slower in B by more than the threshold and its interval excludes "
        "1,\n"
        "or when its check failed in B.",
    .opts         = opts,
    .min_operands = 2,
    .max_operands = 2,
    .examples     = "  asd-bench compare yesterday.jsonl today.jsonl --threshold 10\n",
};

static const char *const verdicts[] = {[BENCH_SAME]   = "same",
                                       [BENCH_FASTER] = "faster",
                                       [BENCH_SLOWER] = "slower",
                                       [BENCH_BROKEN] = "broken"};

static json_t *name_json(const bench_record *r)
{
    return json_pack("{ss ss ss ss ss}", "op", r->op, "case", r->case_name, "dtype", r->dtype,
                     "pass", r->pass, "device", r->device);
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *pair_json(const bench_pair *p)
{
    json_t *o = name_json(p->a);
    json_object_set_new(o, "median_us_a", number(1e6 * p->median_a));
    json_object_set_new(o, "median_us_b", number(1e6 * p->median_b));
    json_object_set_new(o, "ratio", number(p->ratio));
    json_object_set_new(o, "ci", isfinite(p->lo) ? json_pack("[f f]", p->lo, p->hi) : json_null());
    json_object_set_new(o, "verdict", json_string(verdicts[p->verdict]));
    return o;
}

static json_t *names_json(const bench_record *const *r, int64_t n)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < n; ++i)
        json_array_append_new(list, name_json(r[i]));
    return list;
}

static asd_status print_json(const bench_comparison *c, FILE *out)
{
    json_t *lines = json_array();
    for (int64_t i = 0; i < c->n; ++i)
        json_array_append_new(lines, pair_json(&c->pair[i]));
    json_t *o =
        json_pack("{ss sf sf sI sI so so so}", "schema", "asd.bench.compare/1", "threshold",
                  c->threshold, "level", c->level, "replicates", (json_int_t)c->replicates,
                  "n_slower", (json_int_t)c->n_slower, "lines", lines, "only_a",
                  names_json(c->only_a, c->n_only_a), "only_b", names_json(c->only_b, c->n_only_b));
    int failed =
        !o || json_dumpf(o, out, JSON_COMPACT | JSON_REAL_PRECISION(8)) || putc('\n', out) == EOF;
    json_decref(o);
    return failed ? ASD_FAIL(ASD_E_IO, "cannot write the result: %s", strerror(errno)) : ASD_OK;
}

static void print_missing(const char *which, const bench_record *const *r, int64_t n, FILE *out)
{
    for (int64_t i = 0; i < n; ++i)
        fprintf(out, "only in %s: %s %s %s %s\n", which, r[i]->op, r[i]->case_name, r[i]->dtype,
                r[i]->pass);
}

static void print_table(const bench_comparison *c, const char *a, const char *b, FILE *out)
{
    static const char *const words[] = {[BENCH_SAME]   = "",
                                        [BENCH_FASTER] = "faster",
                                        [BENCH_SLOWER] = "SLOWER",
                                        [BENCH_BROKEN] = "CHECK FAILED in B"};
    fprintf(out, "A %s, B %s\n\n%-11s %-28s %-4s %-4s %10s %10s  %s\n", a, b, "op", "case", "type",
            "pass", "A us", "B us", "B / A");
    for (int64_t i = 0; i < c->n; ++i) {
        const bench_pair *p = &c->pair[i];
        fprintf(out, "%-11s %-28s %-4s %-4s ", p->a->op, p->a->case_name, p->a->dtype, p->a->pass);
        if (isfinite(p->ratio))
            fprintf(out, "%10.4g %10.4g  %.3f [%.3f, %.3f]  %s\n", 1e6 * p->median_a,
                    1e6 * p->median_b, p->ratio, p->lo, p->hi, words[p->verdict]);
        else
            fprintf(out, "%10s %10s  %s\n", "-", "-",
                    *words[p->verdict] ? words[p->verdict] : "check failed in A");
    }
    print_missing("A", c->only_a, c->n_only_a, out);
    print_missing("B", c->only_b, c->n_only_b, out);
}

static asd_status verdict(const bench_comparison *c)
{
    if (!c->n_slower)
        return ASD_OK;
    for (int64_t i = 0; i < c->n; ++i) {
        const bench_pair *p = &c->pair[i];
        if (p->verdict == BENCH_SLOWER)
            return ASD_FAIL(ASD_E_CHECK,
                            "%lld of %lld lines are slower; the first: %s %s %s takes %.3f times "
                            "[%.3f, %.3f] as long",
                            (long long)c->n_slower, (long long)c->n, p->a->op, p->a->case_name,
                            p->a->pass, p->ratio, p->lo, p->hi);
    }
    return ASD_FAIL(ASD_E_CHECK, "%lld of %lld lines have a failed check in B",
                    (long long)c->n_slower, (long long)c->n);
}

static asd_status run(const args *a, char **path)
{
    bench_results    r[2] = {{.n = 0}, {.n = 0}};
    bench_comparison c    = {.n = 0};
    eval_out         out;
    asd_status       st;
    for (int i = 0; i < 2; ++i)
        ASD_GO(done, st, bench_results_read(path[i], r + i));
    ASD_GO(
        done, st,
        bench_compare(r, r + 1, a->threshold / 100, a->level, a->bootstrap, a->common.force, &c));
    ASD_GO(done, st, eval_out_open(a->output, &out));
    if (a->common.json)
        st = print_json(&c, out.stream);
    else
        print_table(&c, path[0], path[1], out.stream);
    ASD_GO(done, st, eval_out_close(&out, st));
    st = verdict(&c);
done:
    bench_comparison_clear(&c);
    for (int i = 0; i < 2; ++i)
        bench_results_clear(r + i);
    return st;
}

int bench_compare_main(int argc, char **argv)
{
    args         a;
    asd_operands operands;
    int          over;
    asd_status   st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (!st && !over) {
        asd_common_apply(&a.common, command.name);
        st = run(&a, operands.v);
    }
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
