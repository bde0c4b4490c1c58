/* adapter.c - LoRA adapters in PEFT's files, added into the weights: W += scale B A.
 *
 * adapter_model.safetensors: <wrapper>.<layer>.lora_A.weight (r, in) and .lora_B.weight (out, r)
 * adapter_config.json: r, lora_alpha, use_rslora and what must be off: DoRA, patterns of ranks and
 * alphas, biases, transposed layers. Whatever changes the arithmetic and is not known is refused.
 */
#include "models/parts.h"

#include "base/file.h"
#include "base/yaml.h"
#include "kernels/cpu.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- adapter_config.json --- */

static const asd_yaml_entry *entry(const asd_yaml *y, const char *key)
{
    for (int64_t i = 0; i < y->n; ++i)
        if (!strcmp(y->entry[i].key, key))
            return &y->entry[i];
    return NULL;
}

/* The text of a scalar; otherwise for null and absent keys. */
static const char *text_of(const asd_yaml *y, const char *key, const char *otherwise)
{
    const asd_yaml_entry *e = entry(y, key);
    return e && e->value.text ? e->value.text : otherwise;
}

static asd_status positive(const asd_yaml *y, const char *path, const char *key, double otherwise,
                           double *out)
{
    const char *text = text_of(y, key, NULL);
    char       *end;
    *out = otherwise;
    if (!text)
        return ASD_OK;
    *out = strtod(text, &end);
    return *end || !(*out > 0) || !isfinite(*out)
               ? ASD_FAIL(ASD_E_DATA, "%s: %s is %s, want a number above 0", path, key, text)
               : ASD_OK;
}

/* Settings that would change what is computed, and the values with which they do not. */
static asd_status refuse_variants(const asd_yaml *y, const char *path)
{
    static const char *const off[] = {"use_dora", "lora_bias", "fan_in_fan_out", "use_qalora"};
    const char *type = text_of(y, "peft_type", "LORA"), *bias = text_of(y, "bias", "none");
    for (size_t i = 0; i < sizeof off / sizeof *off; ++i)
        if (strcmp(text_of(y, off[i], "false"), "false") != 0)
            return ASD_FAIL(ASD_E_DATA, "%s: %s is %s, which is not supported; want false", path,
                            off[i], text_of(y, off[i], ""));
    if (strcmp(type, "LORA") != 0 || strcmp(bias, "none") != 0)
        return ASD_FAIL(ASD_E_DATA, "%s: peft_type %s with bias %s; want LORA with none", path,
                        type, bias);
    for (int64_t i = 0; i < y->n; ++i)
        if (!strncmp(y->entry[i].key, "rank_pattern.", 13) ||
            !strncmp(y->entry[i].key, "alpha_pattern.", 14))
            return ASD_FAIL(ASD_E_DATA,
                            "%s: %s: layers with a rank or scale of their own are not "
                            "supported",
                            path, y->entry[i].key);
    return ASD_OK;
}

static asd_status read_scale(const char *path, double *scale)
{
    asd_status st   = ASD_OK;
    asd_yaml   y    = {0};
    char      *text = NULL;
    size_t     size;
    double     r, alpha;
    ASD_TRY(asd_read_file(path, ASD_YAML_MAX_BYTES, &text, &size));
    if (asd_yaml_parse(text, size, path, NULL, &y)) {
        char why[512];
        snprintf(why, sizeof why, "%s", asd_error_text());
        st = ASD_FAIL(ASD_E_DATA, "%s", why);
        goto done;
    }
    ASD_GO(done, st, refuse_variants(&y, path));
    ASD_GO(done, st, positive(&y, path, "r", 8, &r));
    ASD_GO(done, st, positive(&y, path, "lora_alpha", 8, &alpha));
    *scale = alpha / (strcmp(text_of(&y, "use_rslora", "false"), "true") ? r : sqrt(r));
done:
    asd_yaml_clear(&y);
    free(text);
    return st;
}

/* --- adapter_model.safetensors --- */

/* The tensor of a layer: LAYER.lora_A.weight behind any wrapper's names. PEFT leaves the adapter's
 * name ("default") out of files, but not everybody saves by PEFT. */
static const asd_weight *find_half(const asd_weights *w, const char *layer, char half, char *used)
{
    for (int f = 0; f < 2; ++f) {
        char end[128];
        if (f)
            snprintf(end, sizeof end, "%.80s.lora_%c.default.weight", layer, half);
        else
            snprintf(end, sizeof end, "%.80s.lora_%c.weight", layer, half);
        for (int64_t i = 0; i < w->n; ++i) {
            const char *name = w->tensor[i].name;
            size_t      n = strlen(name), k = strlen(end);
            if (n >= k && !strcmp(name + n - k, end) && (n == k || name[n - k - 1] == '.')) {
                used[i] = 1;
                return &w->tensor[i];
            }
        }
    }
    return NULL;
}

