/* test_get.c - asd-data get against a server on this machine that cuts, lies and refuses. */
#include "harness.h"

#include "base/log.h"
#include "data/dataset.h"
#include "data/get.h"
#include "server.h"
#include "zips.h"

#include <openssl/evp.h>

enum { RECORD, FAN, VALVE, N_ROUTES, CLIP = 3000 };

/* A server with one record of two archives, a folder to download to, and quick retries. */
typedef struct bench {
    server             server;
    route              route[N_ROUTES];
    char              *zip[2], record[2000];
    size_t             size[2];
    char               md5[2][33];
    const char        *dir;
    const asd_get_set *set;
    asd_get_options    o;
} bench;

static const char *at(const bench *b, const char *name)
{
    static char path[4][PATH_MAX];
    static int  turn;
    turn = (turn + 1) % 4;
    assert_ok(asd_path(path[turn], "%s/%s", b->dir, name));
    return path[turn];
}

static void md5_hex(const void *data, size_t size, char hex[33])
{
    unsigned char digest[16];
    unsigned      n;
    assert_int_equal(EVP_Digest(data, size, digest, &n, EVP_md5(), NULL), 1);
    for (int i = 0; i < 16; ++i)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
}

static void write_record(bench *b)
{
    snprintf(
        b->record, sizeof b->record,
        "{\"metadata\": {\"title\": \"Test set\", \"license\": {\"id\": \"cc-test\"}}, \"files\": ["
        "{\"key\": \"dev_fan.zip\", \"size\": %zu, \"checksum\": \"md5:%s\","
        " \"links\": {\"self\": \"https://zenodo.org/z/fan\"}},"
        "{\"key\": \"README.md\", \"size\": 9, \"checksum\": \"md5:%s\"},"
        "{\"key\": \"dev_valve_r2.zip\", \"size\": %zu, \"checksum\": \"md5:%s\","
        " \"links\": {\"self\": \"https://zenodo.org/z/valve\"}}]}",
        b->size[0], b->md5[0], b->md5[0], b->size[1], b->md5[1]);
    b->route[RECORD].body = b->record;
    b->route[RECORD].size = strlen(b->record);
}

/* Bytes that do not pack, so that an archive is longer than what the socket holds at once. */
static void use_zip(bench *b, int k, const entry *e, int n)
{
    free(b->zip[k]);
    b->zip[k] = make_zip(at(b, "make.zip"), e, n, &b->size[k]);
    assert_int_equal(unlink(at(b, "make.zip")), 0);
    md5_hex(b->zip[k], b->size[k], b->md5[k]);
    b->route[FAN + k].body = b->zip[k];
    b->route[FAN + k].size = b->size[k];
    write_record(b);
}

static int setup(void **state)
{
    static char clip[4][CLIP];
    bench      *b = calloc(1, sizeof *b);
    uint32_t    x = 1;
    for (int i = 0; i < 4 * CLIP; ++i)
        clip[i / CLIP][i % CLIP] = (char)((x = x * 1664525 + 1013904223) >> 24);
    const entry fan[]   = {{"fan/train/section_00_source_train_normal_0000_.wav", clip[0], CLIP, 0},
                           {"fan/test/section_00_0000.wav", clip[1], CLIP, 0},
                           {"fan/attributes_00.csv", "file_name\n", 10, 0}};
    const entry valve[] = {
        {"valve/train/section_00_source_train_normal_0000_.wav", clip[2], CLIP, 0},
        {"valve/test/section_00_0000.wav", clip[3], CLIP, 0}};
    b->dir           = asd_test_folder();
    b->route[RECORD] = (route){.path = "/api/records/19336329"};
    b->route[FAN]    = (route){.path = "/z/fan"};
    b->route[VALVE]  = (route){.path = "/z/valve"};
    use_zip(b, 0, fan, 3);
    use_zip(b, 1, valve, 2);
    assert_ok(asd_get_find("dcase2026-dev", &b->set));
    server_start(&b->server, b->route, N_ROUTES);
    b->o   = (asd_get_options){.http = {.retries = 3, .wait_s = 0.01}, .base_url = b->server.base};
    *state = b;
    asd_log_setup("test", ASD_LOG_WARN, 0);
    return 0;
}

