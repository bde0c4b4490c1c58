/* zip_extract.c - see zip_extract.h. libzip reads, we decide what may be written and where. */
#include "data/zip_extract.h"

#include "base/file.h"
#include "base/stop.h"
#include "base/utf8.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zip.h>

enum { MAX_ENTRIES = 1000000, MAX_NAME_BYTES = 1024, BUFFER_BYTES = 1 << 16 };

asd_status asd_check_room(const char *folder, int64_t bytes, const char *what)
{
    struct statvfs s;
    if (statvfs(folder, &s))
        return ASD_FAIL(ASD_E_IO, "%s: %s", folder, strerror(errno));
    const double free_bytes = (double)s.f_bavail * (double)s.f_frsize;
    if ((double)bytes > free_bytes)
        return ASD_FAIL(ASD_E_IO, "%s needs %.1f MB, the disk of %s has %.1f MB free", what,
                        (double)bytes / 1e6, folder, free_bytes / 1e6);
    return ASD_OK;
}

/* Why a name may not be written, NULL when it may. A trailing '/' marks a folder. */
static const char *bad_name(const char *name)
{
    if (!*name)
        return "no name";
    if (*name == '/' || (isalpha((unsigned char)name[0]) && name[1] == ':'))
        return "an absolute path";
    if (strlen(name) > MAX_NAME_BYTES)
        return "a name of more than 1024 bytes";
    if (!asd_utf8_valid(name))
        return "a name that is not UTF-8";
    for (const char *p = name; *p; ++p) {
        if (*p == '\\')
            return "a backslash in its name";
        if ((unsigned char)*p < 0x20 || *p == 0x7F)
            return "a control character in its name";
    }
    for (const char *p = name; *p;) {
        size_t n = strcspn(p, "/");
        if (n == 2 && !memcmp(p, "..", 2))
            return "\"..\" in its path, so it would leave the folder";
        if (n == 0 || (n == 1 && *p == '.'))
            return "an empty or \".\" part in its path";
        p += n + (p[n] == '/');
    }
    return NULL;
}

static int is_folder_name(const char *name)
{
    return name[strlen(name) - 1] == '/';
}

/* Unix archives keep the file type in the upper half of the external attributes. */
static asd_status check_type(zip_t *z, const char *zip, zip_uint64_t i, const char *name)
{
    zip_uint8_t  system;
    zip_uint32_t attributes;
    if (zip_file_get_external_attributes(z, i, 0, &system, &attributes))
        return ASD_FAIL(ASD_E_DATA, "%s: entry \"%s\": %s", zip, name, zip_strerror(z));
    unsigned type = attributes >> 16 & S_IFMT;
    if (system == ZIP_OPSYS_UNIX && type && type != S_IFREG && type != S_IFDIR)
        return ASD_FAIL(ASD_E_DATA, "%s: entry \"%s\" is %s; want files and folders only", zip,
                        name, type == S_IFLNK ? "a symbolic link" : "a device, pipe or socket");
    return ASD_OK;
}

static asd_status add_file(asd_zip_list *out, const char *zip, const char *name, int64_t size)
{
    asd_zip_file *f = out->file + out->n;
    if (!(f->name = strdup(name)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for a name", zip);
    f->size = size;
    out->bytes += size;
    ++out->n;
    return ASD_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const asd_zip_file *)a)->name, ((const asd_zip_file *)b)->name);
}

static asd_status check_entry(zip_t *z, const char *zip, zip_uint64_t i, int64_t max_bytes,
                              asd_zip_list *out)
{
    zip_stat_t         s;
    const zip_uint64_t need = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(z, i, 0, &s))
        return ASD_FAIL(ASD_E_DATA, "%s: entry %" PRIu64 ": %s", zip, (uint64_t)i, zip_strerror(z));
    if ((s.valid & need) != need)
        return ASD_FAIL(ASD_E_DATA, "%s: entry %" PRIu64 " lacks its name or size", zip,
                        (uint64_t)i);
    const char *bad = bad_name(s.name);
    if (bad)
        return ASD_FAIL(ASD_E_DATA, "%s: entry \"%.200s\" has %s; refused, nothing was unpacked",
                        zip, s.name, bad);
    if (s.encryption_method != ZIP_EM_NONE)
        return ASD_FAIL(ASD_E_DATA, "%s: entry \"%s\" is encrypted", zip, s.name);
    ASD_TRY(check_type(z, zip, i, s.name));
    if (is_folder_name(s.name))
        return s.size ? ASD_FAIL(ASD_E_DATA, "%s: folder \"%s\" with content", zip, s.name)
                      : ASD_OK;
    if (s.size > (zip_uint64_t)(max_bytes - out->bytes))
        return ASD_FAIL(ASD_E_DATA,
                        "%s: unpacks to more than %" PRId64 " bytes at entry \"%s\" (declared "
                        "%" PRIu64 "); refused, nothing was unpacked",
                        zip, max_bytes, s.name, (uint64_t)s.size);
    return add_file(out, zip, s.name, (int64_t)s.size);
}

static asd_status check_entries(zip_t *z, const char *zip, int64_t max_bytes, asd_zip_list *out)
{
    zip_int64_t n = zip_get_num_entries(z, 0);
    if (n < 1 || n > MAX_ENTRIES)
        return ASD_FAIL(ASD_E_DATA, "%s: %" PRId64 " entries; want 1 to %d", zip, (int64_t)n,
                        MAX_ENTRIES);
    if (!(out->file = calloc((size_t)n, sizeof *out->file)))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRId64 " entries", zip, (int64_t)n);
    for (zip_int64_t i = 0; i < n; ++i)
        ASD_TRY(check_entry(z, zip, (zip_uint64_t)i, max_bytes, out));
    if (!out->n)
        return ASD_FAIL(ASD_E_DATA, "%s: no files inside", zip);
    qsort(out->file, (size_t)out->n, sizeof *out->file, by_name);
    for (int64_t i = 1; i < out->n; ++i)
        if (!strcmp(out->file[i - 1].name, out->file[i].name))
            return ASD_FAIL(ASD_E_DATA, "%s: entry \"%s\" is there twice; nothing was unpacked",
                            zip, out->file[i].name);
    return ASD_OK;
}

