/* file.c - see file.h. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

asd_status asd_path(char out[PATH_MAX], const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(out, PATH_MAX, format, ap);
    va_end(ap);
    if (n < 0 || n >= PATH_MAX)
        return ASD_FAIL(ASD_E_IO, "%.80s...: path of %d characters, the system takes %d", out, n,
                        PATH_MAX - 1);
    return ASD_OK;
}

const char *asd_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

int asd_is_folder(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISDIR(s.st_mode);
}

int asd_is_file(const char *path)
{
    struct stat s;
    return !stat(path, &s) && S_ISREG(s.st_mode);
}

asd_status asd_make_folders(const char *path)
{
    char buf[PATH_MAX];
    ASD_TRY(asd_path(buf, "%s", path));
    for (char *p = buf + 1;; ++p) {
        if (*p != '/' && *p)
            continue;
        char end = *p;
        *p       = 0;
        if (mkdir(buf, 0777) && !(errno == EEXIST && asd_is_folder(buf)))
            return ASD_FAIL(ASD_E_IO, "%s: cannot make the folder: %s", buf, strerror(errno));
        if (!end)
            return ASD_OK;
        *p = end;
    }
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *ftw)
{
    (void)s, (void)type, (void)ftw;
    return remove(path);
}

asd_status asd_remove_tree(const char *path)
{
    struct stat s;
    if (lstat(path, &s) && errno == ENOENT)
        return ASD_OK;
    if (nftw(path, remove_entry, 32, FTW_DEPTH | FTW_PHYS))
        return ASD_FAIL(ASD_E_IO, "%s: cannot remove: %s", path, strerror(errno));
    return ASD_OK;
}

asd_status asd_sync_folder(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ASD_FAIL(ASD_E_IO, "%s: %s", path, strerror(errno));
    int bad =
        fsync(fd) && errno != EINVAL && errno != EROFS; /* some file systems cannot sync a folder */
    int why = errno;
    close(fd);
    return bad ? ASD_FAIL(ASD_E_IO, "%s: cannot sync: %s", path, strerror(why)) : ASD_OK;
}

/* The temporary name starts with a dot and carries the process, so two runs never share one. */
asd_status asd_outfile_open(asd_outfile *f, const char *path)
{
    f->stream        = NULL;
    const char *base = asd_base_name(path);
    ASD_TRY(asd_path(f->path, "%s", path));
    ASD_TRY(asd_path(f->tmp, "%.*s.%s.tmp-%ld", (int)(base - path), path, base, (long)getpid()));
    f->stream = fopen(f->tmp, "we");
    if (!f->stream)
        return ASD_FAIL(ASD_E_IO, "%s: cannot write: %s", path, strerror(errno));
    return ASD_OK;
}

static asd_status sync_parent(const char *path)
{
    char        folder[PATH_MAX];
    const char *base = asd_base_name(path);
    ASD_TRY(asd_path(folder, "%.*s", (int)(base - path), path));
    return asd_sync_folder(*folder ? folder : ".");
}

asd_status asd_outfile_commit(asd_outfile *f)
{
    ASD_ASSERT(f->stream);
    int bad = fflush(f->stream) || ferror(f->stream) || fsync(fileno(f->stream));
    int why = errno;
    if (fclose(f->stream) && !bad)
        bad = 1, why = errno;
    f->stream = NULL;
    if (!bad && rename(f->tmp, f->path))
        bad = 1, why = errno;
    if (bad) {
        unlink(f->tmp);
        return ASD_FAIL(ASD_E_IO, "%s: cannot write: %s", f->path, strerror(why));
    }
    return sync_parent(f->path);
}

void asd_outfile_abandon(asd_outfile *f)
{
    if (!f->stream)
        return;
    fclose(f->stream);
    f->stream = NULL;
    unlink(f->tmp);
}

/* ".NAME.tmp-123", keep in step with asd_outfile_open */
static int is_unfinished(const char *name)
{
    const char *tmp = *name == '.' ? strstr(name, ".tmp-") : NULL;
    return tmp && tmp > name && tmp[5] && strspn(tmp + 5, "0123456789") == strlen(tmp + 5);
}

/* base: NULL, or what NAME must be. */
static asd_status remove_unfinished(const char *folder, const char *base)
{
    asd_names  names;
    char       path[PATH_MAX];
    size_t     length = base ? strlen(base) : 0;
    asd_status st     = asd_list_folder(folder, &names);
    for (int64_t i = 0; i < names.n && !st; ++i) {
        const char *name = names.name[i];
        if (!is_unfinished(name) || (base && (strncmp(name + 1, base, length) != 0 ||
                                              strncmp(name + 1 + length, ".tmp-", 5) != 0)))
            continue;
        if (!(st = asd_path(path, "%s/%s", folder, name)) && unlink(path) && errno != ENOENT)
            st = ASD_FAIL(ASD_E_IO, "%s: cannot remove: %s", path, strerror(errno));
    }
    asd_names_free(&names);
    return st;
}

asd_status asd_remove_unfinished(const char *folder)
{
    return remove_unfinished(folder, NULL);
}