static int teardown(void **state)
{
    bench *b = *state;
    server_stop(&b->server);
    free(b->zip[0]);
    free(b->zip[1]);
    free(b);
    return 0;
}

static asd_status get(bench *b, char text[2000])
{
    char      *buf = NULL;
    size_t     n;
    FILE      *f  = open_memstream(&buf, &n);
    asd_status st = asd_get_run(b->set, b->dir, &b->o, f);
    fclose(f);
    if (text)
        snprintf(text, 2000, "%s", buf);
    free(buf);
    return st;
}

static void assert_complete(const bench *b)
{
    asd_dataset d;
    assert_ok(asd_dataset_open(b->dir, NULL, 0, &d));
    assert_int_equal(d.n, 2);
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(d.machine[i].n_train, 1);
        assert_int_equal(d.machine[i].n_test, 1);
        char  *bytes;
        size_t n;
        assert_ok(asd_read_file(d.machine[i].train[0].path, 1 << 20, &bytes, &n));
        assert_int_equal(n, CLIP);
        free(bytes);
    }
    asd_dataset_clear(&d);
}

static char *part_of(const bench *b, int k)
{
    static char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/zip/dcase2026-dev/%s.part-%.8s", b->dir,
                       k ? "dev_valve_r2.zip" : "dev_fan.zip", b->md5[k]));
    return path;
}

static void test_good(void **state)
{
    bench *b = *state;
    char   text[2000];
    b->o.dry_run = 1;
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "to download"));
    assert_false(asd_is_folder(at(b, "zip")));
    b->o.dry_run = 0;
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "dev_fan.zip"));
    assert_true(asd_test_contains(text, "unpacked in"));
    assert_complete(b);
    assert_false(asd_is_file(at(b, "zip/dcase2026-dev/dev_fan.zip")));
    assert_false(asd_is_file(part_of(b, 0)));
    assert_false(asd_is_folder(at(b, "dev_data/raw/.unpack-dev_fan.zip")));
    /* Again: only the record is asked for. */
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "already there"));
    assert_false(asd_test_contains(text, "unpacked"));
    assert_int_equal(b->route[FAN].requests, 1);
    assert_int_equal(b->route[RECORD].requests, 3);
    /* A lost and a shortened clip come back; the other archive is left alone. */
    assert_int_equal(unlink(at(b, "dev_data/raw/fan/test/section_00_0000.wav")), 0);
    assert_int_equal(
        truncate(at(b, "dev_data/raw/fan/train/section_00_source_train_normal_0000_.wav"), 7), 0);
    b->o.keep_zip = 1;
    assert_ok(get(b, NULL));
    assert_complete(b);
    assert_int_equal(b->route[FAN].requests, 2);
    assert_int_equal(b->route[VALVE].requests, 1);
    assert_true(asd_is_file(at(b, "zip/dcase2026-dev/dev_fan.zip")));
    /* A kept zip is used again. */
    assert_int_equal(unlink(at(b, "dev_data/raw/fan/test/section_00_0000.wav")), 0);
    assert_ok(get(b, NULL));
    assert_complete(b);
    assert_int_equal(b->route[FAN].requests, 2);
}

static void test_one_machine(void **state)
{
    bench *b         = *state;
    char  *machine[] = {"valve"};
    char   text[2000];
    b->o.machine    = machine;
    b->o.n_machines = 1;
    assert_ok(get(b, text));
    assert_false(asd_test_contains(text, "fan"));
    assert_int_equal(b->route[FAN].requests, 0);
    assert_true(asd_is_folder(at(b, "dev_data/raw/valve")));
    machine[0] = "alve";
    assert_fails(get(b, NULL), ASD_E_USAGE, "no archive of machine \"alve\"; it has dev_fan.zip");
}

