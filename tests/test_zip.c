/* test_zip.c - archives that we do not trust, and records from the net. */
#include "harness.h"

#include "base/rng.h"
#include "data/get.h"
#include "data/get_place.h"
#include "data/zip_extract.h"
#include "zips.h"

#include <stdio.h>

static const entry good[] = {
    {"fan/", NULL, 0, 0},
    {"fan/attributes_00.csv", "file_name,d1p,d1v\n", 18, S_IFREG | 0644},
    {"fan/test/section_00_0000.wav", "RIFF-not-really", 15, S_IFREG | 0755},
    {"fan/train/section_00_source_train_normal_0000_.wav", "abc", 3, 0},
    {"top.txt", "", 0, 0},
};

static const char *at(const char *folder, const char *name)
{
    static char path[4][PATH_MAX];
    static int  turn;
    turn = (turn + 1) % 4;
    assert_ok(asd_path(path[turn], "%s/%s", folder, name));
    return path[turn];
}

static void assert_holds(const char *path, const char *want)
{
    char  *text;
    size_t n;
    assert_ok(asd_read_file(path, 1 << 20, &text, &n));
    assert_string_equal(text, want);
    free(text);
}

static int64_t count_entries(const char *folder)
{
    asd_names names;
    assert_ok(asd_list_folder(folder, &names));
    int64_t n = names.n;
    asd_names_free(&names);
    return n;
}

/* A folder with an empty folder "in" and nothing else but the archive. */
static const char *fresh(void)
{
    const char *folder = asd_test_folder();
    assert_ok(asd_make_folders(at(folder, "in")));
    return folder;
}

static void test_good(void **state)
{
    (void)state;
    const char  *f = fresh();
    asd_zip_list list;
    size_t       size;
    char         zip[PATH_MAX];
    strcpy(zip, at(f, "a.zip"));
    free(make_zip(zip, good, 5, &size));
    assert_ok(asd_zip_extract(zip, at(f, "in"), 1000, &list));
    assert_int_equal(list.n, 4);
    assert_int_equal(list.bytes, 36);
    assert_string_equal(list.file[0].name, "fan/attributes_00.csv");
    assert_int_equal(list.file[1].size, 15);
    asd_zip_list_clear(&list);
    asd_zip_list_clear(&list);
    assert_holds(at(f, "in/fan/test/section_00_0000.wav"), "RIFF-not-really");
    assert_holds(at(f, "in/top.txt"), "");
    struct stat s;
    assert_int_equal(stat(at(f, "in/fan/test/section_00_0000.wav"), &s), 0);
    assert_int_equal(s.st_mode & 0111, 0); /* no mode is taken from the archive */
    /* exactly its size is enough, one byte less is not */
    assert_ok(asd_make_folders(at(f, "in2")));
    assert_ok(asd_zip_extract(zip, at(f, "in2"), 36, &list));
    asd_zip_list_clear(&list);
    assert_ok(asd_make_folders(at(f, "in3")));
    assert_fails(asd_zip_extract(zip, at(f, "in3"), 35, &list), ASD_E_DATA,
                 "unpacks to more than 35 bytes at entry");
    asd_zip_list_clear(&list);
    assert_int_equal(count_entries(at(f, "in3")), 0);
}

/* Refused by name; nothing is written inside or outside. */
static void test_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned    mode;
        const char *part;
    } bad[] = {
        {"../evil.txt", 0, "entry \"../evil.txt\" has \"..\" in its path"},
        {"fan/../../evil.txt", 0, "\"..\" in its path"},
        {"fan/..", 0, "\"..\" in its path"},
        {"/tmp/evil.txt", 0, "an absolute path"},
        {"C:evil.txt", 0, "an absolute path"},
        {"fan\\..\\evil.txt", 0, "a backslash"},
        {"fan//evil.txt", 0, "an empty or \".\" part"},
        {"./evil.txt", 0, "an empty or \".\" part"},
        {"fan/a\nb", 0, "a control character"},
        {"fan/link", S_IFLNK | 0777, "entry \"fan/link\" is a symbolic link"},
        {"fan/fifo", S_IFIFO | 0666, "a device, pipe or socket"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        const char  *f    = fresh();
        const entry  e[2] = {good[2], {bad[i].name, "/etc", 4, bad[i].mode}};
        asd_zip_list list;
        size_t       size;
        char         zip[PATH_MAX];
        strcpy(zip, at(f, "a.zip"));
        free(make_zip(zip, e, 2, &size));
        assert_fails(asd_zip_extract(zip, at(f, "in"), 1 << 20, &list), ASD_E_DATA, bad[i].part);
        asd_zip_list_clear(&list);
        assert_int_equal(count_entries(at(f, "in")), 0);
        assert_int_equal(count_entries(f), 2);
    }
}

