/* test_embed_h5.c - the embedding cache: what is written is read, by us and by h5py; what is
 * damaged, unfinished, foreign or joined wrongly is refused by name.
 */
#include "harness.h"

#include "base/file.h"
#include "base/rng.h"
#include "data/embed_h5.h"

#include <hdf5.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const char *path_of(const char *name)
{
    static char path[2][PATH_MAX];
    static int  which;
    which = !which;
    assert_ok(asd_path(path[which], "%s/%s", asd_test_folder(), name));
    return path[which];
}

static char *text(const char *format, int64_t i)
{
    char *out = NULL;
    assert_true(asprintf(&out, format, (long long)i) > 0);
    return out;
}

/* N clips numbered from `first`; in ROWS clip i has 1 + i % rows rows. */
static asd_embeddings make(asd_embed_form form, int64_t first, int64_t N, int64_t rows, int64_t D)
{
    asd_embeddings e = {.form = form, .N = N, .rows = rows, .D = D};
    size_t         n = (size_t)N;
    e.x              = malloc(n * (size_t)(rows * D) * sizeof *e.x);
    e.clip           = calloc(n, sizeof *e.clip);
    e.audio          = calloc(n, sizeof *e.audio);
    e.n_samples      = calloc(n, sizeof *e.n_samples);
    e.n_rows         = form == ASD_EMBED_ROWS ? calloc(n, sizeof *e.n_rows) : NULL;
    e.key            = strdup("0123456789abcdef0123456789abcdef");
    e.key_material   = strdup("{\"encoder\":{\"kind\":\"beats\"}}");
    assert_true(e.x && e.clip && e.audio && e.n_samples && e.key && e.key_material);
    for (int64_t i = 0; i < N; ++i) {
        int64_t number = first + i, have = form == ASD_EMBED_ROWS ? 1 + number % rows : rows;
        e.clip[i] = text(number % 3 ? "fan/train/clip_%05lld.wav"
                                    : "fan/train/clip_%05lld_d\xc3\xa9j\xc3\xa0.wav",
                         number);
        e.audio[i]     = text("%032llx", number * 7919);
        e.n_samples[i] = 16000 + number;
        if (e.n_rows)
            e.n_rows[i] = have;
        for (int64_t k = 0; k < rows * D; ++k)
            e.x[i * rows * D + k] =
                k < have * D ? (float)(number * 1000 + k) * 0.37F - 5 : (float)NAN;
    }
    return e;
}

static void assert_same(const asd_embeddings *a, const asd_embeddings *b)
{
    assert_int_equal(a->form, b->form);
    assert_int_equal(a->N, b->N);
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->D, b->D);
    assert_string_equal(a->key, b->key);
    assert_string_equal(a->key_material, b->key_material);
    for (int64_t i = 0; i < a->N; ++i) {
        assert_string_equal(a->clip[i], b->clip[i]);
        assert_string_equal(a->audio[i], b->audio[i]);
        assert_int_equal(a->n_samples[i], b->n_samples[i]);
        if (a->form == ASD_EMBED_ROWS)
            assert_int_equal(a->n_rows[i], b->n_rows[i]);
        else
            assert_null(b->n_rows);
    }
    assert_memory_equal(a->x, b->x, (size_t)(a->N * a->rows * a->D) * sizeof(float));
}