/* The archive with the wrong hash is kept aside and named, the other one is unpacked. */
static void test_wrong_hash(void **state)
{
    bench *b = *state;
    char   text[2000];
    b->zip[0][100] ^= 1;
    assert_fails(get(b, text), ASD_E_DATA, "dcase2026-dev: 1 archive failed");
    assert_false(asd_test_contains(text, "dev_fan.zip"));
    assert_true(asd_is_folder(at(b, "dev_data/raw/valve")));
    assert_false(asd_is_folder(at(b, "dev_data/raw/fan")));
    assert_true(asd_is_file(at(b, "zip/dcase2026-dev/dev_fan.zip.bad")));
    assert_int_equal(b->route[FAN].requests, 1);
    b->zip[0][100] ^= 1;
    assert_ok(get(b, NULL));
    assert_complete(b);
}

static void test_cut_and_resumed(void **state)
{
    bench *b                = *state;
    b->route[FAN].cut_times = 3;
    b->route[FAN].cut_after = 1000;
    assert_ok(get(b, NULL));
    assert_complete(b);
    assert_int_equal(b->route[FAN].requests, 4);
    assert_int_equal(b->route[FAN].last_range, 3000);
}

static void test_resumed_next_run(void **state)
{
    bench *b                = *state;
    b->o.http.retries       = 0;
    b->route[FAN].cut_times = 1;
    b->route[FAN].cut_after = 1234;
    assert_fails(get(b, NULL), ASD_E_IO, "/z/fan: ");
    struct stat s;
    assert_int_equal(stat(part_of(b, 0), &s), 0);
    assert_int_equal(s.st_size, 1234);
    assert_false(asd_is_folder(at(b, "dev_data/raw/fan")));
    char text[2000];
    b->o.dry_run = 1;
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "to go on at 0.0 MB"));
    b->o.dry_run = 0;
    assert_ok(get(b, NULL));
    assert_int_equal(b->route[FAN].last_range, 1234);
    assert_complete(b);
}

/* What an earlier run left is not what the server has: found by the hash, fetched anew. */
static void test_bad_part(void **state)
{
    bench *b = *state;
    assert_ok(asd_make_folders(at(b, "zip/dcase2026-dev")));
    assert_ok(asd_write_file(part_of(b, 0), "these are other bytes", 21));
    assert_ok(get(b, NULL));
    assert_complete(b);
    assert_int_equal(b->route[FAN].requests, 2);
    assert_int_equal(b->route[FAN].last_range, -1);
    /* longer than the archive */
    char *longer = calloc(1, b->size[1] + 100);
    assert_ok(asd_remove_tree(at(b, "dev_data/raw/valve")));
    assert_ok(asd_write_file(part_of(b, 1), longer, b->size[1] + 100));
    free(longer);
    assert_ok(get(b, NULL));
    assert_complete(b);
}

static void test_no_ranges(void **state)
{
    bench *b                   = *state;
    b->route[FAN].ignore_range = 1;
    b->route[FAN].cut_times    = 1;
    b->route[FAN].cut_after    = 2000;
    assert_ok(get(b, NULL));
    assert_complete(b);
    assert_int_equal(b->route[FAN].requests, 2);
    assert_int_equal(b->route[FAN].last_range, 2000);
}

static void test_wrong_range(void **state)
{
    bench *b                  = *state;
    b->route[FAN].wrong_range = 1;
    b->route[FAN].cut_times   = 1;
    b->route[FAN].cut_after   = 2000;
    assert_fails(get(b, NULL), ASD_E_DATA, "1 archive failed");
    assert_false(asd_is_folder(at(b, "dev_data/raw/fan")));
}

static void *change_tag(void *ctx)
{
    route *r = ctx;
    while (r->cut_times)
        usleep(1000);
    usleep(50000);
    r->etag = "\"two\"";
    return NULL;
}

/* The server's file changes between the attempts: the tag says so, and it starts over. */
static void test_changed_in_between(void **state)
{
    bench *b                = *state;
    b->route[FAN].etag      = "\"one\"";
    b->route[FAN].cut_times = 1;
    b->route[FAN].cut_after = 2000;
    assert_ok(get(b, NULL));
    assert_int_equal(b->route[FAN].last_range, 2000);
    assert_complete(b);
    assert_ok(asd_remove_tree(at(b, "dev_data/raw/fan")));
    b->o.http.wait_s        = 0.3;
    b->route[FAN].cut_times = 1;
    pthread_t changer;
    assert_int_equal(pthread_create(&changer, NULL, change_tag, &b->route[FAN]), 0);
    assert_ok(get(b, NULL));
    pthread_join(changer, NULL);
    assert_complete(b);
}

