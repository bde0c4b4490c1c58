/* package.c - see package.h. */
#include "score/package.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

static const zip_int64_t  MAX_FILES = 4096;
static const zip_uint64_t MAX_BYTES = (zip_uint64_t)256 << 20;

static asd_status add_owned(asd_package *p, const char *name, char *data, size_t size)
{
    asd_package_file *more = realloc(p->file, (size_t)(p->n + 1) * sizeof *more);
    if (more)
        p->file = more;
    char *copy = strdup(name);
    if (!more || !copy) {
        free(copy);
        free(data);
        return ASD_FAIL(ASD_E_OOM, "%s: package", name);
    }
    p->file[p->n++] = (asd_package_file){copy, data, size};
    return ASD_OK;
}

asd_status asd_package_add(asd_package *p, const char *name, const void *data, size_t size)
{
    char *copy = malloc(size + 1);
    if (!copy)
        return ASD_FAIL(ASD_E_OOM, "%s: %zu bytes", name, size);
    memcpy(copy, data, size);
    copy[size] = 0;
    return add_owned(p, name, copy, size);
}

const asd_package_file *asd_package_find(const asd_package *p, const char *name)
{
    for (int64_t i = 0; i < p->n; ++i)
        if (!strcmp(p->file[i].name, name))
            return p->file + i;
    return NULL;
}

void asd_package_clear(asd_package *p)
{
    for (int64_t i = 0; i < p->n; ++i) {
        free(p->file[i].name);
        free(p->file[i].data);
    }
    free(p->file);
    memset(p, 0, sizeof *p);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const asd_package_file *)a)->name, ((const asd_package_file *)b)->name);
}

/* --- writing ------------------------------------------------------------------------------------
 */

/* 1980-01-01 00:00, the first time of the format, in its own units: a time_t would be turned into
 * local time and make the bytes depend on the time zone. */
enum { DOS_TIME = 0, DOS_DATE = 1 << 5 | 1 };

static asd_status fill_zip(zip_t *z, const asd_package *p, const char *path)
{
    for (int64_t i = 0; i < p->n; ++i) {
        const asd_package_file *f  = p->file + i;
        zip_source_t           *s  = zip_source_buffer(z, f->data, f->size, 0);
        zip_int64_t             at = s ? zip_file_add(z, f->name, s, ZIP_FL_ENC_UTF_8) : -1;
        if (at < 0) {
            zip_source_free(s);
            return ASD_FAIL(ASD_E_IO, "%s: %s: %s", path, f->name, zip_strerror(z));
        }
        if (zip_set_file_compression(z, (zip_uint64_t)at, ZIP_CM_DEFLATE, 9) ||
            zip_file_set_dostime(z, (zip_uint64_t)at, DOS_TIME, DOS_DATE, 0))
            return ASD_FAIL(ASD_E_IO, "%s: %s: %s", path, f->name, zip_strerror(z));
    }
    return ASD_OK;
}

asd_status asd_package_write(asd_package *p, const char *path)
{
    zip_error_t   error;
    zip_source_t *memory = NULL;
    zip_t        *z      = NULL;
    zip_stat_t    stat;
    char         *bytes = NULL;
    asd_status    st    = ASD_OK;
    ASD_ASSERT(p->n > 0);
    qsort(p->file, (size_t)p->n, sizeof *p->file, by_name);
    zip_error_init(&error);
    memory = zip_source_buffer_create(NULL, 0, 0, &error);
    z      = memory ? zip_open_from_source(memory, ZIP_TRUNCATE, &error) : NULL;
    if (!z) {
        st = ASD_FAIL(ASD_E_IO, "%s: %s", path, zip_error_strerror(&error));
        goto done;
    }
    zip_source_keep(memory); /* outlives the archive, to read what it wrote */
    ASD_GO(done, st, fill_zip(z, p, path));
    if (zip_close(z)) {
        st = ASD_FAIL(ASD_E_IO, "%s: %s", path, zip_strerror(z));
        goto done;
    }
    z = NULL;
    if (zip_source_open(memory)) {
        st = ASD_FAIL(ASD_E_IO, "%s: %s", path, zip_error_strerror(zip_source_error(memory)));
        goto done;
    }
    zip_stat_init(&stat);
    if (zip_source_stat(memory, &stat) || !(stat.valid & ZIP_STAT_SIZE) ||
        !(bytes = malloc(stat.size)) ||
        zip_source_read(memory, bytes, stat.size) != (zip_int64_t)stat.size)
        st = ASD_FAIL(ASD_E_IO, "%s: cannot read the archive back from memory", path);
    else
        st = asd_write_file(path, bytes, stat.size);
    zip_source_close(memory);
done:
    if (z)
        zip_discard(z);
    zip_source_free(memory);
    zip_error_fini(&error);
    free(bytes);
    return st;
}

