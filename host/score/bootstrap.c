/* bootstrap.c - see bootstrap.h.
 *
 * Sort once, then counts: clips are ranked once per machine (cells.h); a replicate only counts how
 * often each slot was drawn and walks the groups once. 10,000 replicates of 7 x 200 clips are 14
 * million draws of a few nanoseconds, in which Philox, the multiplication that turns a word into an
 * index, and the increment weigh about the same.
 */
#include "score/bootstrap.h"

#include "base/par.h"
#include "base/rng.h"
#include "score/cells.h"
#include "score/special.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SYSTEMS = 2, STRATA = 4, CHUNKS = 64 };

/* One machine and section, ready to be drawn from. */
typedef struct urn {
    uint64_t    hash;
    int64_t     size[STRATA];      /* clips in each stratum, class = 2 * target + anomaly */
    int32_t    *slot[MAX_SYSTEMS]; /* (n) slots of the clips, stratum by stratum */
    asd_ranking rank[MAX_SYSTEMS];
} urn;

/* What one chunk of replicates writes to. */
typedef struct scratch {
    uint32_t *word;                /* (largest stratum) */
    int32_t  *weight[MAX_SYSTEMS]; /* (most groups, 4) */
    double   *cell;                /* (n_sets, ASD_NCELLS) */
} scratch;

typedef struct job {
    const asd_omega_options *options;
    asd_boot                *boot;
    urn                     *urns;
    scratch                  scratch[CHUNKS];
} job;

static asd_status urn_init(const asd_eval *const *system, int n_systems, int64_t at, urn *u)
{
    const asd_eval_set *s = system[0]->set + at;
    char                text[320];
    snprintf(text, sizeof text, "%s_section_%02d", s->machine, s->section);
    u->hash = asd_rng_hash(text);
    for (int class = 0; class < STRATA; ++class)
        u->size[class] = s->count[class >> 1][class & 1];
    for (int k = 0; k < n_systems; ++k) {
        const asd_eval_set *mine = system[k]->set + at;
        ASD_TRY(asd_ranking_init(mine, u->rank + k));
        if (!(u->slot[k] = malloc((size_t)mine->n * sizeof *u->slot[k])))
            return ASD_FAIL(ASD_E_OOM, "%s: %" PRId64 " clips", mine->machine, mine->n);
        int64_t n = 0;
        for (int class = 0; class < STRATA; ++class)
            for (int64_t i = 0; i < mine->n; ++i)
                if ((u->rank[k].slot[i] & 3) == class)
                    u->slot[k][n++] = u->rank[k].slot[i];
    }
    return ASD_OK;
}

/* Draws the stratum's size of clips and counts them in every system's slots. The sequence of draws
 * is that of asd_rng_below. */
static void draw_stratum(const job *j, const urn *u, int64_t replicate, int class, int64_t first,
                         const scratch *s)
{
    const uint32_t size = (uint32_t)u->size[class];
    if (!size)
        return;
    const uint32_t reject = (uint32_t)(-size) % size;
    asd_rng        r;
    asd_rng_init(&r, j->options->seed, ASD_RNG_BOOTSTRAP, (uint64_t)replicate,
                 u->hash << 2 | (uint64_t) class);
    asd_rng_fill_u32(&r, size, s->word);
    uint32_t       drawn    = 0;
    const int32_t *slot_a   = u->slot[0] + first;
    int32_t       *weight_a = s->weight[0];
    if (j->boot->n_systems == 1) {
        for (uint32_t i = 0; i < size; ++i) {
            uint64_t m = (uint64_t)s->word[i] * size;
            if ((uint32_t)m < reject)
                continue;
            ++weight_a[slot_a[m >> 32]];
            ++drawn;
        }
        for (; drawn < size; ++drawn)
            ++weight_a[slot_a[asd_rng_below(&r, size)]];
        return;
    }
    const int32_t *slot_b   = u->slot[1] + first;
    int32_t       *weight_b = s->weight[1];
    for (uint32_t i = 0; i < size; ++i) {
        uint64_t m = (uint64_t)s->word[i] * size;
        if ((uint32_t)m < reject)
            continue;
        ++weight_a[slot_a[m >> 32]];
        ++weight_b[slot_b[m >> 32]];
        ++drawn;
    }
    for (; drawn < size; ++drawn) {
        uint32_t i = asd_rng_below(&r, size);
        ++weight_a[slot_a[i]];
        ++weight_b[slot_b[i]];
    }
}

