/* compare.c - two systems on the same clips (omega.h). */
#include "score/bootstrap.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static asd_status same_set(const asd_eval_set *a, const asd_eval_set *b)
{
    for (int64_t i = 0; i < a->n || i < b->n; ++i) {
        int side = i >= a->n ? 1 : i >= b->n ? -1 : strcmp(a->name[i], b->name[i]);
        if (side)
            return ASD_FAIL(ASD_E_DATA,
                            "%s section %02d: %s has a score in %s only; both systems "
                            "must score the same clips",
                            a->machine, a->section, side < 0 ? a->name[i] : b->name[i],
                            side < 0 ? "A" : "B");
        if (a->target[i] != b->target[i] || a->anomaly[i] != b->anomaly[i])
            return ASD_FAIL(ASD_E_DATA, "%s section %02d: the truth of %s differs between A and B",
                            a->machine, a->section, a->name[i]);
    }
    return ASD_OK;
}

static asd_status same_clips(const asd_eval *a, const asd_eval *b)
{
    for (int64_t i = 0; i < a->n || i < b->n; ++i) {
        const asd_eval_set *x = i < a->n ? a->set + i : NULL, *y = i < b->n ? b->set + i : NULL;
        int                 side = !x ? 1 : !y ? -1 : strcmp(x->machine, y->machine);
        if (!side)
            side = x->section - y->section;
        if (side)
            return ASD_FAIL(
                ASD_E_DATA,
                "machine %s section %02d has scores in %s only; both systems must score "
                "the same clips",
                side < 0 ? x->machine : y->machine, side < 0 ? x->section : y->section,
                side < 0 ? "A" : "B");
        ASD_TRY(same_set(x, y));
    }
    return ASD_OK;
}

static asd_status compute_intervals(const asd_eval *a, const asd_eval *b, asd_compare *c)
{
    const asd_eval *both[2] = {a, b};
    const double    level   = c->options.level;
    asd_boot        boot;
    ASD_TRY(asd_boot_run(both, 2, &c->options, &boot));
    const int64_t n = boot.replicates, values = boot.n_sets * ASD_NCELLS;
    for (int64_t v = 0; v < values; ++v) { /* differences replace the values of A */
        double *delta = boot.cell + v * n, *of_b = boot.cell + (values + v) * n;
        for (int64_t i = 0; i < n; ++i)
            delta[i] = of_b[i] - delta[i];
        int64_t row = v / ASD_NCELLS, cell = v % ASD_NCELLS;
        c->cell_ci[row][cell] =
            asd_boot_interval(delta, n, c->b.row[row].cell[cell] - c->a.row[row].cell[cell], level);
    }
    int64_t twice = 0;
    for (int64_t i = 0; i < n; ++i) {
        boot.omega[i] = boot.omega[n + i] - boot.omega[i];
        twice += (boot.omega[i] > 0) + (boot.omega[i] >= 0);
    }
    c->p_delta_gt_0 = (double)twice / (double)(2 * n);
    c->delta_ci     = asd_boot_interval(boot.omega, n, c->delta, level);
    asd_boot_clear(&boot);
    return ASD_OK;
}

asd_status asd_compare_compute(const asd_eval *a, const asd_eval *b,
                               const asd_omega_options *options, asd_compare *out)
{
    asd_status        st;
    asd_omega_options plain = *options;
    plain.replicates        = 0;
    *out = (asd_compare){.options = *options, .delta_ci = {NAN, NAN}, .p_delta_gt_0 = NAN};
    ASD_TRY(same_clips(a, b));
    ASD_GO(fail, st, asd_omega_compute(a, &plain, &out->a));
    ASD_GO(fail, st, asd_omega_compute(b, &plain, &out->b));
    if (!(out->cell_ci = malloc((size_t)a->n * sizeof *out->cell_ci))) {
        st = ASD_FAIL(ASD_E_OOM, "%" PRId64 " machines", a->n);
        goto fail;
    }
    for (int64_t i = 0; i < a->n; ++i)
        for (int c = 0; c < ASD_NCELLS; ++c)
            out->cell_ci[i][c] = (asd_interval){NAN, NAN};
    out->omega_a = out->a.omega;
    out->omega_b = out->b.omega;
    out->delta   = out->omega_b - out->omega_a;
    if (options->replicates)
        ASD_GO(fail, st, compute_intervals(a, b, out));
    return ASD_OK;
fail:
    asd_compare_clear(out);
    return st;
}

void asd_compare_clear(asd_compare *c)
{
    asd_omega_clear(&c->a);
    asd_omega_clear(&c->b);
    free(c->cell_ci);
    memset(c, 0, sizeof *c);
}
