/* test_front_end.c - names and versions of front-ends, and the numbers that each version gives. A
 * failure here says: arithmetic changed, so raise the version in host/nn/front_end.c (of channels:
 * in host/audio/channels.h, level.h), and only then put the new numbers here. */
#include "harness.h"
#include "ref/synthetic.h"

#include "audio/channels.h"
#include "audio/level.h"
#include "models/encoder.h"
#include "nn/front_end.h"
#include "nn/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { S = 8000 };

/* The front-end's output for a known clip on the CPU: *n values, caller frees. */
static float *run(const asd_front_end *f, int64_t *n)
{
    asd_params params;
    asd_tape   tape;
    asd_plan  *plan;
    asd_params_init(&params);
    asd_tape_init(&tape, &params, 0);
    asd_val x = asd_tape_input(&tape, "samples", ASD_F32, ASD_SHAPE2(1, S));
    asd_val y = f->fbank ? asd_fbank(&tape, x, *f->fbank) : asd_meldb(&tape, x, *f->meldb);
    assert_ok(asd_params_alloc(&params, 0));
    assert_ok(asd_plan_build(&tape, ASD_NO_VAL, &y, 1, NULL, &plan));
    asd_synthetic_sweep(S, asd_plan_data(plan, x));
    assert_ok(asd_plan_forward(plan));
    *n         = asd_count(asd_tape_shape(&tape, y));
    float *out = malloc((size_t)*n * sizeof *out);
    memcpy(out, asd_plan_data(plan, y), (size_t)*n * sizeof *out);
    asd_plan_free(plan);
    asd_tape_clear(&tape);
    asd_params_clear(&params);
    return out;
}

typedef struct pin {
    const char *name;
    int64_t     n;
    double      mean, size; /* of all values: mean and root mean square */
    double      value[3];   /* numbers n/7, n/2 and n-1 */
} pin;

static void check_pin(const pin *p, const float *y, int64_t n, double tolerance)
{
    double mean = 0, square = 0;
    for (int64_t i = 0; i < n; ++i) {
        mean += (double)y[i] / (double)n;
        square += (double)y[i] * (double)y[i] / (double)n;
    }
    const double got[] = {mean, sqrt(square), (double)y[n / 7], (double)y[n / 2], (double)y[n - 1]};
    const double want[] = {p->mean, p->size, p->value[0], p->value[1], p->value[2]};
    for (int i = 0; i < 5; ++i)
        if (n != p->n || !(fabs(got[i] - want[i]) <= tolerance))
            fail_msg("%s gives %ld values, %.9g, %.9g, {%.9g, %.9g, %.9g}; pinned %ld, %.9g, %.9g, "
                     "{%.9g, %.9g, "
                     "%.9g}",
                     p->name, (long)n, got[0], got[1], got[2], got[3], got[4], (long)p->n, want[0],
                     want[1], want[2], want[3], want[4]);
}

static void test_pins(void **state)
{
    (void)state;
    static const pin pins[] = {
        {"kaldi-fbank-beats/1",
         6144,
         0.212698653,
         0.385812155,
         {0.334728509, -0.260933757, 0.505577922}},
        {"kaldi-fbank-eat/1",
         6144,
         0.193952795,
         0.399057183,
         {0.348981321, -0.553388119, 0.596181333}},
        {"dasheng-mel-db/1",
         3264,
         -0.296324709,
         9.16521908,
         {-6.60829735, -3.35052371, 4.78861189}},
    };
    int rows = 0;
    while (asd_front_ends[rows].name)
        ++rows;
    assert_int_equal(rows, sizeof pins / sizeof *pins);
    for (int i = 0; i < rows; ++i) {
        int64_t n;
        assert_string_equal(asd_front_ends[i].name, pins[i].name);
        float *y = run(&asd_front_ends[i], &n);
        check_pin(&pins[i], y, n, asd_front_ends[i].fbank ? 1e-6 : 1e-5);
        free(y);
    }
}

/* The two channels: the sweep, and half of it with noise. */
static void make_pair(float *x, asd_wav_info *info)
{
    float *sweep = malloc(S * sizeof *sweep), *noise = malloc(S * sizeof *noise);
    asd_synthetic_sweep(S, sweep);
    asd_synthetic_noise(S, noise);
    for (int i = 0; i < S; ++i) {
        x[2 * i]     = sweep[i];
        x[2 * i + 1] = 0.5f * sweep[i] + noise[i];
    }
    free(noise);
    free(sweep);
    *info = (asd_wav_info){.frames = S, .channels = 2, .rate_hz = 16000, .bits = 16};
}