static const struct {
    asd_embed_form form;
    int64_t        N, rows, D;
} shapes[] = {{ASD_EMBED_PLAIN, 1, 1, 1},
              {ASD_EMBED_PLAIN, 23, 1, 7},
              {ASD_EMBED_LAYERS, 5, 3, 4},
              {ASD_EMBED_ROWS, 11, 4, 3}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

static void round_trip(void **state)
{
    (void)state;
    const char *path = path_of("e.h5");
    for (int k = 0; k < N_SHAPES; ++k) {
        asd_embeddings e = make(shapes[k].form, 0, shapes[k].N, shapes[k].rows, shapes[k].D), got;
        char           before[33], after[33];
        int64_t        row = -1;
        assert_ok(asd_embed_save(path, &e));
        assert_ok(asd_embeddings_read(path, &got));
        assert_same(&e, &got);
        assert_ok(asd_embeddings_find(&got, e.clip[e.N - 1], &row));
        assert_int_equal(row, e.N - 1);
        assert_fails(asd_embeddings_find(&got, "fan/train/x.wav", &row), ASD_E_DATA,
                     "fan/train/x.wav");
        assert_int_equal(asd_embed_look(path), ASD_EMBED_COMPLETE);
        assert_ok(asd_hash_file(path, before)); /* equal contents are equal files */
        if (!k)
            sleep(1); /* longer than HDF5's clock ticks */
        assert_ok(asd_embed_save(path, &e));
        assert_ok(asd_hash_file(path, after));
        assert_string_equal(before, after);
        asd_embeddings_clear(&got);
        asd_embeddings_clear(&e);
    }
}

static void in_pieces(void **state)
{
    (void)state;
    const char       *path = path_of("e.h5");
    asd_embeddings    e    = make(ASD_EMBED_ROWS, 0, 17, 3, 5), got;
    asd_embed_writer *w;
    asd_embed_file   *f;
    float             x[4 * 15];
    assert_ok(asd_embed_create(path, &e, &w));
    for (int64_t i = 0; i < e.N; i += 4)
        assert_ok(asd_embed_write(w, e.N - i < 4 ? e.N - i : 4, e.x + i * 15));
    assert_int_equal(asd_embed_look(path), ASD_EMBED_ABSENT);
    assert_ok(asd_embed_commit(w));
    assert_ok(asd_embeddings_read(path, &got));
    assert_same(&e, &got);
    asd_embeddings_clear(&got);
    assert_ok(asd_embed_open(path, &f));
    assert_int_equal(asd_embed_head(f)->N, 17);
    assert_null(asd_embed_head(f)->x);
    assert_ok(asd_embed_read(f, 13, 4, x));
    assert_memory_equal(x, e.x + 13 * 15, sizeof x);
    asd_embed_close(f);
    asd_embeddings_clear(&e);
}

static void abandoned(void **state)
{
    (void)state;
    const char       *folder = asd_test_folder();
    char              path[PATH_MAX];
    asd_embeddings    e = make(ASD_EMBED_PLAIN, 0, 3, 1, 2), got;
    asd_embed_writer *w;
    asd_names         names;
    assert_ok(asd_path(path, "%s/e.h5", folder));
    assert_ok(asd_embed_save(path, &e));
    e.x[0] = -1;
    assert_ok(asd_embed_create(path, &e, &w)); /* the old file stays */
    assert_ok(asd_embed_write(w, 2, e.x));
    asd_embed_abandon(w);
    e.x[0] = -5;
    assert_ok(asd_embeddings_read(path, &got));
    assert_same(&e, &got);
    assert_ok(asd_list_folder(folder, &names));
    assert_int_equal(names.n, 1);
    asd_names_free(&names);
    asd_embeddings_clear(&got);
    asd_embeddings_clear(&e);
}

static void names(void **state)
{
    (void)state;
    const char       *path = path_of("e.h5");
    asd_embed_writer *w;
    asd_embeddings    e    = make(ASD_EMBED_PLAIN, 0, 3, 1, 2);
    char             *keep = e.clip[1];
    e.clip[1]              = e.clip[0];
    assert_fails(asd_embed_create(path, &e, &w), ASD_E_DATA, "none twice");
    assert_null(w);
    e.clip[1] = e.clip[2], e.clip[2] = keep;
    assert_fails(asd_embed_create(path, &e, &w), ASD_E_DATA, "ascending");
    e.clip[2][0] = 0;
    assert_fails(asd_embed_create(path, &e, &w), ASD_E_DATA, "of 0 bytes");
    assert_int_equal(asd_embed_look(path), ASD_EMBED_ABSENT);
    asd_embeddings_clear(&e);
}

/* --- what else may lie at a path --- */

static void set_number(const char *path, const char *name, hid_t type, const void *value)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), space = H5Screate(H5S_SCALAR);
    assert_true(file >= 0);
    if (H5Aexists(file, name) > 0)
        assert_true(H5Adelete(file, name) >= 0);
    if (value) {
        hid_t a = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Awrite(a, type, value) >= 0);
        H5Aclose(a);
    }
    H5Sclose(space);
    assert_true(H5Fclose(file) >= 0);
}

