/* get.c - see get.h. Every step can be cut off anywhere and done again: a part grows, a whole zip
 * is renamed, a folder is moved into place, and the .done marker comes last. */
#include "data/get.h"

#include "base/file.h"
#include "base/log.h"
#include "data/get_place.h"
#include "data/zip_extract.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_RECORD_BYTES = 16 << 20 };
/* An archive may unpack to 20 times its size and 64 MiB: 16-bit audio packs about 1.2 times, and
 * only a bomb (or silence) more than 20 times. */
enum { MAX_RATIO = 20, RATIO_GRACE = 64 << 20 };

typedef struct job {
    const asd_get_set     *set;
    const asd_get_options *o;
    const asd_get_file    *file;
    char                   store[PATH_MAX]; /* DIR/zip/NAME           */
    char                   dest[PATH_MAX];  /* DIR/dev_data/raw       */
    char                   zip[PATH_MAX];   /* store/KEY              */
    char                   part[PATH_MAX];  /* store/KEY.part-XXXXXXXX */
    char                   marker[PATH_MAX];
} job;

asd_status asd_get_md5(const char *path, char hex[33])
{
    asd_status    st = ASD_OK;
    unsigned char digest[EVP_MAX_MD_SIZE], buf[1 << 16];
    unsigned      n   = 0;
    EVP_MD_CTX   *ctx = EVP_MD_CTX_new();
    FILE         *f   = fopen(path, "re");
    if (!f) {
        st = ASD_FAIL(ASD_E_IO, "%s: cannot read: %s", path, strerror(errno));
        goto done;
    }
    int ok = ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL);
    for (size_t got; ok && (got = fread(buf, 1, sizeof buf, f)) > 0;)
        ok = EVP_DigestUpdate(ctx, buf, got);
    if (ferror(f))
        st = ASD_FAIL(ASD_E_IO, "%s: cannot read: %s", path, strerror(errno));
    else if (!ok || !EVP_DigestFinal_ex(ctx, digest, &n) || n != 16)
        st = ASD_FAIL(ASD_E_IO, "%s: OpenSSL cannot compute an MD5 here (FIPS mode?)", path);
    for (unsigned i = 0; !st && i < 16; ++i)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
done:
    EVP_MD_CTX_free(ctx);
    if (f)
        fclose(f);
    return st;
}

static asd_status rename_file(const char *from, const char *to)
{
    return rename(from, to)
               ? ASD_FAIL(ASD_E_IO, "cannot rename %s to %s: %s", from, to, strerror(errno))
               : ASD_OK;
}

static int64_t file_bytes(const char *path)
{
    struct stat s;
    return stat(path, &s) ? -1 : (int64_t)s.st_size;
}

/* Whether the whole archive lies there already (kept, or left by a failed unpacking). */
static asd_status have_zip(const job *j, int *have)
{
    char md5[33];
    *have = 0;
    if (file_bytes(j->zip) != j->file->size)
        return ASD_OK;
    ASD_TRY(asd_get_md5(j->zip, md5));
    *have = !strcmp(md5, j->file->md5);
    return ASD_OK;
}

/* Downloads and checks. A part of an earlier run may itself be wrong: then once more from the
 * start. */
static asd_status fetch_zip(const job *j)
{
    char          md5[33], bad[PATH_MAX];
    int           have;
    const int64_t before = file_bytes(j->part);
    ASD_TRY(have_zip(j, &have));
    if (have)
        return ASD_OK;
    ASD_TRY(asd_check_room(j->store, j->file->size - (before > 0 ? before : 0), j->file->key));
    if (before > 0)
        asd_note("%s: going on at %.1f of %.1f MB", j->file->key, (double)before / 1e6,
                 (double)j->file->size / 1e6);
    ASD_TRY(asd_http_file(&j->o->http, j->file->url, j->part, j->file->size, j->file->key));
    ASD_TRY(asd_get_md5(j->part, md5));
    if (strcmp(md5, j->file->md5) && before > 0) {
        asd_note("%s: the bytes of an earlier run were wrong, starting over", j->file->key);
        if (truncate(j->part, 0))
            return ASD_FAIL(ASD_E_IO, "%s: %s", j->part, strerror(errno));
        ASD_TRY(asd_http_file(&j->o->http, j->file->url, j->part, j->file->size, j->file->key));
        ASD_TRY(asd_get_md5(j->part, md5));
    }
    if (!strcmp(md5, j->file->md5))
        return rename_file(j->part, j->zip);
    ASD_TRY(asd_path(bad, "%s.bad", j->zip));
    ASD_TRY(rename_file(j->part, bad));
    return ASD_FAIL(ASD_E_DATA,
                    "%s: MD5 %s, the record says %s; kept aside as %s, start again to download "
                    "it anew",
                    j->file->key, md5, j->file->md5, bad);
}