static void refused(const char *f, const char *bytes, size_t size, const char *part)
{
    asd_zip_list list;
    char         zip[PATH_MAX], in[PATH_MAX];
    strcpy(zip, at(f, "p.zip"));
    strcpy(in, at(f, "in"));
    assert_ok(asd_remove_tree(in));
    assert_ok(asd_make_folders(in));
    assert_ok(asd_write_file(zip, bytes, size));
    assert_fails(asd_zip_extract(zip, in, 1 << 20, &list), ASD_E_DATA, part);
    asd_zip_list_clear(&list);
}

static void test_damaged(void **state)
{
    (void)state;
    const char *f = fresh();
    size_t      size;
    char        text[4000];
    memset(text, 'a', sizeof text);
    for (int i = 0; i < 4000; i += 7)
        text[i] = (char)('b' + i % 23);
    const entry e[] = {{"fan/x.wav", text, sizeof text, 0},
                       {"fan/y.wav", "abc", 3, 0},
                       {"fan", "a file named as a folder", 24, 0}};
    char       *b   = make_zip(at(f, "a.zip"), e, 2, &size);
    refused(f, b, size / 2, "not a whole zip archive");
    refused(f, b, size - 1, "not a whole zip archive");
    refused(f, b, 0, "not a whole zip archive");
    refused(f, "no archive", 10, "not a whole zip archive");
    b[60] ^= 0x55; /* inside the deflated bytes of x.wav */
    refused(f, b, size, "entry \"fan/x.wav\" is damaged");
    b[60] ^= 0x55;
    assert_int_equal(patch(b, size, "fan/y.wav", "fan/x.wav"), 2);
    refused(f, b, size, "two entries have the same name");
    free(b);
    b = make_zip(at(f, "a.zip"), e, 3, &size);
    refused(f, b, size, "fan"); /* fan is a file and a folder */
    free(b);
    zip_t *z = zip_open(at(f, "e.zip"), ZIP_CREATE, NULL);
    assert_true(zip_file_add(z, "secret.wav", zip_source_buffer(z, "abc", 3, 0), 0) == 0);
    if (zip_file_set_encryption(z, 0, ZIP_EM_AES_256, "key") == 0) {
        assert_int_equal(zip_close(z), 0);
        assert_ok(asd_read_file(at(f, "e.zip"), 1 << 20, &b, &size));
        refused(f, b, size, "entry \"secret.wav\" is encrypted");
        free(b);
    } else {
        zip_discard(z);
    }
}

/* An entry that unpacks to more than it declares: both size fields lie, as a bomb's would. */
static void test_lying_size(void **state)
{
    (void)state;
    const char *f = fresh();
    size_t      size;
    char       *zeros = calloc(1, 300000);
    const entry e[]   = {{"fan/x.wav", zeros, 300000, 0}};
    char       *b     = make_zip(at(f, "a.zip"), e, 1, &size);
    int         n     = 0;
    for (size_t i = 0; i + 4 <= size; ++i)
        if (!memcmp(b + i, "\xE0\x93\x04\x00", 4)) { /* 300000 */
            memcpy(b + i, "\x10\x00\x00\x00", 4);
            ++n;
        }
    assert_true(n >= 1);
    refused(f, b, size, "fan/x.wav");
    struct stat s;
    assert_true(stat(at(f, "in/fan/x.wav"), &s) || s.st_size <= 16);
    free(b);
    free(zeros);
}

/* Any bytes changed: an error or a result, never a crash, never a file elsewhere. */
static void test_mutations(void **state)
{
    (void)state;
    const char *f = fresh();
    size_t      size;
    char       *b = make_zip(at(f, "a.zip"), good, 5, &size), *m = malloc(size);
    char        zip[PATH_MAX], in[PATH_MAX];
    int         taken = 0;
    strcpy(zip, at(f, "m.zip"));
    strcpy(in, at(f, "in"));
    for (uint32_t round = 0; round < 600; ++round) {
        asd_rng      rng;
        asd_zip_list list;
        size_t       n = size;
        asd_rng_init(&rng, 3, ASD_RNG_TEST, round, 0);
        memcpy(m, b, size);
        for (uint32_t k = 1 + asd_rng_below(&rng, 4); k; --k)
            m[asd_rng_below(&rng, (uint32_t)size)] = (char)asd_rng_below(&rng, 256);
        if (asd_rng_below(&rng, 5) == 0)
            n = asd_rng_below(&rng, (uint32_t)size);
        FILE *out = fopen(zip, "wb");
        assert_int_equal(fwrite(m, 1, n, out), n);
        fclose(out);
        asd_status st = asd_zip_extract(zip, in, 1 << 16, &list);
        assert_true(st == ASD_OK || st == ASD_E_DATA);
        taken += !st;
        asd_zip_list_clear(&list);
        if (count_entries(in)) {
            assert_ok(asd_remove_tree(in));
            assert_ok(asd_make_folders(in));
        }
        assert_int_equal(count_entries(f), 3);
    }
    assert_in_range(taken, 10, 590);
    free(b);
    free(m);
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[PATH_MAX];
    strcpy(path, at(folder, name));
    *strrchr(path, '/') = 0;
    assert_ok(asd_make_folders(path));
    assert_ok(asd_write_file(at(folder, name), text, strlen(text)));
}