static void replace_set(const char *path, const char *name, hid_t type, int rank,
                        const hsize_t *dims)
{
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
    assert_true(file >= 0);
    if (H5Lexists(file, name, H5P_DEFAULT) > 0)
        assert_true(H5Ldelete(file, name, H5P_DEFAULT) >= 0);
    if (rank) {
        hid_t space = H5Screate_simple(rank, dims, NULL);
        hid_t set   = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(set >= 0);
        H5Dclose(set);
        H5Sclose(space);
    }
    assert_true(H5Fclose(file) >= 0);
}

static void assert_unread(const char *path, const char *part)
{
    asd_embeddings  got;
    asd_embed_file *f;
    assert_fails(asd_embeddings_read(path, &got), ASD_E_DATA, part);
    assert_null(got.x);
    assert_fails(asd_embed_open(path, &f), ASD_E_DATA, part);
    assert_null(f);
}

static void refused(void **state)
{
    (void)state;
    const char    *path   = path_of("e.h5");
    const hsize_t  few[3] = {2, 2, 2}, many[2] = {4, INT64_C(100000000)};
    asd_embeddings e    = make(ASD_EMBED_PLAIN, 0, 4, 1, 3), got;
    const int64_t  two  = 2;
    const double   half = 0.5;
    assert_unread(path, "no such file");
    assert_int_equal(asd_embed_look(path), ASD_EMBED_ABSENT);
    assert_unread("/", "no such file");
    assert_ok(asd_write_file(path, "RIFF", 4));
    assert_unread(path, "not a whole HDF5 file");
    assert_int_equal(asd_embed_look(path), ASD_EMBED_OTHER);

    assert_ok(asd_embed_save(path, &e));
    set_number(path, "complete", H5T_NATIVE_INT64, NULL);
    assert_unread(path, "never finished");
    assert_int_equal(asd_embed_look(path), ASD_EMBED_UNFINISHED);
    set_number(path, "complete", H5T_NATIVE_INT64, &two);
    assert_unread(path, "complete = 2");
    set_number(path, "complete", H5T_NATIVE_DOUBLE, &half);
    assert_unread(path, "not one whole number");
    assert_int_equal(asd_embed_look(path), ASD_EMBED_OTHER);
    assert_ok(asd_embed_save(path, &e));
    set_number(path, "format_version", H5T_NATIVE_INT64, &two);
    assert_unread(path, "format version 2, this program reads 1");
    set_number(path, "format_version", H5T_NATIVE_INT64, NULL);
    assert_unread(path, "not one of embeddings");
    assert_int_equal(asd_embed_look(path), ASD_EMBED_OTHER);
    assert_ok(asd_embed_save(path, &e));
    set_number(path, "key", H5T_NATIVE_INT64, &two);
    assert_unread(path, "\"key\" is not one text");
    static const char *const lists[] = {"clip", "n_samples", "audio", "embedding"};
    for (int i = 0; i < 4; ++i) {
        assert_ok(asd_embed_save(path, &e));
        replace_set(path, lists[i], 0, 0, NULL);
        assert_unread(path, lists[i]);
    }
    static const char *const wrong[] = {"fixed length", "whole numbers", "fixed length", "float32"};
    for (int i = 0; i < 4; ++i) {
        assert_ok(asd_embed_save(path, &e));
        replace_set(path, lists[i], H5T_NATIVE_DOUBLE, i < 3 ? 1 : 2, i < 3 ? many : few);
        assert_unread(path, wrong[i]);
    }
    assert_ok(asd_embed_save(path, &e));
    replace_set(path, "n_samples", H5T_NATIVE_INT64, 1, few);
    assert_unread(path, "\"n_samples\" has 2 values, \"embedding\" 4 clips");
    assert_ok(asd_embed_save(path, &e));
    replace_set(path, "embedding", H5T_NATIVE_FLOAT, 1, few);
    assert_unread(path, "1 dimensions");
    assert_ok(asd_embed_save(path, &e));
    replace_set(path, "embedding", H5T_NATIVE_FLOAT, 2, many); /* 1.6 GB in a file of kilobytes */
    assert_unread(path, "claims 4 x 1 x 100000000 values");
    assert_ok(asd_embed_save(path, &e));
    replace_set(path, "embedding", H5T_NATIVE_FLOAT, 3, (const hsize_t[3]){4, 1, 3});
    assert_fails(asd_embeddings_read(path, &got), ASD_E_DATA, "damaged"); /* never written: zeros */
    asd_embeddings_clear(&e);
}

