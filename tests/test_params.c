/* test_params.c - a parameter store whose values lie elsewhere: in a file's mapping. The rest of
 * the store is in test_nn.c. */
#include "harness.h"

#include "kernels/cpu_bf16.h"
#include "nn/params.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* A store of w (3, 4) and b (5), both trained by default, and a constant s (6). */
static void three(asd_params *p)
{
    int k;
    asd_params_init(p);
    assert_ok(asd_params_need(p, "w", ASD_SHAPE2(3, 4), ASD_INIT_ONE, 0, 1, &k));
    assert_ok(asd_params_need(p, "b", ASD_SHAPE1(5), ASD_INIT_ONE, 0, 1, &k));
    assert_ok(asd_params_need(p, "s", ASD_SHAPE1(6), ASD_INIT_ONE, 0, 0, &k));
}

/* A value that lies elsewhere is read there, takes no room, and is written only as a copy. */
static void test_mapped(void **state)
{
    (void)state;
    asd_params p;
    float      x[12];
    for (int i = 0; i < 12; ++i)
        x[i] = (float)i + 0.001f;
    three(&p);
    asd_params_map(&p, 0, x);
    assert_ok(asd_params_alloc(&p, 0));
    assert_ptr_equal(asd_params_peek(&p, 0), x);
    assert_ptr_equal(asd_params_value(&p, 1), p.w); /* the first in the block */
    assert_ptr_equal(asd_params_peek(&p, 1), p.w);
    assert_ptr_equal(asd_params_value(&p, 2), p.state);
    asd_params_value(&p, 1)[4] = 3;
    assert_ok(asd_params_round(&p));
    for (int i = 0; i < 12; ++i)
        assert_int_equal(p.w16[p.param[0].offset + i], asd_bf16_of(x[i]));
    assert_int_equal(p.w16[p.param[1].offset + 4], asd_bf16_of(3));
    assert_int_equal(p.w16[12], 0); /* padding */
    for (int again = 0; again < 2; ++again) {
        assert_ok(asd_params_own(&p, 0));
        assert_ok(asd_params_own(&p, 1)); /* is already */
        assert_ptr_equal(asd_params_value(&p, 1), p.w);
        float *own = asd_params_value(&p, 0);
        assert_ptr_equal(asd_params_peek(&p, 0), own);
        assert_ptr_not_equal(own, x);
        assert_int_equal((uintptr_t)own % 64, 0);
        assert_true(own[11] == (again ? -1 : x[11]));
        own[11] = -1;
        assert_true(x[11] == 11.001f);
    }
    asd_params_clear(&p);
}

/* A value larger than any memory: nobody makes room for it. */
static void test_no_room(void **state)
{
    (void)state;
    asd_params  p;
    const float x[1] = {7};
    int         k;
    three(&p);
    for (int trainable = 0; trainable < 2; ++trainable) {
        assert_ok(asd_params_need(&p, trainable ? "large" : "large state",
                                  ASD_SHAPE2(1 << 24, 1 << 24), ASD_INIT_ZERO, 0, trainable, &k));
        asd_params_map(&p, k, x);
    }
    assert_ok(asd_params_alloc(&p, 0));
    assert_ptr_equal(asd_params_peek(&p, k), x);
    asd_params_clear(&p);
}

/* What is trained must be the store's; what is frozen beside it need not (adapters). */
static void test_mapped_training(void **state)
{
    (void)state;
    asd_params  p;
    const float x[12] = {1, 2, 3};
    three(&p);
    asd_params_map(&p, 1, x);
    assert_fails(asd_params_alloc(&p, 1), ASD_E_CONFIG,
                 "parameter b is to be trained, but is only mapped");
    asd_params_clear(&p);
    three(&p);
    asd_params_map(&p, 2, x);
    assert_ok(asd_params_alloc(&p, 1));
    assert_ptr_equal(asd_params_peek(&p, 2), x);
    for (int k = 0; k < 2; ++k) /* the blocks of training are as ever */
        assert_ptr_equal(asd_params_value(&p, k), p.w + p.param[k].offset);
    assert_non_null(p.g);
    asd_params_clear(&p);
}

/* The mapping that a store keeps goes with it. */
static void test_keeps_mapping(void **state)
{
    (void)state;
    asd_params    p;
    unsigned char there;
    size_t        page = (size_t)sysconf(_SC_PAGESIZE);
    void         *map  = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    three(&p);
    asd_params_map(&p, 0, map);
    asd_params_keep(&p, map, page);
    assert_ok(asd_params_alloc(&p, 0));
    assert_true(asd_params_peek(&p, 0)[11] == 0);
    assert_int_equal(mincore(map, page, &there), 0);
    asd_params_clear(&p);
    assert_int_equal(mincore(map, page, &there), -1);
    assert_int_equal(errno, ENOMEM);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("nn/params/mapped", test_mapped),
    ASD_CASE("nn/params/mapped-takes-no-room", test_no_room),
    ASD_CASE("nn/params/mapped-in-training", test_mapped_training),
    ASD_CASE("nn/params/keeps-a-mapping", test_keeps_mapping),
};
ASD_TEST_MAIN(cases)
