/* test_weights_hostile.c - checkpoints that lie: archives that overlap, sizes that are not there,
 * and thousands of damaged copies of good files. Nothing may be read outside the file, or allocated
 * on a claim. */
#include "harness.h"

#include "base/file.h"
#include "base/rng.h"
#include "weights_hostile.h"

#include <sys/resource.h>
#include <unistd.h>

/* --- archives --- */

static const char good_pickle[] = TENSOR(F16, "K\0", "K\4K\4\x86", "K\4K\1\x86");

static void refuse_parts(const part *p, int n_parts, const char *message)
{
    size_t n;
    char  *bytes = archive_of(p, n_parts, &n);
    refuse_bytes(bytes, n, message);
    free(bytes);
}

#define PICKLE                                                                                     \
    {                                                                                              \
        "a/data.pkl", good_pickle, sizeof good_pickle - 1                                          \
    }
#define STORAGE                                                                                    \
    {                                                                                              \
        "a/data/0", floats, sizeof floats                                                          \
    }

static void test_archives(void **state)
{
    (void)state;
    const part big[]    = {PICKLE, STORAGE, {"a/byteorder", "big", 3}};
    const part script[] = {PICKLE, STORAGE, {"a/constants.pkl", "", 0}};
    const part two[]    = {PICKLE, STORAGE, {"b/data.pkl", "", 0}};
    const part none[]   = {{"a/data.txt", "", 0}};
    const part twice[]  = {PICKLE, STORAGE, STORAGE};
    const part other[]  = {{"a/data.pkl", good_pickle, sizeof good_pickle - 1},
                           {"b/data/0", floats, sizeof floats}};
    const part named[]  = {PICKLE, STORAGE, {"a/\n", "", 0}};
    refuse_parts(big, 3, "byte order \"big\", want little");
    refuse_parts(script, 3, "a TorchScript archive");
    refuse_parts(two, 3, "both a/data.pkl and b/data.pkl");
    refuse_parts(none, 1, "a zip archive without ROOT/data.pkl");
    refuse_parts(twice, 3, "member a/data/0 twice");
    refuse_parts(other, 2, "storage 0 is not in the archive");
    refuse_parts(named, 3, "without control characters");
    char tar[512] = {0};
    memcpy(tar + 257, "ustar", 5);
    refuse_bytes(tar, sizeof tar, "a tar archive");
    refuse_bytes("hello, world", 12, "no checkpoint that is known here");
    refuse_bytes("PK\3\4", 4, "cut short");
}

/* Bytes of the directory's record k and of its member's own header, counted from the archive's
 * start. */
static size_t record_of(const char *bytes, size_t n, int k)
{
    uint32_t at;
    memcpy(&at, bytes + n - 6, 4);
    for (; k > 0; --k) {
        uint16_t name;
        memcpy(&name, bytes + at + 28, 2);
        at += 46u + name;
    }
    return at;
}

static void test_patched(void **state)
{
    (void)state;
    /* record: bytes at its offset `at` become `to`; member 1 is the storage */
    static const struct {
        int         at, n;
        const char *to, *message;
    } patch[] = {
        {0, 1, "X", "no zip directory record"},
        {8, 1, "\x09", "encrypted"},
        {10, 1, "\x08", "compressed (method 8)"},
        {16, 1, "\x55", "member a/data/0 is damaged: CRC-32"},
        {20, 1, "\x41", "65 bytes packed, 64 unpacked"},
        {20, 8, "\0\0\0\xf0\0\0\0\xf0", "claims 4026531840 bytes"},
        {20, 8, "\xff\xff\xff\xff\xff\xff\xff\xff", "zip64 sizes are missing"},
        {28, 2, "\xff\xff", "has a name of 65535 bytes"},
        {28, 2, "\0\0", "has a name of 0 bytes"},
        {30, 2, "\1\0", "no zip directory record"},
        {42, 4, "\1\0\0\0", "no header at 1"},
        {42, 4, "\xff\xff\xff\x7f", "no header at 2147483647"},
        {42, 4, "\0\0\0\0", "called otherwise in its own header"},
        {53, 1, "1", "called otherwise in its own header"},
    };
    for (size_t i = 0; i < sizeof patch / sizeof *patch; ++i) {
        const part p[] = {PICKLE, STORAGE, {"a/version", "3\n", 2}};
        size_t     n;
        char      *bytes = archive_of(p, 3, &n);
        memcpy(bytes + record_of(bytes, n, 1) + patch[i].at, patch[i].to, (size_t)patch[i].n);
        refuse_bytes(bytes, n, patch[i].message);
        free(bytes);
    }
    static const struct {
        int         back, n;
        const char *to, *message;
    } end[] = {
        {22, 1, "Q", "no directory ends its"},
        {18, 1, "\1", "several parts"},
        {16, 1, "\1", "several parts"},
        {14, 4, "\x04\0\x04\0", "4 members claimed"},
        {14, 4, "\x02\0\x02\0", "behind the last zip directory record"},
        {14, 4, "\xfe\xff\xfe\xff", "65534 members claimed"},
        {10, 4, "\0\0\0\0", "want it to end at"},
        {6, 4, "\xff\xff\xff\xff", "want it to end at"},
        {2, 2, "\5\0", "no directory ends its"},
    };
    for (size_t i = 0; i < sizeof end / sizeof *end; ++i) {
        const part p[] = {PICKLE, STORAGE, {"a/version", "3\n", 2}};
        size_t     n;
        char      *bytes = archive_of(p, 3, &n);
        memcpy(bytes + n - end[i].back, end[i].to, (size_t)end[i].n);
        refuse_bytes(bytes, n, end[i].message);
        free(bytes);
    }
}

