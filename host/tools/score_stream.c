/* score_stream.c - see score_stream.h. */
#include "tools/score_stream.h"

#include "tools/embed_cmd.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* "tiny_beats" -> "beats"; whether it was tiny. */
static const char *kind_of(const char *encoder, int *tiny)
{
    *tiny = !strncmp(encoder, "tiny_", 5);
    return encoder + (*tiny ? 5 : 0);
}

/* The encoder's depth, which layer=last means. 0: its key does not say. */
static int depth_of(const json_t *encoder)
{
    const char *key = json_string_value(json_object_get(encoder, "key"));
    const char *depth =
        key ? strstr(key, " depth=") : NULL; /* keep in step with models/describe.c */
    return depth ? atoi(depth + strlen(" depth=")) : 0;
}

/* What the file must have been made with, as a part of its method. NULL: no memory. */
static json_t *wanted(const asd_embed_stream *s, const json_t *encoder)
{
    char    pool[16];
    int     tiny;
    json_t *o;
    if (!strcmp(s->encoder, ASD_STREAM_LEVEL))
        return embed_level_method();
    o = json_pack("{s:s, s:o, s:s}", "encoder", kind_of(s->encoder, &tiny), "channel",
                  embed_signal_method(&s->how), "pool",
                  asd_embed_how_choice("pool", s->how.pool, pool, sizeof pool));
    /* keep in step with embed_passes.c:method_of */
    json_object_set_new(o, "length",
                        s->how.length == ASD_LENGTH_WHOLE
                            ? json_string("whole")
                            : json_sprintf("first %d s", ASD_FIRST_SECONDS));
    if (s->how.layer == ASD_LAYER_ALL)
        json_object_set_new(o, "layer", json_string("all"));
    else
        json_object_set_new(
            o, "layer",
            json_integer(s->how.layer == ASD_LAYER_LAST ? depth_of(encoder) : s->how.layer));
    return o;
}

static asd_status differs(const asd_embed_stream *s, const char *path, const char *key,
                          const json_t *found, const json_t *want)
{
    char      *was = found ? json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    char      *now = json_dumps(want, JSON_ENCODE_ANY | JSON_COMPACT);
    asd_status st =
        ASD_FAIL(ASD_E_DATA, "%s: made with %s %s, stream %s of the recipe says %s: embed again",
                 path, key, was ? was : "unknown", s->name, now ? now : "otherwise");
    free(was);
    free(now);
    return st;
}

asd_status score_check_stream(const asd_embed_stream *s, const char *path, const char *material)
{
    json_t     *o       = json_loads(material, JSON_REJECT_DUPLICATES, NULL), *value;
    json_t     *encoder = json_object_get(o, "encoder"), *want = wanted(s, encoder);
    const char *key, *weights = json_string_value(json_object_get(encoder, "weights"));
    int         tiny;
    asd_status  st = ASD_OK;
    kind_of(s->encoder, &tiny);
    if (!json_is_object(o))
        st = ASD_FAIL(ASD_E_DATA, "%s: key_material is no JSON object", path);
    else if (!want)
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for its method", path);
    json_object_foreach(want, key, value)
    {
        json_t *found = json_object_get(o, key);
        if (!strcmp(key, "encoder"))
            found = json_object_get(encoder, "kind");
        if (!st && !json_equal(found, value))
            st = differs(s, path, key, found, value);
    }
    if (!st && strcmp(s->encoder, ASD_STREAM_LEVEL) &&
        tiny != (weights && !strncmp(weights, "random-tiny_", 12)))
        st = ASD_FAIL(ASD_E_DATA,
                      "%s: made with weights %s, stream %s of the recipe says %s: embed "
                      "again",
                      path, weights ? weights : "unknown", s->name, s->encoder);
    json_decref(o);
    json_decref(want);
    return st;
}

asd_status score_check_pair(const asd_embed_stream *a, const char *material_a,
                            const asd_embed_stream *b, const char *material_b)
{
    static const char *const keys[] = {"audio", "precision", "device"};
    json_t     *x = json_loads(material_a, 0, NULL), *y = json_loads(material_b, 0, NULL);
    json_t     *weights[2]  = {json_object_get(json_object_get(x, "encoder"), "weights"),
                               json_object_get(json_object_get(y, "encoder"), "weights")};
    int         one_encoder = !strcmp(a->encoder, b->encoder) && weights[0] && weights[1];
    const char *differs_in  = NULL;
    for (int i = 0; i < (one_encoder ? 3 : 1); ++i) {
        const json_t *was = json_object_get(x, keys[i]), *now = json_object_get(y, keys[i]);
        if (was && now && !json_equal(was, now))
            differs_in = keys[i];
    }
    if (one_encoder && !json_equal(weights[0], weights[1]))
        differs_in = "weights";
    json_decref(x);
    json_decref(y);
    return differs_in ? ASD_FAIL(ASD_E_DATA,
                                 "streams %s and %s were not embedded together: their %s differ; "
                                 "embed again",
                                 a->name, b->name, differs_in)
                      : ASD_OK;
}
