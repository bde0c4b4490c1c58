/* encoder.c - an encoder's life: made from a description, a file or random numbers. */
#include "models/parts.h"

#include "base/rng.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every parameter that any plan of this encoder will ask for. */
static asd_status declare(asd_encoder *e)
{
    asd_tape          t;
    asd_encoder_graph g  = {.lengths = ASD_NO_VAL};
    asd_status        st = ASD_OK;
    asd_tape_init(&t, &e->params, 0);
    g.samples =
        asd_tape_input(&t, "samples", ASD_F32, ASD_SHAPE2(1, asd_encoder_min_samples(&e->d)));
    ASD_GO(done, st, asd_encoder_record(&t, &e->d, &g));
    if (e->d.head_classes)
        asd_encoder_head(&t, &e->d, &g);
    if (t.status)
        st = ASD_FAIL(t.status, "%s", t.error);
done:
    asd_tape_clear(&t);
    return st;
}

/* An encoder that knows its parameters and has no memory for them yet. */
static asd_status make(const asd_encoder_desc *d, asd_encoder **out)
{
    asd_status   st = ASD_OK;
    asd_encoder *e  = calloc(1, sizeof *e);
    *out            = NULL;
    if (!e)
        return ASD_FAIL(ASD_E_OOM, "no memory for %s", d->kind);
    e->d = *d;
    asd_params_init(&e->params);
    ASD_GO(done, st, declare(e));
    *out = e;
    e    = NULL;
done:
    asd_encoder_close(e);
    return st;
}

asd_status asd_encoder_new(const asd_encoder_desc *d, asd_encoder **out)
{
    ASD_TRY(make(d, out));
    asd_status st = asd_params_alloc(&(*out)->params, 0);
    if (st) {
        asd_encoder_close(*out);
        *out = NULL;
        return st;
    }
    encoder_fill_places(*out);
    snprintf((*out)->hash, sizeof(*out)->hash, "zero-%s", d->kind);
    encoder_make_key(*out);
    return ASD_OK;
}

asd_status asd_encoder_random(const char *kind, int tiny, uint64_t seed, asd_encoder **out)
{
    static const char prefix[] = "tiny_";
    asd_encoder_desc  d;
    *out = NULL;
    if (!strncmp(kind, prefix, sizeof prefix - 1)) {
        tiny = 1;
        kind += sizeof prefix - 1;
    }
    ASD_TRY(asd_encoder_default(kind, tiny, &d));
    ASD_TRY(asd_encoder_new(&d, out));
    asd_params_reset(&(*out)->params, seed, asd_rng_hash(d.kind));
    encoder_fill_places(*out);
    snprintf((*out)->hash, sizeof(*out)->hash, "random-%s%s-%llu", tiny ? prefix : "", d.kind,
             (unsigned long long)seed);
    encoder_make_key(*out);
    return ASD_OK;
}

/* The first kind whose anchor the file has. */
static const char *find_kind(const asd_weights *w)
{
    static const char *const kinds[] = {"beats", "eat", "dasheng"};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k) {
        const char *anchor = encoder_kind_find(kinds[k])->anchor;
        size_t      length = strlen(anchor);
        for (int64_t i = 0; i < w->n; ++i) {
            size_t n = strlen(w->tensor[i].name);
            if (n >= length && !strcmp(w->tensor[i].name + n - length, anchor))
                return kinds[k];
        }
    }
    return NULL;
}

