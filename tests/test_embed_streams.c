/* test_embed_streams.c - stream strings of recipes, and keys of embedding files. */
#include "harness.h"

#include "base/rng.h"
#include "data/embed_key.h"
#include "data/streams.h"
#include "models/encoder.h"

#include <stdlib.h>
#include <string.h>

static const char *const encoders[] = {"beats", "eat", "sslam", "dasheng", "tiny_beats", NULL};

static asd_status parse(const char *text, asd_embed_stream **out)
{
    char *item[1] = {(char *)(uintptr_t)text};
    return asd_embed_streams_parse(item, 1, ASD_LENGTH_WHOLE, encoders, out);
}

static void accepted(void **state)
{
    (void)state;
    asd_embed_stream *s;
    char              buf[32];
    assert_ok(parse("near=beats", &s));
    assert_string_equal(s->name, "near");
    assert_string_equal(s->encoder, "beats");
    assert_int_equal(s->how.channel, ASD_SIGNAL_NEAR);
    assert_int_equal(s->how.layer, ASD_LAYER_LAST);
    assert_int_equal(s->how.length, ASD_LENGTH_WHOLE);
    assert_string_equal(asd_embed_how_choice("pool", s->how.pool, buf, sizeof buf), "mean");
    asd_embed_streams_free(s, 1);
    assert_ok(parse(" ds-5_x = tiny_beats( channel = subtracted ,layer=5, alpha=0.25, floor=1e-1,"
                    "gain=median,pool=meanstd, length=first ) ",
                    &s));
    assert_string_equal(s->name, "ds-5_x");
    assert_string_equal(s->encoder, "tiny_beats");
    assert_int_equal(s->how.channel, ASD_SIGNAL_SUBTRACTED);
    assert_int_equal(s->how.layer, 5);
    assert_near(s->how.alpha, 0.25, 0);
    assert_near(s->how.floor, 0.1, 0);
    assert_int_equal(s->how.gain, ASD_GAIN_MEDIAN);
    assert_int_equal(s->how.length, ASD_LENGTH_FIRST);
    assert_string_equal(asd_embed_how_choice("pool", s->how.pool, buf, sizeof buf), "meanstd");
    asd_embed_streams_free(s, 1);
    assert_ok(parse("l = level()", &s));
    assert_string_equal(s->encoder, "level");
    asd_embed_streams_free(s, 1);
    assert_ok(parse("a = eat(layer=all)", &s));
    assert_int_equal(s->how.layer, ASD_LAYER_ALL);
    asd_embed_streams_free(s, 1);
    assert_ok(parse("t = beats(layer=12, pool=time)", &s));
    asd_embed_streams_free(s, 1);
}

static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } wrong[] = {{"", "NAME = ENCODER"},
                 {"near", "NAME = ENCODER"},
                 {"= beats", "NAME = ENCODER"},
                 {"../x = beats", "NAME = ENCODER"},
                 {".x = beats", "NAME = ENCODER"},
                 {"-n = beats", "NAME = ENCODER"},
                 {"a+b = beats", "its name becomes a file"},
                 {"n123456789012345678901234567890123456789012345678901234567890123 = beats",
                  "its name becomes a file"},
                 {"near = ", "an encoder"},
                 {"near = beat()", "did you mean \"beats\"?"},
                 {"near = beats(", "key=value at character 14"},
                 {"near = beats(channel)", "key=value"},
                 {"near = beats(channel=)", "a value"},
                 {"near = beats(channel=near", "',' or ')'"},
                 {"near = beats(channel=near,)", "key=value"},
                 {"near = beats(channel=near) x", "the end"},
                 {"near = beats x", "'(' or the end"},
                 {"near = beats(chanel=near)", "did you mean \"channel\"?"},
                 {"near = beats(channel=nearest)", "near"},
                 {"near = beats(channel=near, channel=far)", "channel twice"},
                 {"near = beats(layer=0)", "from 1, last or all"},
                 {"near = beats(layer=-1)", "from 1, last or all"},
                 {"near = beats(layer=5x)", "from 1, last or all"},
                 {"near = beats(layer=99999999999999999999)", "from 1, last or all"},
                 {"near = beats(layer=lst)", "\"lst\""},
                 {"near = beats(alpha=11)", "alpha"},
                 {"near = beats(alpha=0.7)", "alpha goes with channel subtracted alone"},
                 {"near = beats(channel=far, gain=median)", "gain goes with channel"},
                 {"near = beats(floor=0, channel=difference)", "floor goes with channel"},
                 {"near = beats(floor=nan)", "floor"},
                 {"near = beats(layer=all, pool=none)", "choose one layer"},
                 {"near = beats(layer=all, pool=time)", "choose one layer"},
                 {"l = level(channel=near)", "level takes no parameters"}};
    asd_embed_stream *s;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        assert_fails(parse(wrong[i].text, &s), ASD_E_CONFIG, wrong[i].part);
        assert_null(s);
    }
    char *two[] = {"a = beats", "a = eat"};
    assert_fails(asd_embed_streams_parse(two, 2, ASD_LENGTH_FIRST, encoders, &s), ASD_E_CONFIG,
                 "two streams are called a");
    two[1] = "A = eat";
    assert_ok(asd_embed_streams_parse(two, 2, ASD_LENGTH_FIRST, encoders, &s));
    asd_embed_streams_free(s, 2);
}

