/* test_checkpoint.c - fetching checkpoints from a folder and from a server on this machine. */
#include "harness.h"

#include "base/file.h"
#include "base/log.h"
#include "data/checkpoint.h"
#include "data/get.h"
#include "nn/weights.h"
#include "server.h"

#include <ctype.h>
#include <limits.h>

enum { RECORD, FILE_ROUTE, N_ROUTES };

typedef struct bench {
    server                 server;
    route                  route[N_ROUTES];
    char                  *bytes, record[1000], sha256[65], md5[33], source[PATH_MAX], url[200];
    size_t                 n;
    const char            *dir;
    asd_checkpoint         c;
    asd_checkpoint_options o;
} bench;

static void write_record(bench *b, const char *md5)
{
    snprintf(b->record, sizeof b->record,
             "{\"metadata\": {}, \"files\": [{\"key\": \"other.pt\", \"size\": 9, \"checksum\": "
             "\"md5:%s\"}, {\"key\": \"w.pt\", \"size\": %zu, \"checksum\": \"md5:%s\"}]}",
             md5, b->n, md5);
    b->route[RECORD].body = b->record;
    b->route[RECORD].size = strlen(b->record);
}

static int setup(void **state)
{
    bench *b = calloc(1, sizeof *b);
    assert_ok(asd_path(b->source, "%s/tests/golden/torch_zip.pt", asd_test_source()));
    if (*b->source != '/') { /* file:// wants a whole path */
        char *real = realpath(b->source, NULL);
        assert_ok(asd_path(b->source, "%s", real));
        free(real);
    }
    assert_ok(asd_read_file(b->source, 1 << 20, &b->bytes, &b->n));
    assert_ok(asd_weights_hash(b->source, b->sha256));
    assert_ok(asd_get_md5(b->source, b->md5));
    b->dir           = asd_test_folder();
    b->route[RECORD] = (route){.path = "/api/records/77"};
    b->route[FILE_ROUTE] =
        (route){.path = "/api/records/77/files/w.pt/content", .body = b->bytes, .size = b->n};
    write_record(b, b->md5);
    server_start(&b->server, b->route, N_ROUTES);
    snprintf(b->url, sizeof b->url, "%s/api/records/77/files/w.pt/content", b->server.base);
    b->c = (asd_checkpoint){"test", "w.pt", "beats", "MIT", (int64_t)b->n, b->sha256, 0, "nowhere"};
    b->o = (asd_checkpoint_options){
        .http = {.retries = 3, .wait_s = 0.01}, .base_url = b->server.base, .url = b->url};
    *state = b;
    asd_log_setup("test", ASD_LOG_WARN, 0);
    return 0;
}

static int teardown(void **state)
{
    bench *b = *state;
    server_stop(&b->server);
    free(b->bytes);
    free(b);
    return 0;
}

static asd_status get(bench *b, char text[2000])
{
    char      *buf = NULL;
    size_t     n;
    FILE      *f  = open_memstream(&buf, &n);
    asd_status st = asd_checkpoint_get(&b->c, b->dir, &b->o, f);
    fclose(f);
    snprintf(text, 2000, "%s", buf);
    free(buf);
    return st;
}

static int is_there(const bench *b)
{
    char path[PATH_MAX];
    assert_ok(asd_path(path, "%s/w.pt", b->dir));
    return asd_is_file(path);
}

static int entries(const bench *b)
{
    asd_names names;
    assert_ok(asd_list_folder(b->dir, &names));
    const int n = (int)names.n;
    asd_names_free(&names);
    return n;
}

static void test_good(void **state)
{
    bench *b = *state;
    char   text[2000];
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, b->sha256));
    assert_true(asd_test_contains(text, "  verified"));
    assert_int_equal(entries(b), 1);
    const int requests = b->route[FILE_ROUTE].requests;
    b->o.url           = NULL; /* what is there needs no address */
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "already there"));
    assert_int_equal(b->route[FILE_ROUTE].requests, requests);
    b->o.url   = b->url;
    b->o.force = 1;
    assert_ok(get(b, text));
    assert_int_equal(b->route[FILE_ROUTE].requests, requests + 1);
}

static void test_resumed(void **state)
{
    bench *b = *state;
    char   text[2000];
    b->route[FILE_ROUTE].cut_times = 2;
    b->route[FILE_ROUTE].cut_after = 1000;
    assert_ok(get(b, text));
    assert_int_equal(b->route[FILE_ROUTE].last_range, 2000);
    assert_true(is_there(b));
}

static void test_from_file(void **state)
{
    bench *b = *state;
    char   text[2000], url[PATH_MAX + 8];
    snprintf(url, sizeof url, "file://%s", b->source);
    b->o.url = url;
    assert_ok(get(b, text));
    assert_true(is_there(b));
    b->o.force = 1;
    b->o.url   = "file:///nonexistent/w.pt";
    assert_fails(get(b, text), ASD_E_DATA, "/nonexistent/w.pt");
    assert_true(is_there(b)); /* the good one stays */
}

/* Another file than the promised one leaves nothing behind. */
static void test_wrong_hash(void **state)
{
    bench *b = *state;
    char   text[2000], wrong[65];
    memcpy(wrong, b->sha256, 65);
    wrong[5]    = wrong[5] == '0' ? '1' : '0';
    b->c.sha256 = wrong;
    assert_fails(get(b, text), ASD_E_DATA, b->sha256);
    assert_true(asd_test_contains(asd_error_text(), wrong));
    assert_int_equal(entries(b), 0);
    /* One that lies there already is not taken either. */
    b->c.sha256 = b->sha256;
    assert_ok(get(b, text));
    b->c.sha256 = wrong;
    assert_fails(get(b, text), ASD_E_DATA, "the manifest says");
}