static void test_place(void **state)
{
    (void)state;
    const char *f = asd_test_folder();
    put(f, "to/fan/train/a.wav", "old");
    put(f, "to/fan/attributes_00.csv", "old");
    put(f, "from/fan/train/a.wav", "old");
    put(f, "from/fan/train/b.wav", "new");
    put(f, "from/fan/test/c.wav", "new");
    put(f, "from/fan/attributes_00.csv", "new");
    put(f, "from/valve/train/d.wav", "new");
    assert_ok(asd_place(at(f, "from"), at(f, "to"), 0));
    assert_holds(at(f, "to/fan/train/a.wav"), "old");
    assert_holds(at(f, "to/fan/train/b.wav"), "new");
    assert_holds(at(f, "to/fan/test/c.wav"), "new");
    assert_holds(at(f, "to/fan/attributes_00.csv"), "new");
    assert_holds(at(f, "to/valve/train/d.wav"), "new");

    put(f, "from/fan/train/a.wav", "other");
    assert_fails(asd_place(at(f, "from"), at(f, "to"), 0), ASD_E_DATA,
                 "to/fan/train/a.wav: is there already with other content");
    assert_holds(at(f, "to/fan/train/a.wav"), "old");
    assert_ok(asd_place(at(f, "from"), at(f, "to"), 1));
    assert_holds(at(f, "to/fan/train/a.wav"), "other");
    put(f, "from/fan/train/a.wav/x", "");
    assert_fails(asd_place(at(f, "from"), at(f, "to"), 1), ASD_E_DATA, "but not as a folder");
}

static void test_marker(void **state)
{
    (void)state;
    static const char md5[33] = "0123456789abcdef0123456789abcdef";
    const char       *f       = asd_test_folder();
    asd_zip_file      file[]  = {{"fan/a.wav", 3}, {"fan/note.txt", 99}};
    asd_zip_list      list    = {.file = file, .n = 2};
    char              marker[PATH_MAX];
    int               complete;
    strcpy(marker, at(f, "m.done"));
    put(f, "to/fan/a.wav", "abc");
    assert_ok(asd_marker_check(marker, at(f, "to"), md5, &complete));
    assert_false(complete);
    assert_ok(asd_marker_write(marker, at(f, "to"), md5, &list));
    assert_ok(asd_marker_check(marker, at(f, "to"), md5, &complete));
    assert_true(complete); /* the note is not a clip */
    assert_ok(asd_marker_check(marker, at(f, "to"), "ffffffffffffffffffffffffffffffff", &complete));
    assert_false(complete);
    put(f, "to/fan/a.wav", "abcd");
    assert_ok(asd_marker_check(marker, at(f, "to"), md5, &complete));
    assert_false(complete);
    put(f, "to/fan/a.wav", "abc");
    static const char *const damaged[] = {"asd.get/1 0123456789abcdef0123456789abcdef\n3 fan/a.wav",
                                          "asd.get/1 0123456789abcdef0123456789abcdef\nx\n",
                                          "asd.get/1 0123456789abcdef0123456789abcdef\n3\n", ""};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; ++i) {
        assert_ok(asd_write_file(marker, damaged[i], strlen(damaged[i])));
        assert_ok(asd_marker_check(marker, at(f, "to"), md5, &complete));
        assert_false(complete);
    }
    assert_ok(asd_write_file(marker, "asd.get/1 0123456789abcdef0123456789abcdef\n3\0x\n", 47));
    assert_ok(asd_marker_check(marker, at(f, "to"), md5, &complete));
    assert_false(complete);
}

/* --- records --- */

#define MD5 "0123456789ABCDEF0123456789abcdef"
static const char record[] =
    "{\"id\": 5, \"metadata\": {\"title\": \"A set\", \"license\": {\"id\": \"cc-by-nc-sa-4.0\"}},"
    " \"files\": [{\"key\": \"dev_fan.zip\", \"size\": 12, \"checksum\": \"md5:" MD5 "\","
    " \"links\": {\"self\": \"https://zenodo.org/api/records/5/files/dev_fan.zip/content\"}},"
    " {\"key\": \"a b.zip\", \"size\": 7, \"checksum\": \"md5:" MD5 "\"}]}";

