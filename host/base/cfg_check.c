/* cfg_check.c - what one row of the table cannot say. */
#include "base/cfg.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* "recipes/x.yaml:3:5" of a field; NULL where the default stands. */
static const char *origin_of(const asd_recipe *r, size_t offset)
{
    int i = 0;
    while (asd_cfg_opts[i].offset != offset)
        ++i;
    return r->origin[i];
}

/* The name becomes a folder. */
static asd_status check_name(const asd_recipe *r)
{
    const char *name = r->cfg.name;
    if (!name)
        return ASD_FAIL(ASD_E_CONFIG, "%s: name is missing", r->path);
    size_t good = 0;
    while (isalnum((unsigned char)name[good]) || (name[good] && strchr("-_.", name[good])))
        ++good;
    if (!*name || *name == '.' || *name == '-' || name[good] || good > 100)
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: name: \"%.60s\" cannot name a folder: want up to 100 letters, digits, "
                        "- _ and ., the first a letter or digit",
                        origin_of(r, offsetof(asd_cfg, name)), name);
    return ASD_OK;
}

static asd_status check_bands(const asd_recipe *r)
{
    const asd_cfg *c    = &r->cfg;
    double         half = 0.5 * (double)c->data_rate_hz;
    double         fmax = c->front_end_fmax_hz > 0 ? c->front_end_fmax_hz : half;
    if (fmax > half)
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: front_end.fmax_hz: %g Hz is above half of data.rate_hz, %g Hz",
                        origin_of(r, offsetof(asd_cfg, front_end_fmax_hz)), fmax, half);
    if (c->front_end_fmin_hz >= fmax)
        return ASD_FAIL(
            ASD_E_CONFIG, "%s: front_end.fmin_hz: %g Hz is not below the upper edge, %g Hz",
            origin_of(r, offsetof(asd_cfg, front_end_fmin_hz)), c->front_end_fmin_hz, fmax);
    return ASD_OK;
}

/* detector=percent */
static asd_status check_expected(const asd_recipe *r)
{
    const asd_list *list = &r->cfg.expect_omega;
    for (int64_t i = 0; i < list->n; ++i) {
        const char *equals = strrchr(list->item[i], '=');
        char       *end    = NULL;
        double      value  = equals ? strtod(equals + 1, &end) : -1;
        if (!equals || equals == list->item[i] || end == equals + 1 || *end ||
            !(value >= 0 && value <= 100))
            return ASD_FAIL(ASD_E_CONFIG,
                            "%s: expect.omega: \"%.60s\" is not detector=percent, as in mse=56.66",
                            origin_of(r, offsetof(asd_cfg, expect_omega)), list->item[i]);
    }
    return ASD_OK;
}

/* Keys that only recipes with embeddings look at, and one that only autoencoders do. */
static asd_status check_scoring(const asd_recipe *r)
{
    const asd_cfg *c = &r->cfg;
    if (c->embed_streams.n && c->score_threshold == ASD_THRESHOLD_OFFICIAL_BATCHES)
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: score.threshold: official_batches are an autoencoder's; a recipe with "
                        "embed.streams has none",
                        origin_of(r, offsetof(asd_cfg, score_threshold)));
    if (!c->embed_streams.n && c->score_normalise != ASD_NORMALISE_NONE)
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: score.normalise: works on detectors of embeddings; there are no "
                        "embed.streams",
                        origin_of(r, offsetof(asd_cfg, score_normalise)));
    if (!c->embed_streams.n && c->score_fusion.n)
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: score.fusion: works on detectors of embeddings; there are no "
                        "embed.streams",
                        origin_of(r, offsetof(asd_cfg, score_fusion)));
    return ASD_OK;
}

asd_status asd_cfg_check(const asd_recipe *r)
{
    ASD_TRY(check_name(r));
    ASD_TRY(check_bands(r));
    ASD_TRY(check_scoring(r));
    return check_expected(r);
}