asd_status asd_encoder_open(const char *kind, const char *path, asd_encoder **out)
{
    asd_status       st = ASD_OK;
    asd_weights      w  = {0};
    encoder_file     f  = {0};
    asd_encoder     *e  = NULL;
    asd_encoder_desc d;
    *out = NULL;
    ASD_GO(done, st, asd_weights_open(path, &w));
    if (!kind && !(kind = find_kind(&w))) {
        st = ASD_FAIL(ASD_E_DATA,
                      "%s: none of its %lld tensors is one that only BEATs, EAT or Dasheng has",
                      path, (long long)w.n);
        goto done;
    }
    ASD_GO(done, st, asd_encoder_default(kind, 0, &d));
    const encoder_kind *k     = encoder_kind_find(kind);
    const char         *found = find_kind(&w);
    if (found && strcmp(encoder_kind_find(found)->anchor, k->anchor) != 0) {
        st = ASD_FAIL(ASD_E_DATA, "%s: a checkpoint of %s, want one of %s", path, found, kind);
        goto done;
    }
    ASD_GO(done, st, encoder_file_open(&w, k, &f));
    ASD_GO(done, st, k->describe(&f, &d));
    ASD_GO(done, st, encoder_check_claims(&f, &d));
    ASD_GO(done, st, make(&d, &e));
    ASD_GO(done, st, asd_weights_sha256(&w, e->hash));
    encoder_file_rest(&f);
    ASD_GO(done, st, encoder_load(e, &f));
    encoder_make_key(e);
    if (e->params.n_mapped)
        asd_params_keep(&e->params, asd_weights_take_map(&w), w.map_bytes);
    *out = e;
    e    = NULL;
done:
    if (f.core)
        encoder_file_close(&f);
    asd_weights_close(&w);
    asd_encoder_close(e);
    return st;
}

void asd_encoder_close(asd_encoder *e)
{
    if (!e)
        return;
    asd_params_clear(&e->params);
    free(e);
}

static asd_status not_planned(const asd_encoder *e, const char *what)
{
    return e->planned
               ? ASD_FAIL(ASD_E_CONFIG, "%s: %s must be set before the first plan", e->d.kind, what)
               : ASD_OK;
}

asd_status asd_encoder_set_frames(asd_encoder *e, int64_t frames, int64_t multiple)
{
    ASD_TRY(not_planned(e, "the number of frames"));
    if (e->d.front != ASD_FRONT_FBANK || e->d.pos != ASD_POS_SINCOS)
        return ASD_FAIL(ASD_E_CONFIG, "%s takes clips as they are, without padding frames",
                        e->d.kind);
    if (frames < 0 || multiple < 0 || !frames == !multiple || frames % e->d.patch_t ||
        multiple % e->d.patch_t || frames / e->d.patch_t * asd_encoder_bands(&e->d) > e->d.pos_rows)
        return ASD_FAIL(ASD_E_CONFIG,
                        "%s: %lld frames, multiples of %lld; want one of the two, a multiple of "
                        "%lld, and at most %lld frames",
                        e->d.kind, (long long)frames, (long long)multiple, (long long)e->d.patch_t,
                        (long long)(e->d.pos_rows / asd_encoder_bands(&e->d) * e->d.patch_t));
    e->d.frames          = frames;
    e->d.frames_multiple = multiple;
    encoder_make_key(e);
    return ASD_OK;
}

asd_status asd_encoder_set_chunk_tail(asd_encoder *e, int chunk_tail)
{
    ASD_TRY(not_planned(e, "the rule for the last chunk"));
    if (!e->d.chunk_tokens || (chunk_tail != ASD_TAIL_SHORT && chunk_tail != ASD_TAIL_PAD))
        return ASD_FAIL(ASD_E_CONFIG, "%s: rule %d for the last chunk; %s", e->d.kind, chunk_tail,
                        e->d.chunk_tokens ? "want short or pad" : "it does not cut clips");
    e->d.chunk_tail = chunk_tail;
    encoder_make_key(e);
    return ASD_OK;
}

const asd_encoder_desc *asd_encoder_describe(const asd_encoder *e)
{
    return &e->d;
}

asd_params *asd_encoder_params(asd_encoder *e)
{
    return &e->params;
}

const char *asd_encoder_hash(const asd_encoder *e)
{
    return e->hash;
}

const char *asd_encoder_key(const asd_encoder *e)
{
    return e->key;
}