static void test_record(void **state)
{
    (void)state;
    asd_get_record r;
    assert_ok(asd_get_record_parse(record, sizeof record - 1, "http://h:1", 5, &r));
    assert_string_equal(r.title, "A set");
    assert_string_equal(r.licence, "cc-by-nc-sa-4.0");
    assert_int_equal(r.n, 2);
    assert_string_equal(r.file[0].key, "dev_fan.zip");
    assert_int_equal(r.file[0].size, 12);
    assert_string_equal(r.file[0].md5, "0123456789abcdef0123456789abcdef");
    assert_string_equal(r.file[0].url, "http://h:1/api/records/5/files/dev_fan.zip/content");
    assert_string_equal(r.file[1].url, "http://h:1/api/records/5/files/a%20b.zip/content");
    asd_get_record_clear(&r);
    asd_get_record_clear(&r);
    char text[sizeof record]; /* bytes that no URL may hold */
    memcpy(text, record, sizeof record);
    assert_int_equal(patch(text, sizeof record - 1, "/5/files", "/5 \x7F\\n%~"), 1);
    assert_ok(asd_get_record_parse(text, sizeof record - 1, "http://h:1", 5, &r));
    assert_string_equal(r.file[0].url, "http://h:1/api/records/5%20%7F%0A%~/dev_fan.zip/content");
    asd_get_record_clear(&r);
}

static void test_bad_records(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *part;
    } edits[] = {
        {"dev_fan.zip\", \"s", "../evil.zip\", \"s", "a file named \"../evil.zip\""},
        {"dev_fan.zip\", \"s", ".dev_fan.zi\", \"s", "a file named \".dev_fan.zi\""},
        {"\"key\"", "\"kex\"", "a file named \"\""},
        {"md5:", "sha:", "the checksum \"sha:"},
        {"ABCDEF", "ABCDEG", "want md5: and 32 digits"},
        {"\"size\": 12", "\"size\": -2", "dev_fan.zip has no size"},
        {"\"size\": 12", "\"size\": {}", "dev_fan.zip has no size"},
        {"\"files\"", "\"filez\"", "lists no files"},
        {"{\"id\"", "[\"id\"", "is not JSON"},
    };
    asd_get_record r;
    char           text[sizeof record];
    for (size_t i = 0; i < sizeof edits / sizeof *edits; ++i) {
        memcpy(text, record, sizeof record);
        assert_int_equal(strlen(edits[i].from), strlen(edits[i].to));
        assert_true(patch(text, sizeof record - 1, edits[i].from, edits[i].to) > 0);
        assert_fails(asd_get_record_parse(text, sizeof record - 1, "http://h", 5, &r), ASD_E_DATA,
                     edits[i].part);
        asd_get_record_clear(&r);
    }
    for (uint32_t round = 0; round < 20000; ++round) {
        asd_rng rng;
        asd_rng_init(&rng, 4, ASD_RNG_TEST, round, 0);
        memcpy(text, record, sizeof record);
        for (uint32_t k = 1 + asd_rng_below(&rng, 3); k; --k)
            text[asd_rng_below(&rng, sizeof record - 1)] = (char)asd_rng_below(&rng, 256);
        size_t n = asd_rng_below(&rng, 9) ? sizeof record - 1 : asd_rng_below(&rng, sizeof record);
        asd_status st = asd_get_record_parse(text, n, "http://h", 5, &r);
        assert_true(st == ASD_OK || st == ASD_E_DATA);
        for (int64_t i = 0; !st && i < r.n; ++i)
            assert_true(!strchr(r.file[i].key, '/') && r.file[i].size > 0 && r.file[i].url);
        asd_get_record_clear(&r);
    }
}

static void test_sets(void **state)
{
    (void)state;
    const asd_get_set *s;
    assert_ok(asd_get_find("dcase2026-dev", &s));
    assert_int_equal(s->record, 19336329);
    assert_string_equal(s->folder, "dev_data/raw");
    assert_ok(asd_get_find("dcase2026-eval", &s));
    assert_int_equal(s->record, 20437238);
    assert_string_equal(s->folder, "eval_data/raw");
    assert_ok(asd_get_find("dcase2020-add", &s));
    assert_int_equal(s->record, 3727685);
    assert_string_equal(s->folder, "eval_data");
    assert_fails(asd_get_find("dcase2062-dev", &s), ASD_E_USAGE, "did you mean \"dcase20");
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("data/zip/good", test_good),
    ASD_CASE("data/zip/escapes", test_escapes),
    ASD_CASE("data/zip/damaged", test_damaged),
    ASD_CASE("data/zip/lying-size", test_lying_size),
    ASD_CASE("data/zip/mutations", test_mutations),
    ASD_CASE("data/get/place", test_place),
    ASD_CASE("data/get/marker", test_marker),
    ASD_CASE("data/get/record", test_record),
    ASD_CASE("data/get/bad-records", test_bad_records),
    ASD_CASE("data/get/sets", test_sets),
};
ASD_TEST_MAIN(cases)