static void cut_short(void **state)
{
    (void)state;
    const char    *path = path_of("e.h5");
    asd_embeddings e    = make(ASD_EMBED_ROWS, 0, 40, 4, 8), got;
    char          *bytes;
    size_t         size;
    assert_ok(asd_embed_save(path, &e));
    assert_ok(asd_read_file(path, 1 << 20, &bytes, &size));
    for (size_t n = 0; n < size; n += 1 + n / 13) {
        assert_ok(asd_write_file(path, bytes, n));
        assert_fails(asd_embeddings_read(path, &got), ASD_E_DATA, "e.h5: ");
    }
    free(bytes);
    asd_embeddings_clear(&e);
}

/* One, two or a run of wrong bytes anywhere: an error, or a byte that meant nothing. */
static void mutated(void **state)
{
    (void)state;
    const char    *path = path_of("e.h5");
    asd_embeddings e    = make(ASD_EMBED_ROWS, 0, 12, 3, 4), got;
    asd_rng        rng;
    char          *bytes;
    size_t         size;
    int            refusals = 0;
    asd_rng_init(&rng, 20260, ASD_RNG_TEST, 7, 0);
    assert_ok(asd_embed_save(path, &e));
    assert_ok(asd_read_file(path, 1 << 20, &bytes, &size));
    char *copy = malloc(size);
    for (int round = 0; round < 1500; ++round) {
        memcpy(copy, bytes, size);
        int n = 1 + (int)asd_rng_below(&rng, 3);
        for (int k = 0; k < n; ++k)
            copy[asd_rng_below(&rng, (uint32_t)size)] ^= (char)(1 + asd_rng_below(&rng, 255));
        FILE *f = fopen(path, "w");
        assert_true(f && fwrite(copy, 1, size, f) == size && !fclose(f));
        asd_status st = asd_embeddings_read(path, &got);
        if (st) {
            ++refusals;
            assert_true(st == ASD_E_DATA || st == ASD_E_IO || st == ASD_E_OOM);
            assert_true(asd_test_contains(asd_error_text(), "e.h5"));
        } else {
            assert_same(&e, &got);
        }
        asd_embeddings_clear(&got);
    }
    assert_true(refusals > 300);
    free(copy);
    free(bytes);
    asd_embeddings_clear(&e);
}

/* --- shards --- */

enum { N_SHARDS = 3, D_SHARD = 5 };
static const int64_t shard_first[N_SHARDS + 1] = {0, 5, 6, 19};
static char *const   shard_name[N_SHARDS] = {"a%b.1-of-3.h5", "a%b.2-of-3.h5", "a%b.3-of-3.h5"};

static int64_t rows_of(asd_embed_form form)
{
    return form == ASD_EMBED_PLAIN ? 1 : form == ASD_EMBED_LAYERS ? 3 : 4;
}

static void save_shards(asd_embed_form form, const char *folder)
{
    for (int i = 0; i < N_SHARDS; ++i) {
        char           path[PATH_MAX];
        asd_embeddings e =
            make(form, shard_first[i], shard_first[i + 1] - shard_first[i], rows_of(form), D_SHARD);
        if (form == ASD_EMBED_ROWS && i == 1) { /* a shard of shorter clips only */
            assert_int_equal(e.n_rows[0], 2);
            e.rows = 2;
        }
        assert_ok(asd_path(path, "%s/%s", folder, shard_name[i]));
        assert_ok(asd_embed_save(path, &e));
        asd_embeddings_clear(&e);
    }
}