static asd_status unpack(const job *j)
{
    asd_status    st;
    asd_zip_list  list = {0};
    char          tmp[PATH_MAX];
    const int64_t most = j->file->size > INT64_MAX / MAX_RATIO - RATIO_GRACE
                             ? INT64_MAX
                             : j->file->size * MAX_RATIO + RATIO_GRACE;
    ASD_TRY(asd_make_folders(j->dest));
    /* Hidden, so that no reader takes it for a machine; one name, so that a killed run's is found.
     */
    ASD_TRY(asd_path(tmp, "%s/.unpack-%s", j->dest, j->file->key));
    ASD_TRY(asd_remove_tree(tmp));
    ASD_TRY(asd_make_folders(tmp));
    ASD_GO(done, st, asd_zip_extract(j->zip, tmp, most, &list));
    ASD_GO(done, st, asd_place(tmp, j->dest, asd_is_file(j->marker) || j->o->force));
    ASD_GO(done, st, asd_marker_write(j->marker, j->dest, j->file->md5, &list));
done:
    asd_zip_list_clear(&list);
    if (asd_remove_tree(tmp) && !st)
        st = ASD_E_IO;
    return st;
}

static asd_status job_init(job *j, const asd_get_set *set, const char *dir,
                           const asd_get_options *o)
{
    *j = (job){.set = set, .o = o};
    ASD_TRY(asd_path(j->store, "%s/zip/%s", dir, set->name));
    return asd_path(j->dest, "%s/%s", dir, set->folder);
}

static asd_status job_paths(job *j, const asd_get_file *file)
{
    j->file = file;
    ASD_TRY(asd_path(j->zip, "%s/%s", j->store, file->key));
    ASD_TRY(asd_path(j->part, "%s.part-%.8s", j->zip, file->md5));
    return asd_path(j->marker, "%s.done", j->zip);
}

/* One archive, from whatever state it is in. */
static asd_status get_file(const job *j, FILE *out)
{
    int complete;
    ASD_TRY(asd_marker_check(j->marker, j->dest, j->file->md5, &complete));
    if (complete && !j->o->force) {
        fprintf(out, "%-36s %9.1f MB  already there\n", j->file->key, (double)j->file->size / 1e6);
        return ASD_OK;
    }
    if (j->o->dry_run) {
        int64_t part = file_bytes(j->part);
        fprintf(out, "%-36s %9.1f MB  ", j->file->key, (double)j->file->size / 1e6);
        if (file_bytes(j->zip) == j->file->size)
            fprintf(out, "to unpack\n");
        else if (part > 0)
            fprintf(out, "to go on at %.1f MB\n", (double)part / 1e6);
        else
            fprintf(out, "to download\n");
        return ASD_OK;
    }
    ASD_TRY(fetch_zip(j));
    ASD_TRY(unpack(j));
    if (!j->o->keep_zip && unlink(j->zip) && errno != ENOENT)
        return ASD_FAIL(ASD_E_IO, "%s: cannot remove: %s", j->zip, strerror(errno));
    fprintf(out, "%-36s %9.1f MB  unpacked in %s\n", j->file->key, (double)j->file->size / 1e6,
            j->dest);
    fflush(out);
    return ASD_OK;
}

/* "dev_fan.zip", "eval_data_fan_train_r2.zip": the machine stands between underscores. */
static int names_machine(const char *key, const char *machine)
{
    const size_t n = strlen(machine);
    for (const char *p = key; (p = strstr(p, machine)); ++p)
        if ((p == key || p[-1] == '_') && (p[n] == '_' || p[n] == '.'))
            return 1;
    return 0;
}

