/* eval_omega.c - asd-eval omega: the official values of one system, or of several in one table. */
#include "base/log.h"
#include "score/official.h"
#include "score/systems.h"
#include "tools/eval_cmds.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct args {
    eval_args eval; /* first: EVAL_OPTS */
    char     *official_csv;
} args;

static const asd_opt opts[] = {
    EVAL_OPTS,
    {"official-csv", 0, ASD_OPT_TEXT, offsetof(args, official_csv), NULL, 0, 0, NULL, "FILE",
     "also write the result file of the organisers' evaluator"},
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name         = "asd-eval omega",
    .operands     = "SCORES",
    .about        = "Omega and its cells from anomaly scores, with bootstrap intervals.\n"
                    "SCORES is a folder with anomaly_score_<machine>_section_<SS>_test.csv and, if there "
                    "are\ndecisions, decision_result_...; or a run; or a folder of such folders, which "
                    "gives one\nline for each. Rows are joined by name.",
    .opts         = opts,
    .min_operands = 1,
    .max_operands = 1,
    .examples     = "  asd-eval omega runs/dcase-baseline\n"
                    "  asd-eval omega scores --truth dcase2026_task2_evaluator --json\n",
};

/* A machine whose four groups differ in size is legal, but may be a file with rows missing, which
 * labelled names alone cannot show. */
static void note_uneven(const eval_args *a, const asd_omega *o)
{
    for (int64_t i = 0; i < o->n && !a->truth && !a->data; ++i) {
        const int64_t *n = &o->row[i].count[0][0];
        if (n[0] != n[1] || n[0] != n[2] || n[0] != n[3])
            asd_note("%s section %02d: %" PRId64 " and %" PRId64 " normal, %" PRId64 " and %" PRId64
                     " anomalous clips (source and target); --truth or --data would show whether "
                     "rows are missing",
                     o->row[i].machine, o->row[i].section, n[0], n[2], n[1], n[3]);
    }
}

static asd_status evaluate(const args *a, const asd_systems *s, asd_eval *e, asd_omega *o)
{
    const asd_omega_options options = eval_options(&a->eval);
    for (int64_t i = 0; i < s->n; ++i) {
        ASD_TRY(eval_open(&a->eval, s->folder[i], e + i));
        ASD_TRY(asd_omega_compute(e + i, &options, o + i));
        note_uneven(&a->eval, o + i);
        if (a->official_csv)
            ASD_TRY(asd_official_csv_write(e + i, a->official_csv));
    }
    return ASD_OK;
}

static asd_status print(const args *a, const asd_systems *s, const asd_omega *o)
{
    eval_out   out;
    asd_status st = eval_out_open(a->eval.output, &out);
    if (!st && a->eval.common.json)
        st = s->n == 1 ? asd_omega_print_json(o, out.stream)
                       : asd_omega_list_print_json(o, s->name, s->n, out.stream);
    else if (!st && s->n == 1)
        asd_omega_print_table(o, out.stream);
    else if (!st)
        asd_omega_list_print_table(o, s->name, s->n, out.stream);
    return eval_out_close(&out, st);
}

int eval_omega_main(int argc, char **argv)
{
    args         a;
    asd_operands operands;
    asd_systems  systems = {0};
    asd_eval    *eval    = NULL;
    asd_omega   *omega   = NULL;
    int          over;
    asd_status   st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (st || over)
        goto done;
    asd_common_apply(&a.eval.common, command.name);
    ASD_GO(done, st, asd_systems_find(operands.v[0], &systems));
    if (a.official_csv && systems.n > 1) {
        st = ASD_FAIL(ASD_E_USAGE, "--official-csv: %s holds %" PRId64 " systems, want one",
                      operands.v[0], systems.n);
        goto done;
    }
    eval  = calloc((size_t)systems.n, sizeof *eval);
    omega = calloc((size_t)systems.n, sizeof *omega);
    if (!eval || !omega) {
        st = ASD_FAIL(ASD_E_OOM, "%" PRId64 " systems", systems.n);
        goto done;
    }
    ASD_GO(done, st, evaluate(&a, &systems, eval, omega));
    st = print(&a, &systems, omega);
done:
    for (int64_t i = 0; i < systems.n; ++i) {
        if (omega)
            asd_omega_clear(omega + i);
        if (eval)
            asd_eval_clear(eval + i);
    }
    free(omega);
    free(eval);
    asd_systems_clear(&systems);
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