static void test_statuses(void **state)
{
    bench *b                     = *state;
    b->route[FAN].fail_times     = 2;
    b->route[FAN].fail_status    = 503;
    b->route[RECORD].fail_times  = 1;
    b->route[RECORD].fail_status = 429;
    assert_ok(get(b, NULL));
    assert_complete(b);
    assert_int_equal(b->route[FAN].requests, 3);
    assert_int_equal(b->route[RECORD].requests, 2);

    b->route[RECORD].fail_times  = 100;
    b->route[RECORD].fail_status = 503;
    b->route[RECORD].requests    = 0;
    assert_fails(get(b, NULL), ASD_E_IO, "the server answers 503");
    assert_int_equal(b->route[RECORD].requests, 4); /* and 3 retries */
    b->route[RECORD].fail_status = 404;
    b->route[RECORD].requests    = 0;
    assert_fails(get(b, NULL), ASD_E_DATA, "records/19336329: the server answers 404 (not found)");
    assert_int_equal(b->route[RECORD].requests, 1);
    b->route[RECORD].fail_times = 0;

    assert_ok(asd_remove_tree(at(b, "dev_data")));
    b->route[VALVE].fail_times  = 1;
    b->route[VALVE].fail_status = 403;
    assert_fails(get(b, NULL), ASD_E_DATA, "1 archive failed");
    assert_true(asd_is_folder(at(b, "dev_data/raw/fan")));
    assert_false(asd_is_folder(at(b, "dev_data/raw/valve")));
}

static void test_retry_after(void **state)
{
    bench *b                  = *state;
    b->route[FAN].fail_times  = 1;
    b->route[FAN].fail_status = 429;
    b->route[FAN].retry_after = 1;
    double begin              = asd_now();
    assert_ok(get(b, NULL));
    assert_true(asd_now() - begin >= 0.99);
}

static void test_redirect(void **state)
{
    bench *b               = *state;
    b->route[FAN].location = "/z/valve";
    b->size[0]             = b->size[1];
    memcpy(b->md5[0], b->md5[1], 33);
    write_record(b);
    assert_ok(get(b, NULL));
    assert_true(asd_is_folder(at(b, "dev_data/raw/valve")));
    b->route[RECORD].location = "/api/records/19336329";
    assert_fails(get(b, NULL), ASD_E_IO, "redirects");
    b->route[RECORD].location = "file:///etc/passwd";
    assert_fails(get(b, NULL), ASD_E_IO, "file");
}

static void test_no_server(void **state)
{
    bench *b      = *state;
    b->o.base_url = "http://127.0.0.1:1";
    assert_fails(get(b, NULL), ASD_E_IO, "http://127.0.0.1:1/api/records/19336329: ");
    assert_false(asd_is_folder(at(b, "zip")));
}

static void test_more_than_recorded(void **state)
{
    bench *b = *state;
    b->size[0] -= 10;
    write_record(b);
    assert_fails(get(b, NULL), ASD_E_DATA, "1 archive failed");
    b->size[0] += 20;
    write_record(b);
    assert_fails(get(b, NULL), ASD_E_DATA, "1 archive failed"); /* and not tried for ever */
    assert_false(asd_is_folder(at(b, "dev_data/raw/fan")));
}

static void test_bad_archives(void **state)
{
    bench      *b      = *state;
    const entry evil[] = {{"fan/train/section_00_source_train_normal_0000_.wav", "abc", 3, 0},
                          {"../../../evil.txt", "gotcha", 6, 0}};
    use_zip(b, 0, evil, 2);
    assert_fails(get(b, NULL), ASD_E_DATA, "1 archive failed");
    assert_false(asd_is_folder(at(b, "dev_data/raw/fan")));
    assert_false(asd_is_file(at(b, "evil.txt")));
    assert_false(asd_is_file(at(b, "../evil.txt")));
    assert_false(asd_is_folder(at(b, "dev_data/raw/.unpack-dev_fan.zip")));
    /* A record whose archive is itself cut: the hash holds, the zip does not. */
    b->size[0] -= 30;
    b->route[FAN].size = b->size[0];
    md5_hex(b->zip[0], b->size[0], b->md5[0]);
    write_record(b);
    assert_fails(get(b, NULL), ASD_E_DATA, "1 archive failed");
    assert_false(asd_is_folder(at(b, "dev_data/raw/fan")));
    /* Another archive's clip would be overwritten. */
    const entry same[] = {{"valve/test/section_00_0000.wav", "other", 5, 0}};
    use_zip(b, 0, same, 1);
    assert_fails(get(b, NULL), ASD_E_DATA, "1 archive failed");
    struct stat s;
    assert_int_equal(stat(at(b, "dev_data/raw/valve/test/section_00_0000.wav"), &s), 0);
    assert_int_equal(s.st_size, CLIP);
}