static void mutated(void **state)
{
    (void)state;
    static const char good[] = "near = beats(channel=subtracted, layer=12, pool=mean, alpha=0.5)";
    static const char with[] = "=(),. \t\"abz09-+_\x01\xff%s";
    char              text[sizeof good + 8];
    int               accepted_ones = 0;
    asd_rng           rng;
    asd_rng_init(&rng, 1, ASD_RNG_TEST, 0, 0);
    for (int round = 0; round < 20000; ++round) {
        size_t n = sizeof good - 1;
        memcpy(text, good, sizeof good);
        for (uint32_t k = 1 + asd_rng_below(&rng, 4); k-- && n;) {
            uint32_t at = asd_rng_below(&rng, (uint32_t)n);
            switch (asd_rng_below(&rng, 3)) {
            case 0: text[at] = with[asd_rng_below(&rng, sizeof with - 1)]; break;
            case 1:
                memmove(text + at, text + at + 1, n - at);
                --n;
                break;
            default: text[at] = 0; n = at ? at : 1;
            }
        }
        asd_embed_stream *s;
        asd_status        st = parse(text, &s);
        assert_true(st == ASD_OK || st == ASD_E_CONFIG);
        accepted_ones += !st;
        if (!st)
            assert_true(*s->name && !strpbrk(s->name, "/ \t%\x01\xff") && s->name[0] != '.');
        asd_embed_streams_free(s, 1);
    }
    assert_true(accepted_ones > 100 && accepted_ones < 15000);
}

/* The table of streams and the enum of encoders name the same pools by the same numbers. */
static void pools(void **state)
{
    (void)state;
    const asd_opt *o = asd_embed_how_opts;
    char           buf[32], listed[200] = "";
    while (strcmp(o->key, "pool"))
        ++o;
    for (int p = 0; p < ASD_NPOOLS; ++p) {
        assert_string_equal(asd_embed_how_choice("pool", p, buf, sizeof buf),
                            asd_pool_name((asd_pool)p));
        snprintf(listed + strlen(listed), sizeof listed - strlen(listed), "%s%s", p ? "|" : "",
                 buf);
    }
    assert_string_equal(listed, o->choices);
}

/* --- keys --- */

static char *method_of(const char *pool, double alpha)
{
    char   *text;
    json_t *o = json_pack("{s:s, s:{s:s, s:f}, s:{s:s, s:s}}", "pool", pool, "channel", "kind",
                          "subtracted", "alpha", alpha, "encoder", "kind", "beats", "weights",
                          "0123456789abcdef0123456789abcdef");
    assert_ok(asd_embed_method_text(o, &text));
    json_decref(o);
    return text;
}

static void keys(void **state)
{
    (void)state;
    char *clip[]     = {"a", "b"},
         *audio[]    = {"00000000000000000000000000000001", "00000000000000000000000000000002"};
    char *other[]    = {"00000000000000000000000000000002", "00000000000000000000000000000001"};
    char *method     = method_of("mean", 0.5), *again, *material[4], *key[4];
    asd_embeddings e = {.N = 2, .clip = clip, .audio = audio};
    assert_ok(asd_embed_key_make(method, &e, &material[0], &key[0]));
    assert_int_equal(strlen(key[0]), 32);
    assert_ok(asd_embed_key_method("f", material[0], &again));
    assert_string_equal(again, method);
    e.audio = other;
    assert_ok(asd_embed_key_make(method, &e, &material[1], &key[1]));
    e.audio = audio, e.N = 1;
    assert_ok(asd_embed_key_make(method, &e, &material[2], &key[2]));
    free(again);
    again = method_of("mean", 0.25), e.N = 2;
    assert_ok(asd_embed_key_make(again, &e, &material[3], &key[3]));
    for (int i = 0; i < 4; ++i)
        for (int k = 0; k < i; ++k)
            assert_string_not_equal(key[i], key[k]);
    for (int i = 0; i < 4; ++i) {
        free(material[i]);
        free(key[i]);
    }
    free(again);
    free(method);
    assert_fails(asd_embed_key_method("f.h5", "[1]", &again), ASD_E_DATA, "f.h5");
    assert_fails(asd_embed_key_method("f.h5", "{\"a\":1,\"a\":2}", &again), ASD_E_DATA, "f.h5");
}

static void differences(void **state)
{
    (void)state;
    char  buf[300], small[20];
    char *a = method_of("mean", 0.5), *b = method_of("gem", 0.25);
    assert_string_equal(asd_embed_difference(a, a, buf, sizeof buf), "");
    asd_embed_difference(a, b, buf, sizeof buf);
    assert_true(asd_test_contains(buf, "pool: was mean, now gem"));
    assert_true(asd_test_contains(buf, "channel.alpha: was 0.5, now 0.25"));
    assert_false(asd_test_contains(buf, "encoder"));
    assert_string_equal(asd_embed_difference("{\"x\":1}", "{\"y\":[1,2]}", buf, sizeof buf),
                        "x: was 1, now absent; y: was absent, now [1,2]");
    /* long texts that begin alike, as the hash of weights and the same with an adapter's */
    assert_string_equal(asd_embed_difference("{\"w\":\"0123456789abcdefghij\"}",
                                             "{\"w\":\"0123456789abcdefghij+k\"}", buf, sizeof buf),
                        "w: was ..cdefghij, now ..cdefghij+k");
    assert_true(strlen(asd_embed_difference(a, b, small, sizeof small)) < sizeof small);
    free(a);
    free(b);
}

static const struct CMUnitTest cases[] = {
    {"embed/stream/accepted", accepted, NULL, NULL, NULL},
    {"embed/stream/refused", refused, NULL, NULL, NULL},
    {"embed/stream/mutated", mutated, NULL, NULL, NULL},
    {"embed/stream/pools", pools, NULL, NULL, NULL},
    {"embed/key/depends-on-everything", keys, NULL, NULL, NULL},
    {"embed/key/differences", differences, NULL, NULL, NULL},
};
ASD_TEST_MAIN(cases)