/* Two storages that share bytes: the second member's header lies in the first one's payload. */
static void test_overlap(void **state)
{
    (void)state;
    enum { HEAD = 30 + 8 };
    unsigned char payload[HEAD + 64] = {'P', 'K', 3, 4};
    payload[26]                      = 8;
    memcpy(payload + 30, "a/data/1", 8);
    const part p[] = {PICKLE, {"a/data/0", payload, sizeof payload}, {"a/data/1", payload, 64}};
    size_t     n;
    char      *bytes  = archive_of(p, 3, &n);
    char      *record = bytes + record_of(bytes, n, 1);
    uint32_t   from;
    uint16_t   name, extra;
    memcpy(&from, record + 42, 4);
    memcpy(&name, bytes + from + 26, 2);
    memcpy(&extra, bytes + from + 28, 2);
    from += 30u + name + extra;
    memcpy(bytes + record_of(bytes, n, 2) + 42, &from, 4);
    refuse_bytes(bytes, n, "overlap in the file");
    free(bytes);
}

/* Sizes beyond 4 GB are written in zip64's way; small ones may be, too. */
static void test_zip64(void **state)
{
    (void)state;
    const part  p[] = {PICKLE, STORAGE};
    size_t      n;
    char       *bytes  = archive_of(p, 2, &n);
    size_t      record = record_of(bytes, n, 1), end = n - 22;
    char        extra[28] = {1, 0, 24, 0, 64, 0, 0, 0, 0, 0, 0, 0, 64};
    uint32_t    from, size;
    ww_buffer   b = {0};
    asd_weights w;
    memcpy(&from, bytes + record + 42, 4);
    memcpy(extra + 20, &from, 4);
    memset(bytes + record + 20, 0xff, 8);
    memset(bytes + record + 42, 0xff, 4);
    bytes[record + 30] = sizeof extra;
    ww_put(&b, bytes, end);
    ww_put(&b, extra, sizeof extra);
    memcpy(&size, bytes + end + 12, 4);
    size += (uint32_t)sizeof extra;
    memcpy(bytes + end + 12, &size, 4);
    ww_put(&b, bytes + end, 22);
    assert_ok(asd_weights_parse("h.pt", b.at, b.n, 1, &w));
    assert_non_null(asd_weights_find(&w, "t"));
    asd_weights_close(&w);
    memset(b.at + b.n - 22 - 24, 0xff, 8); /* the size in it */
    refuse_bytes((char *)b.at, b.n, "packed");
    free(b.at);
    free(bytes);
}

/* AddressSanitizer reserves far more than any limit. */
#if defined(__SANITIZE_ADDRESS__)
#define CAN_LIMIT 0
#elif defined(__has_feature)
#define CAN_LIMIT !__has_feature(address_sanitizer)
#else
#define CAN_LIMIT 1
#endif

