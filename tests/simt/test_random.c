/* test_random.c - cuda/philox.cuh makes the words of base/rng.h, and both those of the paper. */
#include "harness.h"

#include "base/rng.h"
#include "ref/ref_encoder.h"
#include "tests/simt/random.h"

#include <string.h>

typedef struct cell {
    uint64_t seed, a, b;
    uint32_t purpose, first;
} cell;

static const cell cells[] = {
    {0, 0, 0, ASD_RNG_DROPOUT, 0},
    {1, 2, 3, ASD_RNG_DROPOUT, 0},
    {0xffffffffffffffffu, 0xffffffffffffffffu, 0xffffffffffffffffu, ASD_RNG_DROPOUT, 5},
    {0x0123456789abcdefu, 1ull << 40, 0xfedcba9876543210u, ASD_RNG_SYNTH, 0xffffff00u},
};

static void test_same_words(void **state)
{
    asd_gpu    *gpu;
    asd_stream *stream;
    void       *words;
    uint32_t    got[4 * RANDOM_BLOCKS];
    (void)state;
    assert_ok(asd_gpu_open(0, &gpu));
    assert_ok(asd_stream_new(gpu, &stream));
    assert_ok(asd_gpu_alloc(gpu, sizeof got, "words", "", &words));
    for (size_t k = 0; k < sizeof cells / sizeof *cells; ++k) {
        const cell *c = &cells[k];
        asd_rng     host;
        assert_ok(random_run(stream, c->seed, c->purpose, c->a, c->b, c->first, words));
        assert_ok(asd_stream_download(stream, got, words, sizeof got));
        assert_ok(asd_stream_wait(stream));
        asd_rng_init(&host, c->seed, (asd_rng_purpose)c->purpose, c->a, c->b);
        host.counter[0] = c->first;
        for (int i = 0; i < 4 * RANDOM_BLOCKS; ++i) {
            assert_int_equal(got[i], asd_rng_u32(&host));
            assert_int_equal(got[i], asd_ref_random_word(c->seed, c->purpose, c->a, c->b,
                                                         4 * (int64_t)c->first + i));
        }
    }
    asd_gpu_free(gpu, words);
    asd_stream_free(stream);
    asd_gpu_close(gpu);
}

/* The known answers that Random123 publishes for philox4x32-10. */
static void test_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    (void)state;
    for (size_t k = 0; k < 3; ++k) {
        uint32_t out[4];
        asd_ref_philox(known[k].counter, known[k].key, out);
        for (int i = 0; i < 4; ++i)
            assert_int_equal(out[i], known[k].out[i]);
    }
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("simt/random/same-words", test_same_words),
    ASD_CASE("simt/random/known-answers", test_known_answers),
};

ASD_TEST_MAIN(cases)