static double *cell_at(const asd_boot *b, int system, int64_t set, int cell)
{
    return b->cell + ((system * b->n_sets + set) * ASD_NCELLS + cell) * b->replicates;
}

static void run_chunk(void *context, int64_t chunk)
{
    job           *j     = context;
    asd_boot      *b     = j->boot;
    const scratch *s     = j->scratch + chunk;
    const int64_t  begin = b->replicates * chunk / CHUNKS;
    const int64_t  end   = b->replicates * (chunk + 1) / CHUNKS;
    for (int64_t set = 0; set < b->n_sets; ++set) {
        const urn *u = j->urns + set;
        for (int64_t i = begin; i < end; ++i) {
            for (int k = 0; k < b->n_systems; ++k)
                memset(s->weight[k], 0, (size_t)(4 * u->rank[k].n_groups) * sizeof(int32_t));
            int64_t first = 0;
            for (int class = 0; class < STRATA; first += u->size[class ++])
                draw_stratum(j, u, i, class, first, s);
            for (int k = 0; k < b->n_systems; ++k) {
                double cell[ASD_NCELLS];
                asd_cells_weighted(u->rank + k, s->weight[k], j->options->auc, cell);
                for (int c = 0; c < ASD_NCELLS; ++c)
                    cell_at(b, k, set, c)[i] = cell[c];
            }
        }
    }
    for (int k = 0; k < b->n_systems; ++k)
        for (int64_t i = begin; i < end; ++i) {
            for (int64_t v = 0; v < ASD_NCELLS * b->n_sets; ++v)
                s->cell[v] = cell_at(b, k, 0, 0)[v * b->replicates + i];
            b->omega[k * b->replicates + i] =
                asd_omega_of_cells(s->cell, b->n_sets, j->options->cells);
        }
}

static asd_status allocate(const asd_eval *e, job *j)
{
    asd_boot *b       = j->boot;
    int64_t   largest = 1, groups = 1;
    for (int64_t i = 0; i < e->n; ++i) {
        for (int class = 0; class < STRATA; ++class)
            largest = j->urns[i].size[class] > largest ? j->urns[i].size[class] : largest;
        for (int k = 0; k < b->n_systems; ++k)
            groups = j->urns[i].rank[k].n_groups > groups ? j->urns[i].rank[k].n_groups : groups;
    }
    int64_t values = b->n_systems * b->n_sets * ASD_NCELLS;
    int     ok     = b->replicates <= INT64_MAX / 8 / values;
    ok             = ok && (b->cell = malloc((size_t)(values * b->replicates) * sizeof *b->cell));
    ok = ok && (b->omega = malloc((size_t)(b->n_systems * b->replicates) * sizeof *b->omega));
    for (int c = 0; c < CHUNKS && ok; ++c) {
        scratch *s = j->scratch + c;
        s->word    = malloc((size_t)largest * sizeof *s->word);
        s->cell    = malloc((size_t)(b->n_sets * ASD_NCELLS) * sizeof *s->cell);
        ok         = s->word && s->cell;
        for (int k = 0; k < b->n_systems && ok; ++k)
            ok = (s->weight[k] = malloc((size_t)(4 * groups) * sizeof *s->weight[k])) != NULL;
    }
    return ok ? ASD_OK
              : ASD_FAIL(ASD_E_OOM, "bootstrap: %" PRId64 " replicates of %" PRId64 " values",
                         b->replicates, values);
}

