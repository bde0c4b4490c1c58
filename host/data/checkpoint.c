/* checkpoint.c - see checkpoint.h. */
#include "data/checkpoint.h"

#include "base/file.h"
#include "base/log.h"
#include "data/get.h"
#include "data/zip_extract.h"
#include "nn/weights.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const asd_checkpoint asd_checkpoints[] = {
#define ASD_CHECKPOINT(name, file, architecture, licence, bytes, sha256, record, origin)           \
    {name, file, architecture, licence, bytes, sha256, record, origin},
#include "checkpoints/manifest.def"
#undef ASD_CHECKPOINT
    {.name = NULL}};

enum { MAX_RECORD_BYTES = 16 << 20 };

const asd_checkpoint *asd_checkpoint_find(const char *name)
{
    for (const asd_checkpoint *c = asd_checkpoints; c->name; ++c)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

/* One run: where from, where to, and what makes it good. */
typedef struct fetch {
    const asd_checkpoint         *c;
    const asd_checkpoint_options *o;
    const char                   *dir;
    char                          path[PATH_MAX], part[PATH_MAX];
    char                         *url;
    int64_t                       bytes;   /* 0: not known */
    char                          md5[33]; /* of the record; "" */
} fetch;

static int is_verified(const fetch *f)
{
    return *f->c->sha256 || *f->md5;
}

/* --- where from --- */

static asd_status ask_record(fetch *f)
{
    char           url[1024], *text = NULL;
    size_t         n = 0;
    asd_get_record r = {.title = ""};
    snprintf(url, sizeof url, "%s/api/records/%" PRId64, f->o->base_url, f->c->record);
    ASD_TRY(asd_http_text(&f->o->http, url, MAX_RECORD_BYTES, &text, &n));
    asd_status st = asd_get_record_parse(text, n, f->o->base_url, f->c->record, &r);
    free(text);
    for (int64_t i = 0; !st && i < r.n; ++i) {
        const asd_get_file *file = &r.file[i];
        if (strcmp(file->key, f->c->file))
            continue;
        memcpy(f->md5, file->md5, sizeof f->md5);
        f->bytes = file->size;
        if (!f->url && !(f->url = strdup(file->url)))
            st = ASD_FAIL(ASD_E_OOM, "no memory for an address");
    }
    if (!st && !*f->md5)
        st = ASD_FAIL(ASD_E_DATA, "record %" PRId64 " has no file %s", f->c->record, f->c->file);
    if (!st && f->c->bytes && f->c->bytes != f->bytes)
        st = ASD_FAIL(ASD_E_DATA,
                      "record %" PRId64 ": %s has %" PRId64 " bytes, the manifest says %" PRId64,
                      f->c->record, f->c->file, f->bytes, f->c->bytes);
    asd_get_record_clear(&r);
    return st;
}

static asd_status find_source(fetch *f)
{
    const int given = f->o->url && *f->o->url;
    if (given && !(f->url = strdup(f->o->url)))
        return ASD_FAIL(ASD_E_OOM, "no memory for an address");
    if (!given && !f->c->record)
        return ASD_FAIL(ASD_E_USAGE,
                        "%s: no lasting address is known; look at %s and give --url of %s%s",
                        f->c->name, f->c->origin, f->c->file,
                        *f->c->sha256 ? ", any mirror's: its SHA-256 is checked" : "");
    /* A record is asked even if its file comes from elsewhere: it knows the checksum. */
    if (f->c->record && !(given && *f->c->sha256))
        ASD_TRY(ask_record(f));
    if (is_verified(f) || f->o->allow_unverified)
        return ASD_OK;
    return ASD_FAIL(ASD_E_USAGE,
                    "%s: no checksum of %s is known, so nothing would tell it from another file; "
                    "--allow-unverified takes what the address gives",
                    f->c->name, f->c->file);
}

/* --- what came --- */

/* The file's SHA-256 in hex; ASD_E_DATA when it is not the promised one. */
static asd_status check_sum(const fetch *f, const char *path, char hex[65])
{
    char md5[33];
    ASD_TRY(asd_weights_hash(path, hex));
    if (*f->c->sha256 && strcmp(hex, f->c->sha256))
        return ASD_FAIL(ASD_E_DATA, "%s: SHA-256 %s, the manifest says %s", path, hex,
                        f->c->sha256);
    if (*f->c->sha256 || !*f->md5)
        return ASD_OK;
    ASD_TRY(asd_get_md5(path, md5));
    return strcmp(md5, f->md5)
               ? ASD_FAIL(ASD_E_DATA, "%s: MD5 %s, its record says %s", path, md5, f->md5)
               : ASD_OK;
}

static asd_status check_opens(const char *path)
{
    asd_weights w;
    asd_status  st = asd_weights_open(path, &w);
    asd_weights_close(&w);
    return st;
}

static int64_t bytes_of(const char *path)
{
    struct stat s;
    return stat(path, &s) ? -1 : (int64_t)s.st_size;
}

static asd_status copy_file(const char *from, const char *to)
{
    char   buffer[1 << 16];
    FILE  *in = fopen(from, "re"), *out = NULL;
    size_t n;
    if (!in)
        return ASD_FAIL(errno == ENOENT ? ASD_E_DATA : ASD_E_IO, "%s: cannot read: %s", from,
                        strerror(errno));
    int ok = (out = fopen(to, "we")) != NULL;
    while (ok && (n = fread(buffer, 1, sizeof buffer, in)) > 0)
        ok = fwrite(buffer, 1, n, out) == n;
    ok            = ok && !ferror(in) && !fflush(out) && !fsync(fileno(out));
    const int why = errno;
    fclose(in);
    if (out && fclose(out))
        ok = 0;
    return ok ? ASD_OK : ASD_FAIL(ASD_E_IO, "cannot copy %s to %s: %s", from, to, strerror(why));
}

/* Brings the bytes to f->part. */
static asd_status bring(fetch *f)
{
    if (!strncmp(f->url, "file://", 7))
        return copy_file(f->url + 7, f->part);
    if (!f->bytes)
        ASD_TRY(asd_http_size(&f->o->http, f->url, &f->bytes));
    const int64_t have = bytes_of(f->part);
    ASD_TRY(asd_check_room(f->dir, f->bytes - (have > 0 ? have : 0), f->c->file));
    return asd_http_file(&f->o->http, f->url, f->part, f->bytes, f->c->file);
}

static asd_status fetch_it(fetch *f, char hex[65])
{
    const int64_t before = bytes_of(f->part);
    ASD_TRY(bring(f));
    asd_status st = check_sum(f, f->part, hex);
    if (st == ASD_E_DATA && before > 0) { /* the bytes of an earlier run may be the wrong ones */
        asd_note("%s: the bytes of an earlier run were wrong, starting over", f->c->file);
        if (unlink(f->part))
            return ASD_FAIL(ASD_E_IO, "%s: cannot remove: %s", f->part, strerror(errno));
        ASD_TRY(bring(f));
        st = check_sum(f, f->part, hex);
    }
    if (!st)
        st = check_opens(f->part);
    if (st) {
        if (st == ASD_E_DATA)
            unlink(f->part);
        return st;
    }
    if (rename(f->part, f->path))
        return ASD_FAIL(ASD_E_IO, "cannot rename %s to %s: %s", f->part, f->path, strerror(errno));
    return ASD_OK;
}

static asd_status get(fetch *f, FILE *out)
{
    char      hex[65];
    const int there = asd_is_file(f->path);
    if (there && !f->o->force) {
        ASD_TRY(check_sum(f, f->path, hex));
        fprintf(out, "%s  %s  already there\n", hex, f->path);
        return ASD_OK;
    }
    if (f->o->dry_run) {
        fprintf(out, "%s from %s to %s\n", f->c->name, f->url, f->path);
        return ASD_OK;
    }
    ASD_TRY(asd_make_folders(f->dir));
    if (!is_verified(f) && unlink(f->part) && errno != ENOENT) /* of another address, perhaps */
        return ASD_FAIL(ASD_E_IO, "%s: cannot remove: %s", f->part, strerror(errno));
    ASD_TRY(fetch_it(f, hex));
    if (!is_verified(f))
        asd_warn("%s: not verified; pin its SHA-256 if you trust this copy", f->c->name);
    fprintf(out, "%s  %s  %s\n", hex, f->path, is_verified(f) ? "verified" : "NOT verified");
    return asd_sync_folder(f->dir);
}

asd_status asd_checkpoint_get(const asd_checkpoint *c, const char *dir,
                              const asd_checkpoint_options *o, FILE *out)
{
    asd_status st = ASD_OK;
    fetch     *f  = calloc(1, sizeof *f);
    if (!f)
        return ASD_FAIL(ASD_E_OOM, "%s: no memory", c->name);
    f->c     = c;
    f->o     = o;
    f->dir   = dir;
    f->bytes = c->bytes;
    ASD_GO(done, st, asd_path(f->path, "%s/%s", dir, c->file));
    ASD_GO(done, st, asd_http_begin());
    /* What is there and has the manifest's own hash needs no network. */
    if (!(*c->sha256 && asd_is_file(f->path) && !o->force))
        st = find_source(f);
    if (!st)
        st = asd_path(f->part, "%s.part-%.8s", f->path,
                      *c->sha256 ? c->sha256
                      : *f->md5  ? f->md5
                                 : "unverified");
    if (!st) {
        asd_note("%s: licence %s; from %s", c->name, c->licence, c->origin);
        st = get(f, out);
    }
    asd_http_end();
done:
    free(f->url);
    free(f);
    return st;
}