static void test_record(void **state)
{
    bench *b = *state;
    char   text[2000], wrong[33];
    b->c.sha256 = "";
    b->c.record = 77;
    b->c.bytes  = 0;
    b->o.url    = NULL;
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "  verified"));
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "already there"));
    memcpy(wrong, b->md5, 33);
    wrong[3] = wrong[3] == '0' ? '1' : '0';
    write_record(b, wrong);
    assert_fails(get(b, text), ASD_E_DATA, "its record says");
    b->c.file = "absent.pt";
    assert_fails(get(b, text), ASD_E_DATA, "record 77 has no file absent.pt");
}

static void test_unverified(void **state)
{
    bench *b = *state;
    char   text[2000];
    b->c.sha256 = "";
    b->c.bytes  = 0; /* the size is then asked for */
    assert_fails(get(b, text), ASD_E_USAGE, "--allow-unverified");
    assert_int_equal(entries(b), 0);
    b->o.allow_unverified = 1;
    assert_ok(get(b, text));
    assert_true(asd_test_contains(text, "NOT verified"));
    assert_true(asd_test_contains(text, b->sha256)); /* to be pinned */
    assert_true(is_there(b));
}

/* Even then it must be a checkpoint. */
static void test_no_checkpoint(void **state)
{
    bench *b = *state;
    char   text[2000];
    b->c.sha256               = "";
    b->c.bytes                = 0;
    b->o.allow_unverified     = 1;
    b->route[FILE_ROUTE].body = "<html>please log in</html>";
    b->route[FILE_ROUTE].size = 26;
    assert_fails(get(b, text), ASD_E_DATA, "no checkpoint that is known here");
    assert_int_equal(entries(b), 0);
}

static void test_no_address(void **state)
{
    bench *b = *state;
    char   text[2000];
    b->o.url = NULL;
    assert_fails(get(b, text), ASD_E_USAGE, "give --url of w.pt");
    b->o.url          = "http://127.0.0.1:1/w.pt";
    b->o.http.retries = 0;
    assert_fails(get(b, text), ASD_E_IO, "127.0.0.1");
    b->o.dry_run = 1;
    assert_ok(get(b, text));
    assert_false(is_there(b));
}

/* The manifest itself: plain names, hashes of 64 digits, no name twice. */
static void test_manifest(void **state)
{
    (void)state;
    for (const asd_checkpoint *c = asd_checkpoints; c->name; ++c) {
        assert_ptr_equal(asd_checkpoint_find(c->name), c); /* the first of this name */
        assert_null(strchr(c->file, '/'));
        assert_true(strlen(c->licence) && strlen(c->origin) && c->bytes >= 0);
        const size_t n = strlen(c->sha256);
        assert_true(n == 0 || n == 64);
        for (size_t i = 0; i < n; ++i)
            assert_true(isdigit((unsigned char)c->sha256[i]) ||
                        (c->sha256[i] >= 'a' && c->sha256[i] <= 'f'));
        const asd_get_set *set;
        assert_fails(asd_get_find(c->name, &set), ASD_E_USAGE, "unknown"); /* no data set's name */
    }
    assert_null(asd_checkpoint_find("nothing"));
}

static void test_program(void **state)
{
    bench      *b   = *state;
    const char *bin = getenv("ASD_BIN");
    char        line[3 * PATH_MAX], *out;
    bin = bin && *bin ? bin : "build";
    snprintf(line, sizeof line, "%s/asd-data get --list", bin);
    assert_int_equal(asd_test_shell(line, &out), 0);
    assert_true(asd_test_contains(out, "BEATs_iter3_plus_AS2M.pt"));
    free(out);
    snprintf(line, sizeof line, "%s/asd-data get eat-epoch10 %s --url '%s' 2>&1", bin, b->dir,
             b->url);
    assert_int_equal(asd_test_shell(line, &out), 2);
    assert_true(asd_test_contains(out, "no checksum of EAT-base_epoch10_pt.pt is known"));
    free(out);
    snprintf(line, sizeof line, "%s/asd-data get eat-epoch10 %s --url '%s' --allow-unverified 2>&1",
             bin, b->dir, b->url);
    assert_int_equal(asd_test_shell(line, &out), 0);
    assert_true(asd_test_contains(out, b->sha256));
    free(out);
    snprintf(line, sizeof line, "%s/asd-data get beats-iter3 %s --url '%s' 2>&1", bin, b->dir,
             b->url);
    assert_int_equal(asd_test_shell(line, &out), 3);
    assert_true(asd_test_contains(out, "the manifest says 8d1b2340"));
    free(out);
    snprintf(line, sizeof line, "%s/asd-data get dcase2026-dev %s --url x 2>&1", bin, b->dir);
    assert_int_equal(asd_test_shell(line, &out), 2);
    free(out);
}

#define GET_CASE(name, function)                                                                   \
    {                                                                                              \
        name, function, setup, teardown, NULL                                                      \
    }
static const struct CMUnitTest cases[] = {
    GET_CASE("checkpoint/get/good", test_good),
    GET_CASE("checkpoint/get/resumed", test_resumed),
    GET_CASE("checkpoint/get/from-file", test_from_file),
    GET_CASE("checkpoint/get/wrong-hash", test_wrong_hash),
    GET_CASE("checkpoint/get/record", test_record),
    GET_CASE("checkpoint/get/unverified", test_unverified),
    GET_CASE("checkpoint/get/no-checkpoint", test_no_checkpoint),
    GET_CASE("checkpoint/get/no-address", test_no_address),
    GET_CASE("checkpoint/get/program", test_program),
    ASD_CASE("checkpoint/manifest", test_manifest),
};
ASD_TEST_MAIN(cases)