static asd_status copy_bytes(zip_file_t *in, int fd, const char *zip, const char *name,
                             int64_t size)
{
    char    buf[BUFFER_BYTES];
    int64_t done = 0;
    for (;;) {
        zip_int64_t n = zip_fread(in, buf, sizeof buf);
        if (n < 0)
            return ASD_FAIL(ASD_E_DATA, "%s: entry \"%s\" is damaged: %s", zip, name,
                            zip_file_strerror(in));
        if (n == 0)
            break;
        if (n > size - done)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: entry \"%s\" is longer than the %" PRId64
                            " bytes that it declares",
                            zip, name, size);
        for (zip_int64_t k = 0; k < n;) {
            ssize_t w = write(fd, buf + k, (size_t)(n - k));
            if (w < 0 && errno == EINTR)
                continue;
            if (w < 0)
                return ASD_FAIL(ASD_E_IO, "%s: cannot write \"%s\": %s", zip, name,
                                strerror(errno));
            k += w;
        }
        done += n;
    }
    if (done != size)
        return ASD_FAIL(ASD_E_DATA, "%s: entry \"%s\" holds %" PRId64 " bytes, declares %" PRId64,
                        zip, name, done, size);
    return ASD_OK;
}

/* O_EXCL in a folder that was empty: nothing that an earlier entry made is opened again. */
static asd_status write_entry(zip_t *z, const char *zip, zip_uint64_t i, const char *name,
                              int64_t size, const char *path)
{
    asd_status  st;
    zip_file_t *in = zip_fopen_index(z, i, 0);
    if (!in)
        return ASD_FAIL(ASD_E_DATA, "%s: entry \"%s\": %s", zip, name, zip_strerror(z));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) {
        int clash = errno == EEXIST || errno == ENOTDIR || errno == EISDIR;
        st = ASD_FAIL(clash ? ASD_E_DATA : ASD_E_IO, "%s: cannot write \"%s\": %s", zip, name,
                      strerror(errno));
    } else {
        st = copy_bytes(in, fd, zip, name, size);
        if (close(fd) && !st)
            st = ASD_FAIL(ASD_E_IO, "%s: cannot write \"%s\": %s", zip, name, strerror(errno));
    }
    zip_fclose(in);
    return st;
}

static asd_status make_parents(const char *zip, const char *name, char *path, size_t folder_length)
{
    for (char *p = path + folder_length + 1; (p = strchr(p, '/')); ++p) {
        struct stat s;
        *p      = 0;
        int bad = mkdir(path, 0777) && (errno != EEXIST || lstat(path, &s) || !S_ISDIR(s.st_mode));
        int why = errno;
        *p      = '/';
        if (bad)
            return ASD_FAIL(why == EEXIST || why == ENOTDIR ? ASD_E_DATA : ASD_E_IO,
                            "%s: cannot make the folders of \"%s\": %s", zip, name, strerror(why));
    }
    return ASD_OK;
}

static asd_status write_entries(zip_t *z, const char *zip, const char *folder)
{
    zip_int64_t n = zip_get_num_entries(z, 0);
    for (zip_int64_t i = 0; i < n; ++i) {
        char       path[PATH_MAX];
        zip_stat_t s;
        if (asd_stop_wanted())
            return ASD_FAIL(ASD_E_STOPPED, "%s: stopped by %s", zip, asd_stop_signal());
        if (zip_stat_index(z, (zip_uint64_t)i, 0, &s))
            return ASD_FAIL(ASD_E_DATA, "%s: entry %" PRId64 ": %s", zip, (int64_t)i,
                            zip_strerror(z));
        ASD_TRY(asd_path(path, "%s/%s", folder, s.name));
        ASD_TRY(make_parents(zip, s.name, path, strlen(folder)));
        if (!is_folder_name(s.name))
            ASD_TRY(write_entry(z, zip, (zip_uint64_t)i, s.name, (int64_t)s.size, path));
    }
    return ASD_OK;
}

asd_status asd_zip_extract(const char *zip, const char *folder, int64_t max_bytes,
                           asd_zip_list *out)
{
    int        why;
    asd_status st;
    *out     = (asd_zip_list){0};
    zip_t *z = zip_open(zip, ZIP_RDONLY | ZIP_CHECKCONS, &why);
    if (!z) {
        zip_error_t error;
        zip_error_init_with_code(&error, why);
        st = ASD_FAIL(ASD_E_DATA, "%s: not a whole zip archive: %s", zip,
                      why == ZIP_ER_EXISTS ? "two entries have the same name"
                                           : zip_error_strerror(&error));
        zip_error_fini(&error);
        return st;
    }
    ASD_GO(done, st, check_entries(z, zip, max_bytes, out));
    ASD_GO(done, st, asd_check_room(folder, out->bytes, zip));
    ASD_GO(done, st, write_entries(z, zip, folder));
done:
    zip_discard(z);
    return st;
}

void asd_zip_list_clear(asd_zip_list *list)
{
    for (int64_t i = 0; i < list->n; ++i)
        free(list->file[i].name);
    free(list->file);
    *list = (asd_zip_list){0};
}
