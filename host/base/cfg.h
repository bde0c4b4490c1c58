/* cfg.h - recipes: YAML in, one struct out, with the origin of every value.
 *
 * A recipe is pure data. `base:` names one or more parent recipes (relative to the file that names
 * them, or standard ones by name; merged left to right, then the file's own keys; a list replaces a
 * list). Then come the smoke: keys of parents and file, if a smoke run is asked for, and --set
 * key=value last. `train: {lr: 1}` and `train.lr: 1` are the same. Unknown keys, wrong types and
 * values out of range are ASD_E_CONFIG with file:line:column and the nearest valid name.
 */
#ifndef ASD_BASE_CFG_H
#define ASD_BASE_CFG_H

#include "base/opt.h"

#include <limits.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_cfg {
#define CFG(field, key, type, ctype, def, min, max, choices, unit, text) ctype field;
#include "base/cfg.def"
#undef CFG
} asd_cfg;

/* Choices by name: ASD_CFG_INDEX values follow the order in cfg.def. */
enum { ASD_CHANNEL_NEAR, ASD_CHANNEL_FAR, ASD_CHANNEL_MEAN };
enum { ASD_OPTIMISER_ADAM, ASD_OPTIMISER_ADAMW };
enum {
    ASD_THRESHOLD_GAMMA,
    ASD_THRESHOLD_GAMMA_LOC0,
    ASD_THRESHOLD_QUANTILE,
    ASD_THRESHOLD_OFFICIAL_BATCHES
};

extern const asd_opt asd_cfg_opts[]; /* ends with key NULL */

/* A recipe that was read: the values, and for each row of asd_cfg_opts where its value came from.
 */
typedef struct asd_recipe {
    asd_cfg cfg;
    char  **origin;   /* (rows) "default", "recipes/x.yaml:12:5", "--set"; owned */
    char   *path;     /* as given */
    char    hash[33]; /* of the resolved values alone: equal configurations have equal hashes */
} asd_recipe;

/* path may be the file, or the name of a recipe as asd_recipe_find takes it ("dcase-baseline").
 * sets: n texts "key.path=value", the value in YAML, so lists are [a, b]. `smoke` overlays the
 * recipe's `smoke:` section, whose keys are ordinary recipe keys, so that a run takes seconds; a
 * recipe without one is then an error. Call asd_recipe_clear on any return. */
asd_status asd_recipe_load(const char *path, char *const *sets, int64_t n, int smoke,
                           asd_recipe *out);
void       asd_recipe_clear(asd_recipe *r);
/* Finds a recipe's file: `name` itself (beside the file `from`, if that is not NULL); a bare name
 * also as NAME.yaml beside `from`, in ./recipes, in $ASD_RECIPES, and in ../share/asd/recipes and
 * ../recipes of the program's folder. `where` begins the error, NULL for none. ASD_E_CONFIG if
 * there is none. */
asd_status asd_recipe_find(const char *name, const char *from, const char *where,
                           char found[PATH_MAX]);
/* Checks that need more than one value (fmin < fmax) and texts with a form; asd_recipe_load calls
 * it. ASD_E_CONFIG names the value's origin. */
asd_status asd_cfg_check(const asd_recipe *r);
/* The resolved configuration as YAML that loads to the same values and hash; with_origin adds
 * "# origin" to every line. */
asd_status asd_recipe_print(const asd_recipe *r, int with_origin, FILE *out);
/* Markdown table of all keys (docs/recipes.md is made by it and a test keeps it fresh). */
void asd_cfg_docs(FILE *out);

#ifdef __cplusplus
}
#endif
#endif
