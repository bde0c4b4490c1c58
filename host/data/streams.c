/* streams.c - see streams.h.
 *
 *   stream = name '=' encoder [ '(' [ key '=' value { ',' key '=' value } ] ')' ]
 */
#include "data/streams.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define ROW(key, type, field, def, min, max, choices, unit, text)                                  \
    {                                                                                              \
        key, 0, type, offsetof(asd_embed_how, field), def, min, max, choices, unit, text           \
    }
const asd_opt asd_embed_how_opts[] = {
    ROW("channel", ASD_OPT_CHOICE, channel, "near", 0, 0, "near|far|both|difference|subtracted", "",
        "what of a clip is heard; both = two vectors side by side"),
    ROW("layer", ASD_OPT_TEXT, layer_text, "last", 0, 0, NULL, "N|last|all",
        "transformer block, the first is 1"),
    /* keep in step with asd_pool_name in models/encoder.h; tests/test_embed_streams.c compares them
     */
    ROW("pool", ASD_OPT_CHOICE, pool, "mean", 0, 0, "mean|meanstd|gem|cls|none|time|head", "",
        "how a clip's tokens become one vector; none keeps them, time those of a time patch"),
    ROW("length", ASD_OPT_CHOICE, length, "first", 0, 0, "first|whole", "",
        "the first 10 s of a clip, or all of it"),
    ROW("alpha", ASD_OPT_REAL, alpha, "0.5", 0, 10, NULL, "",
        "subtracted: the far channel's share that is taken off"),
    ROW("floor", ASD_OPT_REAL, floor, "0.05", 0, 1, NULL, "",
        "subtracted: what stays at least of the near channel"),
    ROW("gain", ASD_OPT_CHOICE, gain, "none", 0, 0, "none|median", "",
        "subtracted: scale of the far channel before"),
    {0},
};
#undef ROW

static const asd_opt *row_of(const char *key)
{
    const asd_opt *o = asd_embed_how_opts;
    while (o->key && strcmp(o->key, key))
        ++o;
    return o->key ? o : NULL;
}

const char *asd_embed_how_choice(const char *key, int value, char *buf, size_t size)
{
    const asd_opt *o = row_of(key);
    ASD_ASSERT(o && o->choices);
    const char *p = o->choices;
    for (; value > 0; --value) {
        p = strchr(p, '|');
        ASD_ASSERT(p);
        ++p;
    }
    snprintf(buf, size, "%.*s", (int)strcspn(p, "|"), p);
    return buf;
}

/* A parameter of `subtracted` that another channel would drop. NULL: none. */
static const char *of_subtracted_only(const asd_embed_how *how)
{
    asd_embed_how usual;
    if (how->channel == ASD_SIGNAL_SUBTRACTED || asd_opts_defaults(asd_embed_how_opts, &usual))
        return NULL;
    const char *key = how->alpha != usual.alpha   ? "alpha"
                      : how->floor != usual.floor ? "floor"
                      : how->gain != usual.gain   ? "gain"
                                                  : NULL;
    asd_embed_how_clear(&usual);
    return key;
}

asd_status asd_embed_how_check(asd_embed_how *how, const char *where, asd_status code)
{
    const char *text = how->layer_text ? how->layer_text : "last";
    char       *end  = NULL;
    char        pool[16];
    asd_embed_how_choice("pool", how->pool, pool, sizeof pool);
    if (!strcmp(text, "last")) {
        how->layer = ASD_LAYER_LAST;
    } else if (!strcmp(text, "all")) {
        how->layer = ASD_LAYER_ALL;
    } else {
        how->layer = isdigit((unsigned char)*text) ? strtol(text, &end, 10) : 0;
        if (!end || *end || how->layer < 1 || how->layer > 1000)
            return ASD_FAIL(code, "%s: layer \"%.40s\": want a block's number from 1, last or all",
                            where, text);
    }
    if (of_subtracted_only(how))
        return ASD_FAIL(code, "%s: %s goes with channel subtracted alone", where,
                        of_subtracted_only(how));
    if (how->layer == ASD_LAYER_ALL && (!strcmp(pool, "none") || !strcmp(pool, "time")))
        return ASD_FAIL(code, "%s: pool %s keeps many vectors a clip; choose one layer, not all",
                        where, pool);
    return ASD_OK;
}

void asd_embed_how_clear(asd_embed_how *how)
{
    asd_opts_clear(asd_embed_how_opts, how);
}

/* --- parser --- */

static const char *skip_spaces(const char *p)
{
    while (isspace((unsigned char)*p))
        ++p;
    return p;
}

/* Copies a word of [A-Za-z0-9_.+-] into out, cut when longer; returns what follows it and spaces.
 */
static const char *take_word(const char *p, char *out, size_t size)
{
    size_t n = 0;
    p        = skip_spaces(p);
    for (; isalnum((unsigned char)*p) || (*p && strchr("_.+-", *p)); ++p)
        if (n + 1 < size)
            out[n++] = *p;
    out[n] = 0;
    return skip_spaces(p);
}

static asd_status expected(const char *text, const char *at, const char *what)
{
    return ASD_FAIL(ASD_E_CONFIG, "stream \"%.200s\": want %s at character %td", text, what,
                    at - text + 1);
}