static void joined(void **state)
{
    (void)state;
    const char *folder = asd_test_folder();
    char        path[PATH_MAX], moved[PATH_MAX];
    assert_ok(asd_path(path, "%s/set/a.h5", folder));
    assert_ok(asd_path(moved, "%s/moved/a.h5", folder));
    for (int form = 0; form < 3; ++form) {
        asd_embeddings e =
            make((asd_embed_form)form, 0, 19, rows_of((asd_embed_form)form), D_SHARD);
        asd_embeddings  got;
        asd_embed_file *f;
        float           x[8 * 4 * D_SHARD];
        int64_t         one = e.rows * e.D;
        char            set[PATH_MAX], to[PATH_MAX];
        assert_ok(asd_path(set, "%s/set", folder));
        assert_ok(asd_path(to, "%s/moved", folder));
        assert_ok(asd_remove_tree(to));
        assert_ok(asd_make_folders(set));
        save_shards((asd_embed_form)form, set);
        assert_ok(asd_embed_join(path, shard_name, N_SHARDS, e.key, e.key_material));
        assert_int_equal(asd_embed_look(path), ASD_EMBED_COMPLETE);
        assert_ok(asd_embeddings_read(path, &got));
        assert_same(&e, &got);
        asd_embeddings_clear(&got);
        assert_int_equal(rename(set, to),
                         0); /* shards are found beside the file, wherever that is */
        assert_ok(asd_embed_open(moved, &f));
        assert_ok(asd_embed_read(f, 3, 8, x)); /* of three shards */
        assert_memory_equal(x, e.x + 3 * one, (size_t)(8 * one) * sizeof *x);
        asd_embed_close(f);
        asd_embeddings_clear(&e);
    }
}

static void joined_wrongly(void **state)
{
    (void)state;
    const char    *folder = asd_test_folder();
    char           path[PATH_MAX], shard[PATH_MAX];
    char *const    swapped[] = {shard_name[1], shard_name[0]};
    asd_embeddings e         = make(ASD_EMBED_PLAIN, 5, 1, 1, D_SHARD), got;
    assert_ok(asd_path(path, "%s/a.h5", folder));
    assert_ok(asd_path(shard, "%s/%s", folder, shard_name[1]));
    save_shards(ASD_EMBED_PLAIN, folder);
    assert_fails(asd_embed_join(path, swapped, 2, "k", "{}"), ASD_E_DATA, "ascending");
    assert_int_equal(asd_embed_look(path), ASD_EMBED_ABSENT);
    assert_ok(asd_embed_join(path, shard_name, N_SHARDS, "k", "{}"));
    assert_ok(asd_embeddings_read(path, &got));
    asd_embeddings_clear(&got);

    e.audio[0][3] = 'f'; /* the shard was made anew from another clip */
    assert_ok(asd_embed_save(shard, &e));
    assert_unread(path, "or other audio");
    assert_int_equal(unlink(shard), 0);
    assert_unread(path, "there is no such file");
    assert_fails(asd_embed_join(path, shard_name, N_SHARDS, "k", "{}"), ASD_E_DATA,
                 "a%b.2-of-3.h5: there is no such file");
    e.D = 4;
    assert_ok(asd_embed_save(shard, &e));
    e.D = D_SHARD;
    assert_unread(path, "another shape");
    assert_fails(asd_embed_join(path, shard_name, N_SHARDS, "k", "{}"), ASD_E_DATA,
                 "1 x 4 values a clip");
    asd_embeddings_clear(&e);
}

/* --- the system --- */