/* The program: exit codes, a signal, a disk that is full (here: a limit on file sizes). */
static void test_program(void **state)
{
    bench      *b   = *state;
    const char *bin = getenv("ASD_BIN");
    char        command[3 * PATH_MAX], *out;
    if (!bin)
        skip(); /* run by hand, outside ctest */
    snprintf(command, sizeof command, "%s/asd-data get --base-url %s dcase2026-dev %s 2>&1", bin,
             b->server.base, b->dir);
    char *full;
    assert_true(asprintf(&full, "trap '' XFSZ; ulimit -f 2; %s", command) > 0);
    assert_int_equal(asd_test_shell(full, &out), 1);
    assert_true(asd_test_contains(out, "cannot write byte"));
    assert_true(asd_test_contains(out, "make room and start again to go on"));
    free(full);
    free(out);
    b->route[FAN].stall = 1;
    /* --foreground: no SIGCONT behind the SIGTERM. It took away the SIGSTOP by which LeakSanitizer
     * holds a program that is just ending, and both waited for ever. */
    assert_true(asprintf(&full, "timeout --foreground --preserve-status -s TERM 0.5 %s", command) >
                0);
    assert_int_equal(asd_test_shell(full, &out), 75);
    assert_true(asd_test_contains(out, "stopped by SIGTERM; start again to go on"));
    free(full);
    free(out);
    b->route[FAN].stall = 0;
    assert_int_equal(asd_test_shell(command, &out), 0);
    assert_true(asd_test_contains(out, "licence: cc-test"));
    assert_true(asd_test_contains(out, "README.md: not a zip archive, not downloaded"));
    free(out);
    assert_complete(b);
    snprintf(command, sizeof command, "%s/asd-data get dcase2026-dav %s 2>&1", bin, b->dir);
    assert_int_equal(asd_test_shell(command, &out), 2);
    assert_true(asd_test_contains(out, "did you mean \"dcase2026-dev\"?"));
    free(out);
    snprintf(command, sizeof command, "%s/asd-data get --list", bin);
    assert_int_equal(asd_test_shell(command, &out), 0);
    assert_true(asd_test_contains(out, "dcase2020-eval 3841772"));
    free(out);
}

#define GET_CASE(name, function)                                                                   \
    {                                                                                              \
        name, function, setup, teardown, NULL                                                      \
    }
static const struct CMUnitTest cases[] = {
    GET_CASE("get/good", test_good),
    GET_CASE("get/one-machine", test_one_machine),
    GET_CASE("get/wrong-hash", test_wrong_hash),
    GET_CASE("get/cut-and-resumed", test_cut_and_resumed),
    GET_CASE("get/resumed-in-the-next-run", test_resumed_next_run),
    GET_CASE("get/bad-part", test_bad_part),
    GET_CASE("get/server-ignores-ranges", test_no_ranges),
    GET_CASE("get/server-sends-wrong-range", test_wrong_range),
    GET_CASE("get/changed-in-between", test_changed_in_between),
    GET_CASE("get/statuses", test_statuses),
    GET_CASE("get/retry-after", test_retry_after),
    GET_CASE("get/redirect", test_redirect),
    GET_CASE("get/no-server", test_no_server),
    GET_CASE("get/size-differs-from-record", test_more_than_recorded),
    GET_CASE("get/bad-archives", test_bad_archives),
    GET_CASE("get/program", test_program),
};
ASD_TEST_MAIN(cases)
