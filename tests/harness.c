/* harness.c - see harness.h. */
#include "harness.h"

#include "base/file.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char  *folders[1024];
static size_t n_folders;

static void remove_folders(void)
{
    for (size_t i = 0; i < n_folders; ++i) {
        asd_remove_tree(folders[i]);
        free(folders[i]);
    }
    n_folders = 0;
}

void asd_test_device(asd_gpu **gpu, asd_stream **s)
{
    if (asd_gpu_open(0, gpu)) {
        print_message("skipped: %s\n", asd_error_text());
        skip();
    }
    assert_ok(asd_stream_new(*gpu, s));
}

void asd_test_skip_repetition(void)
{
    const char *haste = getenv("ASD_TEST_HASTE");
    if (haste && !strcmp(haste, "once")) {
        print_message("skipped: ASD_TEST_HASTE is once\n");
        skip();
    }
}

double asd_test_cosine(const float *a, const float *b, int64_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < n; ++i) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return ab / sqrt(aa * bb);
}

const char *asd_test_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char        path[PATH_MAX];
    snprintf(path, sizeof path, "%s/asd-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n_folders == sizeof folders / sizeof *folders || !mkdtemp(path))
        fail_msg("cannot make a temporary folder %s", path);
    return folders[n_folders++] = strdup(path);
}

const char *asd_test_source(void)
{
    const char *s = getenv("ASD_SOURCE");
    return s && *s ? s : ".";
}

const char *asd_test_shared(void)
{
    static char path[PATH_MAX];
    const char *s = getenv("ASD_SHARED");
    if (s && *s)
        snprintf(path, sizeof path, "%s", s);
    else
        snprintf(path, sizeof path, "%s/../shared", asd_test_source());
    char data[PATH_MAX + 8];
    snprintf(data, sizeof data, "%s/data", path);
    return asd_is_folder(data) ? path : NULL;
}

int asd_test_contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

int asd_test_shell(const char *command, char **out)
{
    FILE  *p    = popen(command, "r");
    char  *text = NULL;
    size_t size = 0, n = 0;
    if (!p)
        fail_msg("cannot run: %s", command);
    char buf[4096];
    for (size_t got; (got = fread(buf, 1, sizeof buf, p)) > 0;) {
        if (n + got + 1 > size)
            text = realloc(text, size = 2 * (n + got + 1));
        memcpy(text + n, buf, got);
        n += got;
    }
    if (text)
        text[n] = 0;
    int status = pclose(p);
    if (out)
        *out = text ? text : strdup("");
    else
        free(text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int selected(const char *name, int argc, char **argv)
{
    for (int i = 1; i < argc; ++i)
        if (!fnmatch(argv[i], name, 0))
            return 1;
    return argc < 2;
}

int asd_test_run(const struct CMUnitTest *cases, size_t n, int argc, char **argv)
{
    struct CMUnitTest *chosen = calloc(n ? n : 1, sizeof *chosen);
    size_t             m      = 0;
    for (size_t i = 0; i < n; ++i)
        if (selected(cases[i].name, argc, argv))
            chosen[m++] = cases[i];
    if (!m) {
        fprintf(stderr, "no case matches; the cases are:\n");
        for (size_t i = 0; i < n; ++i)
            fprintf(stderr, "  %s\n", cases[i].name);
        free(chosen);
        return 2;
    }
    int failed = _cmocka_run_group_tests("asd", chosen, m, NULL, NULL);
    free(chosen);
    remove_folders();
    return failed ? 1 : 0;
}