static asd_status check_pair(const encoder_name *n, const asd_weights *w, const asd_weight *A,
                             const asd_weight *B)
{
    char a[64], b[64];
    if (A->n_dims != 2 || B->n_dims != 2 || A->dim[1] != n->dim[1] || B->dim[0] != n->dim[0] ||
        A->dim[0] != B->dim[1])
        return ASD_FAIL(ASD_E_DATA, "%s: %s is %s, %s is %s; want (r, %lld) and (%lld, r)", w->path,
                        A->name, asd_weight_shape_text(A, a, sizeof a), B->name,
                        asd_weight_shape_text(B, b, sizeof b), (long long)n->dim[1],
                        (long long)n->dim[0]);
    return ASD_OK;
}

static asd_status add_product(asd_encoder *e, const encoder_name *n, const asd_weights *w,
                              const asd_weight *A, const asd_weight *B, double scale)
{
    asd_status st = ASD_OK;
    float     *xa = malloc((size_t)asd_weight_count(A) * sizeof *xa + 1);
    float     *xb = malloc((size_t)asd_weight_count(B) * sizeof *xb + 1);
    if (!xa || !xb) {
        st = ASD_FAIL(ASD_E_OOM, "no memory for %s", A->name);
        goto done;
    }
    ASD_GO(done, st, asd_params_own(&e->params, asd_params_find(&e->params, n->param)));
    ASD_GO(done, st, asd_weight_read(w, A, xa));
    ASD_GO(done, st, asd_weight_read(w, B, xb));
    for (int64_t i = 0; i < asd_weight_count(B); ++i)
        xb[i] = (float)(scale * (double)xb[i]);
    asd_gemm_job j = {.m    = n->dim[0],
                      .n    = n->dim[1],
                      .k    = A->dim[0],
                      .a    = xb,
                      .lda  = A->dim[0],
                      .b    = xa,
                      .ldb  = n->dim[1],
                      .beta = 1,
                      .y    = encoder_place(&e->params, n),
                      .ldy  = n->dim[1]};
    if (j.k > 0)
        asd_gemm(&j);
done:
    free(xa);
    free(xb);
    return st;
}

/* All pairs are found and fit before the first is added, so that a refused adapter changes nothing.
 */
static asd_status merge(asd_encoder *e, const asd_weights *w, double scale, int apply)
{
    asd_status    st   = ASD_OK;
    encoder_names l    = {0};
    char         *used = calloc((size_t)w->n + 1, 1);
    encoder_kind_find(e->d.kind)->names(&e->d, &l);
    if (l.failed || !used) {
        st = ASD_FAIL(ASD_E_OOM, "no memory to read %s", w->path);
        goto done;
    }
    for (int i = 0; i < l.n; ++i) {
        const encoder_name *n = &l.name[i];
        char                layer[96];
        size_t              length = strlen(n->core);
        if (n->n_dims != 2 || length < 8 || strcmp(n->core + length - 7, ".weight") != 0)
            continue;
        snprintf(layer, sizeof layer, "%.*s", (int)(length - 7), n->core);
        const asd_weight *A = find_half(w, layer, 'A', used), *B = find_half(w, layer, 'B', used);
        if (!A != !B) {
            st = ASD_FAIL(ASD_E_DATA, "%s: %s has lora_%c but not lora_%c", w->path, layer,
                          A ? 'A' : 'B', A ? 'B' : 'A');
            goto done;
        }
        if (A)
            ASD_GO(done, st, apply ? add_product(e, n, w, A, B, scale) : check_pair(n, w, A, B));
    }
    for (int64_t i = 0; i < w->n; ++i)
        if (!used[i]) {
            st = ASD_FAIL(ASD_E_DATA, "%s: %s is no adapter of a linear layer of %s", w->path,
                          w->tensor[i].name, e->d.kind);
            goto done;
        }
    if (!w->n)
        st = ASD_FAIL(ASD_E_DATA, "%s: no tensors", w->path);
done:
    free(used);
    encoder_names_free(&l);
    return st;
}

asd_status asd_encoder_merge_adapter(asd_encoder *e, const char *path)
{
    asd_status  st = ASD_OK;
    asd_weights w  = {0};
    char        file[PATH_MAX], config[PATH_MAX], hash[65];
    double      scale = 0;
    if (e->planned)
        return ASD_FAIL(ASD_E_CONFIG, "%s: adapters must be merged before the first plan",
                        e->d.kind);
    if (asd_is_folder(path)) {
        ASD_TRY(asd_path(file, "%s/adapter_model.safetensors", path));
        ASD_TRY(asd_path(config, "%s/adapter_config.json", path));
    } else {
        ASD_TRY(asd_path(file, "%s", path));
        ASD_TRY(
            asd_path(config, "%.*sadapter_config.json", (int)(asd_base_name(path) - path), path));
    }
    ASD_TRY(read_scale(config, &scale));
    ASD_GO(done, st, asd_weights_open(file, &w));
    ASD_GO(done, st, asd_weights_sha256(&w, hash));
    if (strlen(e->hash) + sizeof hash + 24 >= sizeof e->hash) {
        st = ASD_FAIL(ASD_E_CONFIG, "%s: too many adapters on one encoder", path);
        goto done;
    }
    ASD_GO(done, st, merge(e, &w, scale, 0));
    ASD_GO(done, st, merge(e, &w, scale, 1));
    snprintf(e->hash + strlen(e->hash), sizeof e->hash - strlen(e->hash), "+%s*%.9g", hash, scale);
    encoder_make_key(e);
done:
    asd_weights_close(&w);
    return st;
}
