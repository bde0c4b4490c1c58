/* get_place.c - see get_place.h. */
#include "data/get_place.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 32, MAX_MARKER_BYTES = 512 << 20 };

static int is_clip(const char *name)
{
    size_t n = strlen(name);
    return n >= 4 && !strcasecmp(name + n - 4, ".wav");
}

static asd_status move(const char *from, const char *to)
{
    return rename(from, to)
               ? ASD_FAIL(ASD_E_IO, "cannot move %s to %s: %s", from, to, strerror(errno))
               : ASD_OK;
}

static asd_status place_file(const char *from, const char *to, int replace)
{
    char a[33], b[33];
    ASD_TRY(asd_hash_file(from, a));
    ASD_TRY(asd_hash_file(to, b));
    if (!strcmp(a, b))
        return ASD_OK;
    if (!is_clip(to))
        asd_note("%s: replaced, the archive has another one", to);
    else if (!replace)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: is there already with other content than the archive's; remove it, "
                        "or replace it with --force",
                        to);
    return move(from, to);
}

static asd_status place(const char *from, const char *to, int replace, int depth)
{
    asd_status st = ASD_OK;
    asd_names  names;
    if (depth > MAX_DEPTH)
        return ASD_FAIL(ASD_E_DATA, "%s: folders deeper than %d", to, MAX_DEPTH);
    ASD_TRY(asd_list_folder(from, &names));
    for (int64_t i = 0; i < names.n; ++i) {
        char        a[PATH_MAX], b[PATH_MAX];
        struct stat s;
        ASD_GO(done, st, asd_path(a, "%s/%s", from, names.name[i]));
        ASD_GO(done, st, asd_path(b, "%s/%s", to, names.name[i]));
        if (lstat(b, &s) && errno == ENOENT)
            st = move(a, b);
        else if (asd_is_folder(a) && asd_is_folder(b))
            st = place(a, b, replace, depth + 1);
        else if (asd_is_file(a) && asd_is_file(b))
            st = place_file(a, b, replace);
        else
            st = ASD_FAIL(ASD_E_DATA, "%s: is there already, but not as a %s", b,
                          asd_is_folder(a) ? "folder" : "file");
        if (st)
            goto done;
    }
done:
    asd_names_free(&names);
    return st;
}

asd_status asd_place(const char *from, const char *to, int replace)
{
    return place(from, to, replace, 0);
}

/* All of the disk at once: a thousand fsyncs would take longer than the download. */
static asd_status sync_disk(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return ASD_FAIL(ASD_E_IO, "%s: %s", folder, strerror(errno));
    int bad = syncfs(fd), why = errno;
    close(fd);
    return bad ? ASD_FAIL(ASD_E_IO, "%s: cannot sync: %s", folder, strerror(why)) : ASD_OK;
}

asd_status asd_marker_write(const char *marker, const char *dest, const char md5[33],
                            const asd_zip_list *list)
{
    asd_outfile f;
    ASD_TRY(sync_disk(dest));
    ASD_TRY(asd_outfile_open(&f, marker));
    fprintf(f.stream, "asd.get/1 %s\n", md5);
    for (int64_t i = 0; i < list->n; ++i)
        if (is_clip(list->file[i].name))
            fprintf(f.stream, "%" PRId64 " %s\n", list->file[i].size, list->file[i].name);
    return asd_outfile_commit(&f);
}

/* One line "SIZE NAME" against the disk; a line of another form counts as not there. */
static int line_holds(const char *line, const char *dest)
{
    char        path[PATH_MAX], *end;
    struct stat s;
    int64_t     size = strtoll(line, &end, 10);
    return end > line && *end == ' ' && !asd_path(path, "%s/%s", dest, end + 1) &&
           !stat(path, &s) && S_ISREG(s.st_mode) && (int64_t)s.st_size == size;
}

asd_status asd_marker_check(const char *marker, const char *dest, const char md5[33], int *complete)
{
    char  *text, head[64];
    size_t n;
    *complete = 0;
    if (!asd_is_file(marker))
        return ASD_OK;
    ASD_TRY(asd_read_file(marker, MAX_MARKER_BYTES, &text, &n));
    snprintf(head, sizeof head, "asd.get/1 %s\n", md5);
    *complete = !strncmp(text, head, strlen(head)) && text[n - 1] == '\n';
    for (char *line = text + strlen(head); *complete && line < text + n;) {
        char *end = memchr(line, '\n', (size_t)(text + n - line)); /* the last byte is one */
        *end      = 0;
        *complete = line_holds(line, dest);
        line      = end + 1;
    }
    free(text);
    return ASD_OK;
}