/* A claim of 4 GB with 4 kB behind it costs no memory, in any form. */
static void test_claims(void **state)
{
    (void)state;
    static const char small[4096];
    const char        huge[] =
        TENSOR(STORE("FloatStorage", "0", "J\0\0\0\x40"), "K\0", "J\0\0\0\x40\x85", "K\1\x85");
    const part p[] = {{"a/data.pkl", huge, sizeof huge - 1}, {"a/data/0", small, 4096}};
    const char legacy[] =
        "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M\xe9\3."
        "\x80\2}X\x0d\0\0\0little_endian\x88s."
        "\x80\2}X\1\0\0\0tctorch._utils\n_rebuild_tensor_v2\n(" STORE(
            "FloatStorage", "0", "J\0\0\0\x40") "K\0J\0\0\0\x40\x85K\1\x85\x89}tRs.\x80\2]X\1\0\0\0"
                                                "0a."
                                                "\0\0\0\x40\0\0\0\0";
    ww_buffer b = {0};
    ww_put(&b, legacy, sizeof legacy - 1);
    ww_put(&b, small, sizeof small);
    const char tensors[] = "{\"t\":{\"dtype\":\"F32\",\"shape\":[1073741824],"
                           "\"data_offsets\":[0,4294967296]}}";
    ww_buffer  s         = {0};
    ww_le(&s, sizeof tensors - 1, 8);
    ww_put(&s, tensors, sizeof tensors - 1);
    ww_put(&s, small, sizeof small);
    struct rlimit before, now;
    assert_int_equal(getrlimit(RLIMIT_DATA, &before), 0);
    now          = before;
    now.rlim_cur = (rlim_t)3 << 30;
    if (CAN_LIMIT)
        assert_int_equal(setrlimit(RLIMIT_DATA, &now), 0);
    refuse_parts(p, 2, "4294967296 bytes; the file has 4096");
    refuse_bytes((char *)b.at, b.n, "1073741824 elements of F32");
    refuse_bytes((char *)s.at, s.n, "outside 0 .. 4096");
    assert_int_equal(setrlimit(RLIMIT_DATA, &before), 0);
    free(b.at);
    free(s.at);
}

/* --- the legacy form --- */

#define MAGIC "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19."
#define LITTLE "\x80\2}X\x0d\0\0\0little_endian\x88s."
#define OBJECT                                                                                     \
    "\x80\2"                                                                                       \
    "}X\1\0\0\0tctorch._utils\n_rebuild_tensor_v2\n(" F16 "K\0K\4\x85K\1\x85\x89}tRs."
#define SIXTEEN                                                                                    \
    "\x10\0\0\0\0\0\0\0"                                                                           \
    "0123456701234567012345670123456701234567012345670123456701234567"

static void test_legacy(void **state)
{
    (void)state;
    static const bad files[] = {
        BAD(MAGIC, "ends without STOP"),
        BAD(MAGIC "\x80\2M\xea\3.", "version 1002, want 1001"),
        BAD(MAGIC "\x80\2N.", "the version is None"),
        BAD(MAGIC "\x80\2M\xe9\3.\x80\2}.", "nothing says little_endian"),
        BAD(MAGIC "\x80\2M\xe9\3.\x80\2}X\x0d\0\0\0little_endian\x89s.", "big-endian"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE "\x80\2N.", "the object is None"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2}.",
            "the list of storages is a dictionary"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2].", "its storage 0 is not in the file"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2]X\1\0\0\0"
                  "1a.",
            "no tensor names it"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2]X\1\0\0\0"
                  "0a."
                  "\x10\0\0\0",
            "cut short"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2]X\1\0\0\0"
                  "0a."
                  "\x10\0\0\0\0\0\0\0abc",
            "3 bytes are left"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2]X\1\0\0\0"
                  "0a."
                  "\xff\xff\xff\xff\xff\xff\xff\xff",
            "18446744073709551615 elements"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2]X\1\0\0\0"
                  "0a." SIXTEEN "x",
            "1 bytes behind the last storage"),
        BAD(MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2](X\1\0\0\0"
                  "0X\1\0\0\0"
                  "0e." SIXTEEN SIXTEEN,
            "storage 1 of the list: listed twice"),
    };
    static const char good[] = MAGIC "\x80\2M\xe9\3." LITTLE OBJECT "\x80\2]X\1\0\0\0"
                                     "0a." SIXTEEN;
    asd_weights                                              w;
    for (size_t i = 0; i < sizeof files / sizeof *files; ++i)
        refuse_bytes(files[i].bytes, files[i].n, files[i].message);
    assert_ok(asd_weights_parse("h.pt", good, sizeof good - 1, 1, &w));
    assert_memory_equal(w.tensor[0].data, "0123456701234567", 16);
    asd_weights_close(&w);
}

/* --- damaged copies --- */

/* Opens or is refused; what opens lies inside the file. The bytes have a heap block of their own,
 * so that a sanitizer sees every step outside. */
static int try_bytes(const char *bytes, size_t n, int check)
{
    static float x[4096];
    asd_weights  w;
    char        *own = malloc(n + !n);
    memcpy(own, bytes, n);
    asd_status st = asd_weights_parse("m.pt", own, n, check, &w);
    for (int64_t i = 0; !st && i < w.n; ++i) {
        const asd_weight *t    = &w.tensor[i];
        const int64_t     many = asd_weight_count(t);
        assert_true(many >= 0 && many <= 4096);
        if (many)
            assert_in_range((uintptr_t)t->data, (uintptr_t)own, (uintptr_t)own + n - 1);
        (void)asd_weight_read(&w, t, x);
        assert_ptr_equal(asd_weights_find_in(&w, t->where, t->name), t);
    }
    if (st) {
        assert_true(st == ASD_E_DATA);
        assert_true(asd_test_contains(asd_error_text(), "m.pt"));
    }
    asd_weights_close(&w);
    free(own);
    return !st;
}