asd_status asd_remove_unfinished_of(const char *path)
{
    char        folder[PATH_MAX];
    const char *base = asd_base_name(path);
    ASD_TRY(asd_path(folder, "%.*s", (int)(base - path), path));
    return remove_unfinished(*folder ? folder : ".", base);
}

asd_status asd_write_file(const char *path, const void *data, size_t size)
{
    asd_outfile f;
    ASD_TRY(asd_outfile_open(&f, path));
    fwrite(data, 1, size, f.stream); /* a short write sets ferror, which commit reports */
    return asd_outfile_commit(&f);
}

asd_status asd_read_file(const char *path, size_t max_bytes, char **data, size_t *size)
{
    asd_status  st  = ASD_OK;
    char       *buf = NULL;
    FILE       *f   = fopen(path, "re");
    struct stat s;
    *data = NULL;
    *size = 0;
    if (!f)
        return ASD_FAIL(errno == ENOENT || errno == ENOTDIR ? ASD_E_DATA : ASD_E_IO,
                        "%s: cannot read: %s", path, strerror(errno));
    if (fstat(fileno(f), &s) || !S_ISREG(s.st_mode)) {
        st = ASD_FAIL(ASD_E_DATA, "%s: not a regular file", path);
        goto done;
    }
    if ((uintmax_t)s.st_size > max_bytes) {
        st = ASD_FAIL(ASD_E_DATA, "%s: %jd bytes, more than the %zu taken here", path,
                      (intmax_t)s.st_size, max_bytes);
        goto done;
    }
    if (!(buf = malloc((size_t)s.st_size + 1))) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %jd bytes", path, (intmax_t)s.st_size);
        goto done;
    }
    *size = fread(buf, 1, (size_t)s.st_size, f);
    if (*size != (size_t)s.st_size) {
        st = ASD_FAIL(ASD_E_IO, "%s: read %zu of %jd bytes", path, *size, (intmax_t)s.st_size);
        goto done;
    }
    buf[*size] = 0;
    *data      = buf;
    buf        = NULL;
done:
    free(buf);
    fclose(f);
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

asd_status asd_list_folder(const char *path, asd_names *out)
{
    asd_status st  = ASD_OK;
    int64_t    cap = 0;
    DIR       *dir = opendir(path);
    out->name      = NULL;
    out->n         = 0;
    if (!dir)
        return ASD_FAIL(ASD_E_DATA, "%s: cannot list: %s", path, strerror(errno));
    for (struct dirent *e; errno = 0, (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (out->n == cap) {
            cap         = cap ? 2 * cap : 64;
            char **more = realloc(out->name, (size_t)cap * sizeof *more);
            if (!more) {
                st = ASD_FAIL(ASD_E_OOM, "%s: no memory for %ld names", path, (long)cap);
                goto done;
            }
            out->name = more;
        }
        if (!(out->name[out->n] = strdup(e->d_name))) {
            st = ASD_FAIL(ASD_E_OOM, "%s: no memory for a name", path);
            goto done;
        }
        ++out->n;
    }
    if (errno)
        st = ASD_FAIL(ASD_E_IO, "%s: cannot list: %s", path, strerror(errno));
    if (out->n)
        qsort(out->name, (size_t)out->n, sizeof *out->name, by_name);
done:
    closedir(dir);
    if (st)
        asd_names_free(out);
    return st;
}

void asd_names_free(asd_names *names)
{
    for (int64_t i = 0; i < names->n; ++i)
        free(names->name[i]);
    free(names->name);
    names->name = NULL;
    names->n    = 0;
}

asd_status asd_beside_program(char out[PATH_MAX], const char *relative)
{
    char    program[PATH_MAX], path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n <= 0)
        return ASD_FAIL(ASD_E_IO, "/proc/self/exe: %s", strerror(errno));
    program[n] = 0;
    ASD_TRY(
        asd_path(path, "%.*s/%s", (int)(asd_base_name(program) - program - 1), program, relative));
    if (!realpath(path, out))
        return ASD_FAIL(ASD_E_DATA, "%s: %s", path, strerror(errno));
    return ASD_OK;
}

static void to_hex(XXH128_hash_t h, char hex[33])
{
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)h.high64, (unsigned long long)h.low64);
}

void asd_hash_bytes(const void *data, size_t size, char hex[33])
{
    to_hex(XXH3_128bits(data, size), hex);
}

asd_status asd_hash_file(const char *path, char hex[33])
{
    char          buf[1 << 16];
    asd_status    st    = ASD_OK;
    FILE         *f     = fopen(path, "re");
    XXH3_state_t *state = NULL;
    if (!f)
        return ASD_FAIL(ASD_E_DATA, "%s: cannot read: %s", path, strerror(errno));
    if (!(state = XXH3_createState())) {
        st = ASD_FAIL(ASD_E_OOM, "%s: no memory for a hash", path);
        goto done;
    }
    XXH3_128bits_reset(state);
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;)
        XXH3_128bits_update(state, buf, n);
    if (ferror(f))
        st = ASD_FAIL(ASD_E_IO, "%s: %s", path, strerror(errno));
    else
        to_hex(XXH3_128bits_digest(state), hex);
done:
    XXH3_freeState(state);
    fclose(f);
    return st;
}
