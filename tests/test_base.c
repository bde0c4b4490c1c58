/* test_base.c - random numbers, files, arena. */
#include "harness.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_rng_cells(void **state)
{
    (void)state;
    asd_rng a, b;
    /* The same cell gives the same words; a change of any coordinate gives others. */
    asd_rng_init(&a, 1, ASD_RNG_TEST, 2, 3);
    asd_rng_init(&b, 1, ASD_RNG_TEST, 2, 3);
    uint64_t first = asd_rng_u64(&a);
    assert_int_equal(first, asd_rng_u64(&b));
    const uint64_t cells[][4] = {{2, ASD_RNG_TEST, 2, 3},
                                 {1, ASD_RNG_INIT, 2, 3},
                                 {1, ASD_RNG_TEST, 3, 3},
                                 {1, ASD_RNG_TEST, 2, 4},
                                 {1, ASD_RNG_TEST, 2, (uint64_t)1 << 40 | 3}};
    for (size_t i = 0; i < 5; ++i) {
        asd_rng_init(&b, cells[i][0], (asd_rng_purpose)cells[i][1], cells[i][2], cells[i][3]);
        assert_int_not_equal(first, asd_rng_u64(&b));
    }
}

static void test_rng_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    asd_rng r;
    double  sum = 0, sum2 = 0, sum4 = 0, uniform = 0;
    asd_rng_init(&r, 7, ASD_RNG_TEST, 0, 0);
    for (int i = 0; i < N; ++i) {
        double x = asd_rng_normal(&r);
        sum += x, sum2 += x * x, sum4 += x * x * x * x;
        uniform += asd_rng_uniform(&r);
    }
    /* five standard errors each */
    assert_near(sum / N, 0, 5 / sqrt(N));
    assert_near(sum2 / N, 1, 5 * sqrt(2.0 / N));
    assert_near(sum4 / N, 3, 5 * sqrt(96.0 / N));
    assert_near(uniform / N, 0.5, 5 * sqrt(1.0 / 12 / N));
}

static void test_rng_permutation(void **state)
{
    (void)state;
    enum { N = 5, ROUNDS = 60000 };
    int32_t p[N];
    int     count[N][N] = {{0}};
    for (int i = 0; i < ROUNDS; ++i) {
        asd_rng r;
        asd_rng_init(&r, 3, ASD_RNG_TEST, (uint64_t)i, 0);
        asd_rng_permutation(&r, N, p);
        int seen = 0;
        for (int k = 0; k < N; ++k) {
            seen |= 1 << p[k];
            ++count[k][p[k]];
        }
        assert_int_equal(seen, (1 << N) - 1);
    }
    for (int k = 0; k < N; ++k)
        for (int v = 0; v < N; ++v)
            assert_near(count[k][v], ROUNDS / N, 5 * sqrt(ROUNDS * 0.2 * 0.8));
}

static void test_outfile(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        path[PATH_MAX], *data;
    size_t      size;
    assert_ok(asd_path(path, "%s/a/b", folder));
    assert_ok(asd_make_folders(path));
    assert_ok(asd_path(path, "%s/a/b/x.txt", folder));
    assert_ok(asd_write_file(path, "one", 3));
    asd_outfile f;
    assert_ok(asd_outfile_open(&f, path));
    fputs("two", f.stream);
    asd_outfile_abandon(&f);
    assert_ok(asd_read_file(path, 100, &data, &size));
    assert_int_equal(size, 3);
    assert_string_equal(data, "one");
    free(data);
    asd_names names;
    assert_ok(asd_path(path, "%s/a/b", folder));
    assert_ok(asd_list_folder(path, &names));
    assert_int_equal(names.n, 1); /* no temporary file is left */
    asd_names_free(&names);
    assert_ok(asd_path(path, "%s/a/b/x.txt", folder));
    assert_fails(asd_read_file(path, 2, &data, &size), ASD_E_DATA, "more than the 2");
    assert_fails(asd_read_file("/nowhere/x", 2, &data, &size), ASD_E_DATA, "/nowhere/x");
}

static void test_beside_program(void **state)
{
    (void)state;
    char program[PATH_MAX], folder[PATH_MAX], path[PATH_MAX];
    assert_non_null(realpath("/proc/self/exe", program));
    assert_ok(asd_beside_program(folder, "."));
    assert_ok(asd_path(path, "%s/%s", folder, asd_base_name(program)));
    assert_string_equal(path, program);
    assert_ok(asd_beside_program(path, asd_base_name(program)));
    assert_string_equal(path, program);
    assert_fails(asd_beside_program(path, "no/such"), ASD_E_DATA, "no/such");
}

static void test_arena(void **state)
{
    (void)state;
    asd_arena a;
    assert_ok(asd_arena_init(&a, 1000));
    char *p = asd_arena_take(&a, 10, 10);
    assert_non_null(p);
    assert_int_equal((uintptr_t)p % ASD_ALIGN, 0);
    size_t mark = asd_arena_mark(&a);
    memset(asd_arena_take(&a, 64, 1), 1, 64);
    asd_arena_reset(&a, mark);
    char *q = asd_arena_take(&a, 64, 1);
    for (int i = 0; i < 64; ++i)
        assert_int_equal(q[i], 0);
    assert_null(asd_arena_take(&a, 4000, 1));
    assert_null(asd_arena_take(&a, SIZE_MAX / 2, 4));
    asd_arena_clear(&a);
    asd_arena_clear(&a);
    assert_fails(asd_arena_init(&a, SIZE_MAX - 1), ASD_E_OOM, "no memory");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("base/rng/cells-differ", test_rng_cells),
    ASD_CASE("base/rng/moments", test_rng_moments),
    ASD_CASE("base/rng/permutation", test_rng_permutation),
    ASD_CASE("base/file/abandon-keeps-old", test_outfile),
    ASD_CASE("base/file/beside-program", test_beside_program),
    ASD_CASE("base/arena/mark-reset", test_arena),
};

ASD_TEST_MAIN(cases)