asd_status asd_boot_run(const asd_eval *const *system, int n_systems, const asd_omega_options *o,
                        asd_boot *out)
{
    asd_status st;
    ASD_ASSERT(n_systems >= 1 && n_systems <= MAX_SYSTEMS && o->replicates > 0);
    *out  = (asd_boot){.n_systems = n_systems, .n_sets = system[0]->n, .replicates = o->replicates};
    job j = {.options = o, .boot = out, .urns = calloc((size_t)out->n_sets, sizeof *j.urns)};
    if (!j.urns) {
        st = ASD_FAIL(ASD_E_OOM, "bootstrap: %" PRId64 " machines", out->n_sets);
        goto done;
    }
    for (int64_t i = 0; i < out->n_sets; ++i)
        ASD_GO(done, st, urn_init(system, n_systems, i, j.urns + i));
    ASD_GO(done, st, allocate(system[0], &j));
    asd_par_for(CHUNKS, run_chunk, &j);
done:
    for (int64_t i = 0; j.urns && i < out->n_sets; ++i)
        for (int k = 0; k < n_systems; ++k) {
            asd_ranking_clear(j.urns[i].rank + k);
            free(j.urns[i].slot[k]);
        }
    for (int c = 0; c < CHUNKS; ++c) {
        free(j.scratch[c].word);
        free(j.scratch[c].cell);
        for (int k = 0; k < MAX_SYSTEMS; ++k)
            free(j.scratch[c].weight[k]);
    }
    free(j.urns);
    if (st)
        asd_boot_clear(out);
    return st;
}

void asd_boot_clear(asd_boot *b)
{
    free(b->cell);
    free(b->omega);
    memset(b, 0, sizeof *b);
}

/* --- intervals ----------------------------------------------------------------------------------
 */

/* The k-th smallest of v, k from 0 (Hoare's selection; equal values on both sides, so that the many
 * ties of an AUC do not make it slow). */
static double select_kth(double *v, int64_t n, int64_t k)
{
    int64_t lo = 0, hi = n - 1;
    while (lo < hi) {
        double  pivot = v[lo + (hi - lo) / 2];
        int64_t i = lo - 1, j = hi + 1;
        for (;;) {
            while (v[++i] < pivot)
                ;
            while (v[--j] > pivot)
                ;
            if (i >= j)
                break;
            double swap = v[i];
            v[i]        = v[j];
            v[j]        = swap;
        }
        if (k <= j)
            hi = j;
        else
            lo = j + 1;
    }
    return v[k];
}

/* Rank, from 1, of the lower end: the share Phi(2 z0 + z) of the n + 1 gaps, rounded down. */
static int64_t lower_rank(double z0, double z, int64_t n)
{
    double rank = floor((double)(n + 1) * asd_normal_cdf(2 * z0 + z));
    return rank < 1 ? 1 : rank > (double)n ? n : (int64_t)rank;
}

/* z0 is where the estimate lies among its replicates, in standard deviations of a normal. It is
 * taken from the smaller side, and the upper end is the mirrored lower end, so that a change of
 * sign of everything mirrors the interval bit for bit. */
asd_interval asd_boot_interval(double *v, int64_t n, double estimate, double level)
{
    int64_t twice = 0; /* 2 * replicates below the estimate + replicates equal to it */
    for (int64_t i = 0; i < n; ++i)
        twice += (v[i] < estimate) + (v[i] <= estimate);
    double z0 = twice <= n ? asd_normal_inv((double)twice / (double)(2 * n))
                           : -asd_normal_inv((double)(2 * n - twice) / (double)(2 * n));
    double z  = asd_normal_inv(0.5 * (1 - level));
    double lo = select_kth(v, n, lower_rank(z0, z, n) - 1);
    double hi = select_kth(v, n, n - lower_rank(-z0, z, n));
    return (asd_interval){lo, hi};
}