static int is_wanted(const char *key, const asd_get_options *o)
{
    for (int64_t i = 0; i < o->n_machines; ++i)
        if (names_machine(key, o->machine[i]))
            return 1;
    return o->n_machines == 0;
}

static asd_status check_machines(const asd_get_record *r, const asd_get_set *set,
                                 const asd_get_options *o)
{
    for (int64_t m = 0; m < o->n_machines; ++m) {
        char   keys[1024] = "";
        size_t n          = 0;
        int    found      = 0;
        for (int64_t i = 0; i < r->n; ++i) {
            found |= names_machine(r->file[i].key, o->machine[m]);
            if (n < sizeof keys)
                n += (size_t)snprintf(keys + n, sizeof keys - n, "%s%s", i ? ", " : "",
                                      r->file[i].key);
        }
        if (!found)
            return ASD_FAIL(ASD_E_USAGE, "%s has no archive of machine \"%s\"; it has %s",
                            set->name, o->machine[m], keys);
    }
    return ASD_OK;
}

static asd_status get_files(job *j, const asd_get_record *r, FILE *out)
{
    int64_t failed = 0;
    for (int64_t i = 0; i < r->n; ++i) {
        const asd_get_file *f   = r->file + i;
        const char         *dot = strrchr(f->key, '.');
        if (!dot || strcasecmp(dot, ".zip")) {
            asd_note("%s: not a zip archive, not downloaded", f->key);
            continue;
        }
        if (!is_wanted(f->key, j->o))
            continue;
        ASD_TRY(job_paths(j, f));
        asd_status st = get_file(j, out);
        if (st && st != ASD_E_DATA)
            return st;
        if (st) {
            ++failed;
            asd_warn("%s", asd_error_text());
        }
    }
    if (failed)
        return ASD_FAIL(ASD_E_DATA, "%s: %" PRId64 " archive%s failed", j->set->name, failed,
                        failed == 1 ? "" : "s");
    return ASD_OK;
}

static asd_status read_record(const asd_get_set *set, const asd_get_options *o, asd_get_record *r)
{
    char   url[1024], *text;
    size_t n;
    *r = (asd_get_record){.title = ""};
    if (snprintf(url, sizeof url, "%s/api/records/%" PRId64, o->base_url, set->record) >=
        (int)sizeof url)
        return ASD_FAIL(ASD_E_USAGE, "--base-url is longer than 900 characters");
    ASD_TRY(asd_http_text(&o->http, url, MAX_RECORD_BYTES, &text, &n));
    asd_status st = asd_get_record_parse(text, n, o->base_url, set->record, r);
    free(text);
    return st;
}

/* Two runs in one folder would write the same parts. */
static asd_status lock(const char *store, int *fd)
{
    char path[PATH_MAX];
    ASD_TRY(asd_make_folders(store));
    ASD_TRY(asd_path(path, "%s/.lock", store));
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0)
        return ASD_FAIL(ASD_E_IO, "%s: %s", path, strerror(errno));
    if (flock(*fd, LOCK_EX | LOCK_NB))
        return ASD_FAIL(ASD_E_IO, "%s: another asd-data get is at work in this folder", store);
    return ASD_OK;
}

asd_status asd_get_run(const asd_get_set *set, const char *dir, const asd_get_options *o, FILE *out)
{
    asd_status     st;
    asd_get_record r = {.title = ""};
    job            j;
    int            fd = -1;
    ASD_TRY(asd_http_begin());
    ASD_GO(done, st, job_init(&j, set, dir, o));
    ASD_GO(done, st, read_record(set, o, &r));
    ASD_GO(done, st, check_machines(&r, set, o));
    asd_note("%s (record %" PRId64 ")", r.title[0] ? r.title : set->text, set->record);
    asd_note("licence: %s; cite the data set as the record asks",
             r.licence[0] ? r.licence : "the record names none (DCASE data: CC BY-NC-SA 4.0)");
    if (!o->dry_run)
        ASD_GO(done, st, lock(j.store, &fd));
    ASD_GO(done, st, get_files(&j, &r, out));
done:
    if (fd >= 0)
        close(fd);
    asd_get_record_clear(&r);
    asd_http_end();
    return st;
}