static void no_space(void **state)
{
    (void)state;
    const char    *folder = asd_test_folder();
    char           path[PATH_MAX];
    asd_names      names;
    struct rlimit  old, tight;
    asd_embeddings e = make(ASD_EMBED_PLAIN, 0, 500, 1, 64);
    assert_ok(asd_path(path, "%s/e.h5", folder));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (rlim_t bytes = 100; bytes < 128000; bytes += bytes / 2) {
        tight = (struct rlimit){bytes, old.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        asd_status st = asd_embed_save(path, &e);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
        assert_fails(st, ASD_E_IO, "e.h5: cannot write: File too large");
        assert_ok(asd_list_folder(folder, &names));
        assert_int_equal(names.n, 0);
        asd_names_free(&names);
    }
    signal(SIGXFSZ, handler);
    assert_ok(asd_embed_save(path, &e));
    assert_fails(asd_embed_save("/proc/e.h5", &e), ASD_E_IO, "/proc/e.h5: cannot write: ");
    asd_embeddings_clear(&e);
}

/* --- h5py, when it is there --- */

static const char *python_with_h5py(void)
{
    static const char *const candidates[] = {"/usr/bin/python3", "python3"};
    char                     command[200];
    for (int i = 0; i < 2; ++i) {
        snprintf(command, sizeof command, "%s -c 'import h5py, numpy' 2>/dev/null", candidates[i]);
        if (!asd_test_shell(command, NULL))
            return candidates[i];
    }
    return NULL;
}

static void h5py_reads(void **state)
{
    (void)state;
    const char *python = python_with_h5py(), *folder = asd_test_folder();
    char        script[PATH_MAX], path[PATH_MAX], command[2 * PATH_MAX + 200];
    if (!python) {
        print_message("skipped: python3-h5py is not here\n");
        skip();
    }
    static const char source[] =
        "import sys, json, h5py, numpy\n"
        "for path in sys.argv[1:]:\n"
        "    f = h5py.File(path, 'r')\n"
        "    assert f.attrs['complete'] == 1 and f.attrs['format_version'] == 1\n"
        "    assert json.loads(f.attrs['key_material'])['encoder']['kind'] == 'beats'\n"
        "    assert f.attrs['key'].decode() == '0123456789abcdef' * 2\n"
        "    x = f['embedding'][:]\n"
        "    assert x.dtype == numpy.float32 and x.shape == (19, 4, 5), (x.dtype, x.shape)\n"
        "    assert f['n_samples'][:].tolist() == [16000 + i for i in range(19)]\n"
        "    names = [s.decode('utf-8') for s in f['clip'][:]]\n"
        "    assert names[3] == 'fan/train/clip_00003_d\\u00e9j\\u00e0.wav', names[3]\n"
        "    assert names[18].startswith('fan/train/clip_00018')\n"
        "    for i in range(19):\n"
        "        rows = f['n_rows'][i]\n"
        "        assert rows == 1 + i % 4\n"
        "        want = numpy.arange(i * 1000, i * 1000 + rows * 5, dtype=numpy.float32)\n"
        "        want = want * numpy.float32(0.37) - 5\n"
        "        assert abs(x[i, :rows].ravel() - want).max() < 0.01\n"
        "        assert numpy.isnan(x[i, rows:]).all()\n"
        "    print(path, 'is read')\n";
    assert_ok(asd_path(script, "%s/read.py", folder));
    assert_ok(asd_write_file(script, source, sizeof source - 1));
    asd_embeddings e = make(ASD_EMBED_ROWS, 0, 19, 4, D_SHARD);
    save_shards(ASD_EMBED_ROWS, folder);
    assert_ok(asd_path(path, "%s/joined.h5", folder));
    assert_ok(asd_embed_join(path, shard_name, N_SHARDS, e.key, e.key_material));
    assert_ok(asd_path(path, "%s/plain.h5", folder));
    assert_ok(asd_embed_save(path, &e));
    snprintf(command, sizeof command, "cd / && %s %s %s/plain.h5 %s/joined.h5", python, script,
             folder, folder);
    assert_int_equal(asd_test_shell(command, NULL), 0);
    asd_embeddings_clear(&e);
}

static const struct CMUnitTest cases[] = {
    {"embed_h5/round-trip/every-shape", round_trip, NULL, NULL, NULL},
    {"embed_h5/write/in-pieces", in_pieces, NULL, NULL, NULL},
    {"embed_h5/write/abandoned", abandoned, NULL, NULL, NULL},
    {"embed_h5/write/names", names, NULL, NULL, NULL},
    {"embed_h5/read/refused", refused, NULL, NULL, NULL},
    {"embed_h5/read/cut-short", cut_short, NULL, NULL, NULL},
    {"embed_h5/read/mutated", mutated, NULL, NULL, NULL},
    {"embed_h5/join/shards", joined, NULL, NULL, NULL},
    {"embed_h5/join/wrong-shards", joined_wrongly, NULL, NULL, NULL},
    {"embed_h5/write/no-space", no_space, NULL, NULL, NULL},
    {"embed_h5/h5py/plain-and-joined", h5py_reads, NULL, NULL, NULL},
};
ASD_TEST_MAIN(cases)