static void test_channel_pins(void **state)
{
    (void)state;
    static const asd_subtraction how        = {0.5, 0.05, 1};
    static const pin             difference = {ASD_CHANNEL_DIFFERENCE,
                                               8000,
                                               -0.000429095955,
                                               0.119821811,
                                               {0.184608698, -0.0183080062, -0.0012897104}};
    static const pin             subtracted = {ASD_CHANNEL_SUBTRACTED,
                                               8000,
                                               0.000612371254,
                                               0.181174634,
                                               {0.162406161, 0.0890236795, -0.0332519189}};
    static const pin             level      = {
                         ASD_LEVEL_VERSION, 18, -0.0634262115, 1.0871935, {-1.75604093, 0.0280366093, 0.0718182772}};
    static float x[2 * S], near[S], far[S];
    float        features[ASD_LEVEL_D], *y;
    asd_wav_info info;
    make_pair(x, &info);
    assert_ok(asd_channel_difference("a.wav", x, &info, &y));
    check_pin(&difference, y, S, 1e-8);
    free(y);
    assert_ok(asd_channel_subtracted("a.wav", x, &info, &how, &y));
    check_pin(&subtracted, y, S, 1e-6);
    free(y);
    for (int i = 0; i < S; ++i) {
        near[i] = x[2 * i];
        far[i]  = x[2 * i + 1];
    }
    assert_ok(asd_level_features("a.wav", near, far, S, features));
    check_pin(&level, features, ASD_LEVEL_D, 1e-5);
    assert_string_equal(difference.name, "channel-difference/1");
    assert_string_equal(subtracted.name, "channel-subtracted/1");
    assert_string_equal(level.name, "channel-level/1");
}

static void test_find(void **state)
{
    (void)state;
    const asd_front_end *beats = asd_front_end_find("kaldi-fbank-beats");
    assert_non_null(beats);
    assert_ptr_equal(asd_front_end_find("kaldi-fbank-beats/1"), beats);
    assert_int_equal(beats->fbank->window, ASD_WINDOW_POVEY);
    assert_true(asd_front_end_find("dasheng-mel-db")->meldb->n_mels == 64);
    assert_null(asd_front_end_find("kaldi-fbank-beats/2"));
    assert_null(asd_front_end_find("kaldi-fbank-beat"));
    assert_null(asd_front_end_find("kaldi-fbank"));
    assert_null(asd_front_end_find("kaldi-fbank-beats/11"));
    assert_null(asd_front_end_find(""));
}

static void test_text(void **state)
{
    (void)state;
    char           text[ASD_FRONT_END_TEXT];
    asd_fbank_attr a = *asd_front_end_find("kaldi-fbank-beats")->fbank;
    assert_string_equal(
        asd_front_end_fbank(&a, text),
        "{\"divisor\":13.11164,\"frames\":0,\"front_end\":\"kaldi-fbank/1\","
        "\"in_scale\":32768,\"mean\":15.41663,\"n_mels\":128,\"window\":\"povey\"}");
    a        = *asd_front_end_find("kaldi-fbank-eat")->fbank;
    a.frames = 1024;
    assert_string_equal(asd_front_end_fbank(&a, text),
                        "{\"divisor\":9.138,\"frames\":1024,\"front_end\":\"kaldi-fbank/1\","
                        "\"in_scale\":1,\"mean\":-4.268,\"n_mels\":128,\"window\":\"hann\"}");
    a.mean = 0.1 + 0.2; /* not 0.3 */
    assert_true(strstr(asd_front_end_fbank(&a, text), ":0.30000000000000004,") != NULL);
    assert_string_equal(asd_front_end_meldb(asd_front_end_find("dasheng-mel-db")->meldb, text),
                        "{\"fmax_hz\":8000,\"fmin_hz\":0,\"frames\":0,\"front_end\":\"mel-db/1\","
                        "\"hop_samples\":160,\"n_fft\":512,\"n_mels\":64,\"top_db\":120}");
    /* the longest that can be */
    a = (asd_fbank_attr){0,
                         -1.2345678901234567e-300,
                         INT64_MIN,
                         -1.2345678901234567e-300,
                         -1.2345678901234567e-300,
                         INT64_MIN};
    assert_true(strlen(asd_front_end_fbank(&a, text)) < ASD_FRONT_END_TEXT - 1);
    asd_meldb_attr m = {INT64_MIN,
                        INT64_MIN,
                        INT64_MIN,
                        -1.2345678901234567e-300,
                        -1.2345678901234567e-300,
                        -1.2345678901234567e-300,
                        INT64_MIN};
    size_t         n = strlen(asd_front_end_meldb(&m, text));
    assert_true(n < ASD_FRONT_END_TEXT - 1 && text[n - 1] == '}');
}

/* An encoder's key holds the text of what it hears. */
static void test_encoder_key(void **state)
{
    (void)state;
    static const char *const kind[] = {"beats", "eat", "dasheng"};
    for (int i = 0; i < 3; ++i) {
        asd_encoder   *e;
        asd_front_end  f = asd_front_ends[i];
        char           text[ASD_FRONT_END_TEXT];
        asd_fbank_attr attr;
        assert_ok(asd_encoder_random(kind[i], 1, 1, &e));
        if (f.fbank) {
            attr        = *f.fbank;
            attr.frames = asd_encoder_describe(e)->frames;
            asd_front_end_fbank(&attr, text);
        } else {
            asd_front_end_meldb(f.meldb, text);
        }
        if (!strstr(asd_encoder_key(e), text))
            fail_msg("%s: key %s lacks %s", kind[i], asd_encoder_key(e), text);
        asd_encoder_close(e);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("front_end/encoders/pinned-numbers", test_pins),
    ASD_CASE("front_end/channels/pinned-numbers", test_channel_pins),
    ASD_CASE("front_end/find/version", test_find),
    ASD_CASE("front_end/text/canonical", test_text),
    ASD_CASE("front_end/encoders/key", test_encoder_key),
};
ASD_TEST_MAIN(cases)