/* --- reading ------------------------------------------------------------------------------------
 */

static asd_status read_entry(zip_t *z, const char *path, zip_uint64_t i, zip_uint64_t *total,
                             asd_package *out)
{
    zip_stat_t s;
    zip_stat_init(&s);
    if (zip_stat_index(z, i, 0, &s) || !(s.valid & ZIP_STAT_NAME) || !(s.valid & ZIP_STAT_SIZE))
        return ASD_FAIL(ASD_E_DATA, "%s: entry %" PRIu64 " has no name or size", path, (uint64_t)i);
    size_t length = strlen(s.name);
    if (length && s.name[length - 1] == '/')
        return ASD_OK;
    *total += s.size;
    if (s.size > MAX_BYTES || *total > MAX_BYTES)
        return ASD_FAIL(ASD_E_DATA, "%s: more than %" PRIu64 " bytes at %.200s", path,
                        (uint64_t)MAX_BYTES, s.name);
    zip_file_t *f    = zip_fopen_index(z, i, 0);
    char       *data = malloc(s.size + 1);
    if (!f || !data) {
        asd_status st = f ? ASD_FAIL(ASD_E_OOM, "%s: %.200s", path, s.name)
                          : ASD_FAIL(ASD_E_DATA, "%s: %.200s: %s", path, s.name, zip_strerror(z));
        if (f)
            zip_fclose(f);
        free(data);
        return st;
    }
    /* One byte more than declared: reading to the end checks the CRC. */
    zip_int64_t got = zip_fread(f, data, s.size);
    char        more;
    int         bad = got != (zip_int64_t)s.size || zip_fread(f, &more, 1) != 0;
    zip_fclose(f);
    if (bad) {
        free(data);
        return ASD_FAIL(ASD_E_DATA, "%s: %.200s is damaged", path, s.name);
    }
    data[s.size] = 0;
    return add_owned(out, s.name, data, s.size);
}

asd_status asd_package_read(const char *path, asd_package *out)
{
    int         code;
    asd_status  st = ASD_OK;
    zip_error_t error;
    memset(out, 0, sizeof *out);
    zip_t *z = zip_open(path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (!z) {
        zip_error_init_with_code(&error, code);
        st = ASD_FAIL(ASD_E_DATA, "%s: %s", path, zip_error_strerror(&error));
        zip_error_fini(&error);
        return st;
    }
    zip_int64_t  n     = zip_get_num_entries(z, 0);
    zip_uint64_t total = 0;
    if (n < 0 || n > MAX_FILES)
        st = ASD_FAIL(ASD_E_DATA, "%s: %" PRId64 " files, more than %" PRId64, path, (int64_t)n,
                      (int64_t)MAX_FILES);
    for (zip_int64_t i = 0; !st && i < n; ++i)
        st = read_entry(z, path, (zip_uint64_t)i, &total, out);
    if (out->n)
        qsort(out->file, (size_t)out->n, sizeof *out->file, by_name);
    for (int64_t i = 1; !st && i < out->n; ++i)
        if (!by_name(out->file + i - 1, out->file + i))
            st = ASD_FAIL(ASD_E_DATA, "%s: %.200s is there twice", path, out->file[i].name);
    zip_discard(z);
    return st;
}
