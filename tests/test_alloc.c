/* test_alloc.c - between plan and end of a step nothing allocates.
 *
 * This program brings its own malloc and its kin. While armed they count calls, told apart by whose
 * code called: ours (this program holds libasd) or a shared library's. Steps are those of
 * asd-train: forward, backward, optimiser, and the validation at an epoch's end, on clips read from
 * disk.
 */
#include "clips.h"

#include "base/par.h"
#include "tools/train_net.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_COUNTERS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_COUNTERS 0
#endif
#endif
#ifndef HAVE_COUNTERS
#define HAVE_COUNTERS 1
#endif

static int  armed;
static long own_calls, dnnl_calls, library_calls;
static char first_library[128];

#if HAVE_COUNTERS
/* A copy inside another function would give another return address. clang makes no clones. */
#ifdef __clang__
#define NOT_INLINED __attribute__((noinline))
#else
#define NOT_INLINED __attribute__((noinline, noclone))
#endif

/* glibc's own names for what is replaced below */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void  __libc_free(void *p);

static void count(const void *caller)
{
    Dl_info who, self;
    if (!__atomic_load_n(&armed, __ATOMIC_SEQ_CST))
        return;
    int   known = dladdr(caller, &who) && dladdr((void *)&count, &self);
    long *which = known && who.dli_fbase == self.dli_fbase    ? &own_calls
                  : known && strstr(who.dli_fname, "libdnnl") ? &dnnl_calls
                                                              : &library_calls;
    if (!__atomic_fetch_add(which, 1, __ATOMIC_SEQ_CST) && which == &library_calls)
        snprintf(first_library, sizeof first_library, "%s", known ? who.dli_fname : "?");
}

NOT_INLINED void *malloc(size_t size)
{
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

NOT_INLINED void *calloc(size_t n, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_calloc(n, size);
}

NOT_INLINED void *realloc(void *p, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_realloc(p, size);
}

NOT_INLINED void *aligned_alloc(size_t align, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_memalign(align, size);
}

NOT_INLINED void *memalign(size_t align, size_t size)
{
    count(__builtin_return_address(0));
    return __libc_memalign(align, size);
}

NOT_INLINED int posix_memalign(void **p, size_t align, size_t size)
{
    count(__builtin_return_address(0));
    *p = __libc_memalign(align, size);
    return *p ? 0 : ENOMEM;
}

NOT_INLINED void free(void *p)
{
    if (p)
        count(__builtin_return_address(0));
    __libc_free(p);
}
#endif

static void arm(int on)
{
    if (on)
        own_calls = dnnl_calls = library_calls = 0;
    __atomic_store_n(&armed, on, __ATOMIC_SEQ_CST);
}

/* The counters see what they are for: every way to allocate, and a library that allocates. */
static void test_counters(void **state)
{
    (void)state;
    if (!HAVE_COUNTERS)
        skip();
    void *volatile p;
    arm(1);
    p = malloc(3);
    p = realloc(p, 5);
    free(p);
    p = calloc(2, 2);
    free(p);
    p = aligned_alloc(64, 64);
    free(p);
    arm(0);
    assert_int_equal(own_calls, 7);
    assert_int_equal(library_calls, 0);
    arm(1);
    p = strdup("a library allocates for us");
    arm(0);
    assert_int_equal(own_calls, 0);
    assert_int_equal(library_calls, 1);
    free(p);
}

typedef struct rig {
    asd_cfg     cfg;
    asd_dataset data;
    asd_net    *nets;
    int64_t     n;
} rig;

static void rig_new(rig *r)
{
    const char *root = asd_test_folder();
    asd_test_machine(root, "fan", 60, 1);
    assert_ok(asd_opts_defaults(asd_cfg_opts, &r->cfg));
    r->cfg.train_batch     = 64;
    r->cfg.train_clip_norm = 1;
    assert_ok(asd_dataset_open(root, NULL, 0, &r->data));
    assert_ok(asd_nets_make(&r->data, &r->cfg, &r->nets, &r->n));
    assert_int_equal(r->n, 1);
    assert_ok(asd_net_alloc(&r->nets[0], 1));
    assert_ok(asd_net_load(&r->nets[0]));
    assert_ok(asd_net_plan(&r->nets[0]));
}

static void rig_free(rig *r)
{
    asd_nets_free(r->nets, r->n);
    asd_dataset_clear(&r->data);
    asd_opts_clear(asd_cfg_opts, &r->cfg);
}

static void run_epochs(rig *r, int64_t from, int64_t to)
{
    asd_net       *net = &r->nets[0];
    asd_net_record record;
    for (int64_t s = from * net->steps_per_epoch; s < to * net->steps_per_epoch; ++s) {
        asd_status st = asd_net_step(net, s, &record);
        if (st) {
            arm(0);
            fail_msg("step %ld: %s", (long)s, asd_error_text());
        }
    }
}

static void test_steps(void **state)
{
    (void)state;
    if (!HAVE_COUNTERS) {
        print_message("skipped: the address sanitizer brings its own allocator\n");
        skip();
    }
    rig r;
    rig_new(&r);
    asd_net *net = &r.nets[0];
    /* whole batches and a last one that is shorter, in training and in validation */
    assert_true(net->steps_per_epoch > 5 && net->n_train % 64 > 1 && net->n_val % 64 > 0);
    int before = asd_par_threads();
    for (int threads = 1; threads <= 3; ++threads) {
        asd_par_set_threads(threads);
        run_epochs(&r, 2 * threads - 2, 2 * threads - 1); /* threads start, plans are made */
        arm(1);
        run_epochs(&r, 2 * threads - 1, 2 * threads);
        arm(0);
        print_message("%d threads, %ld steps: %ld calls of allocators and free from our code, %ld "
                      "from oneDNN, %ld from other libraries%s%s\n",
                      threads, (long)net->steps_per_epoch, own_calls, dnnl_calls, library_calls,
                      library_calls ? ", the first " : "", library_calls ? first_library : "");
        assert_int_equal(own_calls, 0);
        assert_int_equal(library_calls, 0);
    }
    asd_par_set_threads(before);
    rig_free(&r);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("alloc/counters/see-all", test_counters),
    ASD_CASE("alloc/step/none", test_steps),
};

ASD_TEST_MAIN(cases)
