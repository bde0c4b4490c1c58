/* pca.c - the step pca(k): rows in their own k principal axes, from the mean of all training rows.
 *
 * Each stream has its own axes. Domains count alike, row by row. Leaving a clip out later keeps the
 * axes that it took part in.
 */
#include "detect/saved.h"
#include "detect/basis.h"

#include <stdlib.h>
#include <math.h>

typedef struct pca_params {
    int64_t k;
    int     whiten;
} pca_params;

static const asd_opt rows[] = {
    {"k", 0, ASD_OPT_INT, offsetof(pca_params, k), "128", 1, ASD_MAX_COLUMNS, NULL, "axes",
     "principal axes kept"},
    {"whiten", 0, ASD_OPT_BOOL, offsetof(pca_params, whiten), "false", 0, 1, NULL, "",
     "divide each by its standard deviation"},
    {0},
};

typedef struct pca_state {
    int       whiten;
    asd_basis basis[ASD_MAX_STREAMS];
} pca_state;

static void pca_clear(void *state)
{
    for (int i = 0; i < ASD_MAX_STREAMS; ++i)
        asd_basis_clear(&((pca_state *)state)->basis[i]);
}

static asd_status pca_fit(void *state, const void *params, const asd_train_rows *train,
                          const char *what)
{
    const pca_params *p = params;
    pca_state        *s = state;
    s->whiten           = p->whiten;
    for (int i = 0; i < train->n_streams; ++i) {
        const asd_clip_rows *x    = &train->stream[i];
        asd_basis_rule       rule = {.centre = ASD_CENTRE_ALL, .k = p->k, .weight = 1};
        int64_t              n    = x->n * x->rows;
        unsigned char       *none = calloc((size_t)n, 1);
        if (!none)
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for %lld rows", what, (long long)n);
        asd_status st = asd_basis_fit(&s->basis[i], x->x, n, x->D, none, &rule, what);
        free(none);
        ASD_TRY(st);
    }
    return ASD_OK;
}

static int64_t pca_width(const void *state, int stream)
{
    return ((const pca_state *)state)->basis[stream].k;
}

static asd_status pca_map(const void *state, int stream, const asd_clip_rows *in, float *out)
{
    const pca_state *s = state;
    const asd_basis *b = &s->basis[stream];
    int64_t          n = in->n * in->rows;
    double          *y = malloc((size_t)(n * b->k) * sizeof *y + 1);
    if (!y)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld projections", (long long)n);
    asd_basis_project(b, in->x, n, y);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t c = 0; c < b->k; ++c)
            out[i * b->k + c] = (float)(y[i * b->k + c] * (s->whiten ? 1 : sqrt(b->value[c])));
    free(y);
    return ASD_OK;
}

static void pca_fields(void *state, const void *params, asd_saved *v)
{
    pca_state *s = state;
    s->whiten    = ((const pca_params *)params)->whiten;
    for (int i = 0; i < asd_saved_streams(v); ++i) {
        size_t was = asd_saved_enter(v, "stream", i);
        asd_saved_basis(v, "basis", &s->basis[i], asd_saved_width(v, i));
        if (asd_saved_ok(v) && !s->basis[i].value)
            asd_saved_wrong(v, "basis");
        asd_saved_leave(v, was);
    }
}

const asd_detector asd_detector_pca = {
    .name         = "pca",
    .about        = "rows in their k principal axes",
    .params       = rows,
    .params_bytes = sizeof(pca_params),
    .state_bytes  = sizeof(pca_state),
    .clear        = pca_clear,
    .fit_map      = pca_fit,
    .map_width    = pca_width,
    .map          = pca_map,
    .fields       = pca_fields,
};
