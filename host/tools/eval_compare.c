/* eval_compare.c - asd-eval compare: is B better than A on the same clips? */
#include "base/log.h"
#include "base/file.h"
#include "score/systems.h"
#include "tools/eval_cmds.h"

#include <string.h>

enum { GATE_NONE, GATE_BETTER, GATE_NOT_WORSE };

typedef struct args {
    eval_args eval; /* first: EVAL_OPTS */
    int       gate;
} args;

static const asd_opt opts[] = {
    EVAL_OPTS,
    {"gate", 0, ASD_OPT_CHOICE, offsetof(args, gate), "none", 0, 0, "none|better|not-worse", "",
     "exit 5 unless the interval of B - A lies above 0 (better) or reaches 0 (not-worse)"},
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-eval compare",
    .operands = "A B",
    .about = "The difference of Omega between two systems, B - A, by a paired bootstrap: both see "
             "the\nsame resampled clips. A and B are folders as for `asd-eval omega`, of one "
             "system each.",
    .opts  = opts,
    .min_operands = 2,
    .max_operands = 2,
    .examples     = "  asd-eval compare runs/dcase-baseline/scores/mse runs/mine\n"
                    "  asd-eval compare old new --gate not-worse\n",
};

static asd_status check_gate(const args *a, const asd_compare *c)
{
    if (a->gate == GATE_BETTER && !(c->delta_ci.lo > 0))
        return ASD_FAIL(ASD_E_CHECK, "B is not surely better: B - A = %+.2f [%+.2f, %+.2f] points",
                        100 * c->delta, 100 * c->delta_ci.lo, 100 * c->delta_ci.hi);
    if (a->gate == GATE_NOT_WORSE && !(c->delta_ci.hi >= 0))
        return ASD_FAIL(ASD_E_CHECK, "B is worse: B - A = %+.2f [%+.2f, %+.2f] points",
                        100 * c->delta, 100 * c->delta_ci.lo, 100 * c->delta_ci.hi);
    return ASD_OK;
}

int eval_compare_main(int argc, char **argv)
{
    args              a;
    asd_operands      operands;
    asd_eval          e[2]    = {{0}, {0}};
    asd_compare       compare = {0};
    eval_out          out;
    asd_omega_options options;
    char              folder[2][PATH_MAX];
    int               over;
    asd_status        st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (st || over)
        goto done;
    asd_common_apply(&a.eval.common, command.name);
    if (a.gate != GATE_NONE && !a.eval.bootstrap) {
        st = ASD_FAIL(ASD_E_USAGE, "--gate needs an interval, so --bootstrap cannot be 0");
        goto done;
    }
    for (int i = 0; i < 2; ++i) {
        ASD_GO(done, st, asd_systems_find_one(operands.v[i], folder[i]));
        ASD_GO(done, st, eval_open(&a.eval, folder[i], e + i));
    }
    options = eval_options(&a.eval);
    ASD_GO(done, st, asd_compare_compute(e, e + 1, &options, &compare));
    ASD_GO(done, st, eval_out_open(a.eval.output, &out));
    if (a.eval.common.json)
        st = asd_compare_print_json(&compare, out.stream);
    else
        asd_compare_print_table(&compare, operands.v[0], operands.v[1], out.stream);
    ASD_GO(done, st, eval_out_close(&out, st));
    st = check_gate(&a, &compare);
done:
    asd_compare_clear(&compare);
    for (int i = 0; i < 2; ++i)
        asd_eval_clear(e + i);
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