static asd_status unknown(const char *text, const char *what, const char *name,
                          const char *const *valid, int64_t n)
{
    const char *near = asd_nearest(name, valid, n);
    return ASD_FAIL(ASD_E_CONFIG, "stream \"%.200s\": there is no %s \"%s\"%s%s%s", text, what,
                    name, near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static asd_status check_encoder(const char *text, const char *name, const char *const *encoders)
{
    const char *names[128] = {ASD_STREAM_LEVEL};
    int64_t     n          = 1;
    while (*encoders && n < 128)
        names[n++] = *encoders++;
    for (int64_t i = 0; i < n; ++i)
        if (!strcmp(names[i], name))
            return ASD_OK;
    return unknown(text, "encoder", name, names, n);
}

/* *given: bit i for row i that was set already */
static asd_status set_param(asd_embed_stream *s, const char *text, const char *key,
                            const char *value, unsigned *given)
{
    const char *names[16];
    int64_t     n = 0;
    char        where[256];
    for (const asd_opt *o = asd_embed_how_opts; o->key && n < 16; ++o)
        names[n++] = o->key;
    const asd_opt *row = row_of(key);
    if (!row)
        return unknown(text, "parameter", key, names, n);
    if (!strcmp(s->encoder, ASD_STREAM_LEVEL))
        return ASD_FAIL(ASD_E_CONFIG, "stream \"%.200s\": level takes no parameters", text);
    unsigned bit = 1u << (row - asd_embed_how_opts);
    if (*given & bit)
        return ASD_FAIL(ASD_E_CONFIG, "stream \"%.200s\": %s twice", text, key);
    *given |= bit;
    snprintf(where, sizeof where, "stream \"%.120s\": %.60s", text, key);
    return asd_opt_set(row, &s->how, value, where, ASD_E_CONFIG);
}

static asd_status parse_params(asd_embed_stream *s, const char *text, const char *p,
                               unsigned *given)
{
    char key[64], value[64];
    p = skip_spaces(p + 1);
    while (*p != ')') {
        p = take_word(p, key, sizeof key);
        if (!*key || *p != '=')
            return expected(text, p, "key=value");
        p = take_word(p + 1, value, sizeof value);
        if (!*value)
            return expected(text, p, "a value");
        ASD_TRY(set_param(s, text, key, value, given));
        if (*p == ',') {
            p = skip_spaces(p + 1);
            if (*p == ')')
                return expected(text, p, "key=value");
        } else if (*p != ')') {
            return expected(text, p, "',' or ')'");
        }
    }
    p = skip_spaces(p + 1);
    return *p ? expected(text, p, "the end") : ASD_OK;
}

static asd_status parse_stream(const char *text, int length, const char *const *encoders,
                               asd_embed_stream *s)
{
    const unsigned length_bit = 1u << (row_of("length") - asd_embed_how_opts);
    unsigned       given      = 0;
    char           word[sizeof s->name + 1], where[256];
    const char    *p = take_word(text, word, sizeof word);
    ASD_TRY(asd_opts_defaults(asd_embed_how_opts, &s->how));
    if (!*word || strspn(word, ".-+") || *p != '=')
        return expected(text, p, "NAME = ENCODER(...)");
    if (strlen(word) >= sizeof s->name || strchr(word, '+'))
        return ASD_FAIL(ASD_E_CONFIG,
                        "stream \"%.200s\": its name becomes a file: want at most %zu letters, "
                        "digits, _ . and -",
                        text, sizeof s->name - 1);
    memcpy(s->name, word, strlen(word) + 1);
    p = take_word(p + 1, s->encoder, sizeof s->encoder);
    if (!*s->encoder)
        return expected(text, p, "an encoder");
    ASD_TRY(check_encoder(text, s->encoder, encoders));
    if (*p == '(')
        ASD_TRY(parse_params(s, text, p, &given));
    else if (*p)
        return expected(text, p, "'(' or the end");
    if (!(given & length_bit))
        s->how.length = length;
    snprintf(where, sizeof where, "stream \"%.200s\"", text);
    return asd_embed_how_check(&s->how, where, ASD_E_CONFIG);
}

asd_status asd_embed_streams_parse(char *const *text, int64_t n, int length,
                                   const char *const *encoders, asd_embed_stream **out)
{
    asd_status st = ASD_OK;
    *out          = calloc((size_t)n + 1, sizeof **out);
    if (!*out)
        return ASD_FAIL(ASD_E_OOM, "no memory for %lld streams", (long long)n);
    for (int64_t i = 0; i < n && !st; ++i) {
        st = parse_stream(text[i], length, encoders, &(*out)[i]);
        for (int64_t k = 0; k < i && !st; ++k)
            if (!strcmp((*out)[k].name, (*out)[i].name))
                st = ASD_FAIL(ASD_E_CONFIG, "embed.streams: two streams are called %s",
                              (*out)[i].name);
    }
    if (st) {
        asd_embed_streams_free(*out, n);
        *out = NULL;
    }
    return st;
}

void asd_embed_streams_free(asd_embed_stream *s, int64_t n)
{
    for (int64_t i = 0; s && i < n; ++i)
        asd_embed_how_clear(&s[i].how);
    free(s);
}

void asd_embed_how_list(FILE *out)
{
    for (const asd_opt *o = asd_embed_how_opts; o->key; ++o)
        fprintf(out, "    %-10s %s (%s; default %s)\n", o->key, o->text,
                o->choices ? o->choices
                : *o->unit ? o->unit
                           : "number",
                o->def);
}