static char *sample(int form, size_t *n)
{
    static const float x[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const ww_tensor    t[]   = {{"model", "a.weight", 2, {3, 4}, x},
                                {"model", "a.bias", 1, {3}, x},
                                {"model._ema", "a.weight", 2, {2, 2}, x}};
    const ww_setting   s[]   = {{"cfg", "layers", WW_INT, 12, NULL}, {"", "name", WW_TEXT, 0, "x"}};
    const ww_setting   m[]   = {{"", "format", WW_TEXT, 0, "pt"}};
    char               path[PATH_MAX];
    char              *bytes;
    if (form < 3) {
        assert_ok(asd_path(path, "%s/s", asd_test_folder()));
        ww_write((ww_form)form, path, t, 3, form == WW_SAFETENSORS ? m : s,
                 form == WW_SAFETENSORS ? 1 : 2);
    } else {
        assert_ok(asd_path(path, "%s/tests/golden/torch_%s.pt", asd_test_source(),
                           form == 3 ? "zip" : "legacy"));
    }
    assert_ok(asd_read_file(path, 1 << 20, &bytes, n));
    return bytes;
}

static void test_prefixes(void **state)
{
    (void)state;
    for (int form = 0; form < 3; ++form) {
        size_t n;
        char  *bytes = sample(form, &n);
        assert_true(try_bytes(bytes, n, 1));
        for (size_t cut = 0; cut < n; ++cut)
            assert_false(try_bytes(bytes, cut, 1));
        free(bytes);
    }
}

static void test_mutants(void **state)
{
    (void)state;
    enum { ROUNDS = 6000 };
    for (int form = 0; form < 5; ++form) {
        size_t  n;
        char   *bytes = sample(form, &n), *copy = malloc(n + 8);
        int64_t opened = 0;
        asd_rng r;
        asd_rng_init(&r, 8, ASD_RNG_TEST, (uint64_t)form, 0);
        for (int i = 0; i < ROUNDS; ++i) {
            size_t m = n;
            memcpy(copy, bytes, n);
            /* Half of the changes hit the first 2 kB or the last 1 kB, where the structure is. */
            const size_t low  = i % 4 == 0 && n > 1024 ? n - 1024 : 0;
            const size_t high = i % 4 == 1 && n > 2048 ? 2048 : n;
            for (uint64_t k = 1 + asd_rng_below(&r, 3); k > 0; --k) {
                const size_t at = low + asd_rng_below(&r, high - low);
                if (asd_rng_below(&r, 4))
                    copy[at] = (char)asd_rng_below(&r, 256);
                else
                    copy[at] ^= (char)(1 << asd_rng_below(&r, 8));
            }
            if (asd_rng_below(&r, 10) == 0) {
                const size_t at = asd_rng_below(&r, n - 1), gap = 1 + asd_rng_below(&r, n - at - 1);
                memmove(copy + at, copy + at + gap, n - at - gap);
                m = n - gap;
            }
            opened += try_bytes(copy, m, 0);
        }
        print_message("form %d: %d of %d damaged copies opened\n", form, (int)opened, ROUNDS);
        assert_in_range(opened, 1, ROUNDS - 1); /* both happen, or the test tests nothing */
        free(copy);
        free(bytes);
    }
}

/* With checksums, no damaged byte of a zip's payload goes unseen. */
static void test_damage(void **state)
{
    (void)state;
    size_t      n;
    char       *bytes = sample(WW_ZIP, &n);
    asd_weights w;
    assert_ok(asd_weights_parse("m.pt", bytes, n, 1, &w));
    const char *x = w.tensor[0].data;
    asd_weights_close(&w);
    for (size_t i = 0; i < 48; ++i) {
        bytes[(size_t)(x - bytes) + i] ^= 4;
        refuse_bytes(bytes, n, "member archive/data/0 is damaged");
        bytes[(size_t)(x - bytes) + i] ^= 4;
    }
    free(bytes);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("weights/hostile/archives", test_archives),
    ASD_CASE("weights/hostile/patched-directory", test_patched),
    ASD_CASE("weights/hostile/overlap", test_overlap),
    ASD_CASE("weights/zip64", test_zip64),
    ASD_CASE("weights/hostile/4-GB-claimed", test_claims),
    ASD_CASE("weights/hostile/legacy", test_legacy),
    ASD_CASE("weights/hostile/prefixes", test_prefixes),
    ASD_CASE("weights/hostile/mutants", test_mutants),
    ASD_CASE("weights/hostile/damaged-payload", test_damage),
};
ASD_TEST_MAIN(cases)
