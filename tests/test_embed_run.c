/* test_embed_run.c - clips through an embedder into a file: whatever the batch, the threads, the
 * shards or the interruptions, the same bytes; and nothing stale is taken for fresh.
 *
 * The embedder is a formula over a clip's signals, so that the truth is known.
 */
#include "harness.h"

#include "base/file.h"
#include "data/embed_parts.h"
#include "data/embed_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RATE = 1000, N_CLIPS = 23, D = 3, N_LAYERS = 2, ROW_SAMPLES = 100 };

static const int64_t widths[N_LAYERS] = {D, D};

typedef struct fake {
    int64_t calls, clips, fail_after; /* fails in the call after so many clips; -1: never */
    int     rows;                     /* many rows a clip, or one */
    int     n_signals;
    int64_t nan_at; /* S of clips that become NaN; 0: none */
    float  *y[N_LAYERS];
} fake;

static float value(const float *x, int64_t S, int64_t l, int64_t r, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < S; ++i)
        sum += (double)x[i] * (double)((i * (d + 1) + 7 * r + 3 * l) % 11 - 5);
    return (float)sum;
}

/* Output l has rows of its own: one, or one a hundred samples, and l more. */
static int64_t rows_of(const fake *f, int64_t S, int64_t l)
{
    return f->rows ? S / ROW_SAMPLES + l : 1;
}

static asd_status fake_run(void *ctx, int64_t B, int64_t S, const float *x, const float **y,
                           int64_t *rows)
{
    fake *f = ctx;
    if (f->fail_after >= 0 && f->clips >= f->fail_after)
        return ASD_FAIL(ASD_E_DEVICE, "the device fell off");
    ++f->calls;
    f->clips += B;
    for (int64_t l = 0; l < N_LAYERS; ++l) {
        rows[l] = rows_of(f, S, l);
        f->y[l] = realloc(f->y[l], (size_t)(B * rows[l] * D) * sizeof(float));
        y[l]    = f->y[l];
        for (int64_t b = 0; b < B; ++b)
            for (int64_t r = 0; r < rows[l]; ++r)
                for (int64_t d = 0; d < D; ++d)
                    f->y[l][(b * rows[l] + r) * D + d] =
                        S == f->nan_at ? NAN
                                       : value(x + b * f->n_signals * S, f->n_signals * S, l, r, d);
    }
    return ASD_OK;
}

/* A folder with clips of three lengths, and a job over them. */
typedef struct setup {
    const char      *folder;
    asd_embed_clip   clip[N_CLIPS];
    char             path[2][PATH_MAX];
    fake             fake;
    asd_embed_output output[2];
    asd_embed_job    job;
} setup;

static int64_t frames_of(int64_t i)
{
    return i % 5 == 2 ? 700 : i % 7 == 3 ? 400 : 500;
}

static void write_clip(const char *path, int64_t frames, int64_t seed)
{
    float *x = malloc((size_t)(2 * frames) * sizeof *x);
    for (int64_t i = 0; i < 2 * frames; ++i)
        x[i] = (float)((i * 7919 + seed * 104729) % 2003 - 1001) / 1024.0F;
    assert_ok(asd_wav_write16(path, x, frames, 2, RATE));
    free(x);
}

static void set_up(setup *s, int rows)
{
    memset(s, 0, sizeof *s);
    s->folder = asd_test_folder();
    s->fake   = (fake){.fail_after = -1, .rows = rows, .n_signals = 2};
    for (int64_t i = 0; i < N_CLIPS; ++i) {
        assert_true(asprintf(&s->clip[i].path, "%s/%02lld.wav", s->folder, (long long)i) > 0);
        assert_true(asprintf(&s->clip[i].name, "fan/train/%02lld.wav", (long long)i) > 0);
        write_clip(s->clip[i].path, frames_of(i), i);
    }
    assert_ok(asd_embed_probe(s->clip, N_CLIPS));
    for (int k = 0; k < 2; ++k) {
        assert_ok(asd_path(s->path[k], "%s/%s.h5", s->folder, k ? "second" : "first"));
        s->output[k] = (asd_embed_output){.path   = s->path[k],
                                          .method = k ? "{\"format\":1,\"layer\":2}"
                                                      : "{\"format\":1,\"layer\":1}",
                                          .form   = rows ? ASD_EMBED_ROWS : ASD_EMBED_PLAIN,
                                          .first  = k,
                                          .n      = 1};
    }
    s->job = (asd_embed_job){.clip      = s->clip,
                             .n         = N_CLIPS,
                             .ear       = {.rate_hz = RATE, .n_signals = 2},
                             .embedder  = {.ctx         = &s->fake,
                                           .run         = fake_run,
                                           .n_outputs   = N_LAYERS,
                                           .D           = widths,
                                           .min_samples = ROW_SAMPLES},
                             .output    = s->output,
                             .n_outputs = 2,
                             .batch     = 4,
                             .readers   = 2};
}

static void tear_down(setup *s)
{
    for (int64_t i = 0; i < N_CLIPS; ++i) {
        free(s->clip[i].path);
        free(s->clip[i].name);
    }
    for (int l = 0; l < N_LAYERS; ++l)
        free(s->fake.y[l]);
}

/* As if a new process had begun. */
static void forget(setup *s)
{
    for (int64_t i = 0; i < N_CLIPS; ++i)
        s->clip[i].audio[0] = 0;
    assert_ok(asd_embed_probe(s->clip, N_CLIPS));
    s->fake.calls = s->fake.clips = 0;
    s->job.computed               = 0;
}

static void remove_outputs(const setup *s)
{
    for (int k = 0; k < 2; ++k)
        assert_int_equal(unlink(s->path[k]), 0);
}

static void assert_right(const setup *s)
{
    for (int k = 0; k < 2; ++k) {
        asd_embeddings e;
        assert_ok(asd_embeddings_read(s->path[k], &e));
        assert_int_equal(e.N, N_CLIPS);
        assert_int_equal(e.D, D);
        assert_int_equal(e.rows, rows_of(&s->fake, 700, k));
        for (int64_t i = 0; i < N_CLIPS; ++i) {
            float       *x, *both;
            asd_wav_info info;
            assert_ok(asd_wav_read_all(s->clip[i].path, 0, &x, &info));
            int64_t S = info.frames, rows = rows_of(&s->fake, S, k);
            both = malloc((size_t)(2 * S) * sizeof *both);
            for (int64_t t = 0; t < 2 * S; ++t)
                both[t % 2 * S + t / 2] = x[t];
            assert_string_equal(e.clip[i], s->clip[i].name);
            assert_int_equal(e.n_samples[i], S);
            for (int64_t r = 0; r < e.rows; ++r)
                for (int64_t d = 0; d < D; ++d) {
                    float got = e.x[(i * e.rows + r) * D + d];
                    if (r < rows)
                        assert_true(got == value(both, 2 * S, k, r, d));
                    else
                        assert_true(isnan(got));
                }
            if (s->fake.rows)
                assert_int_equal(e.n_rows[i], rows);
            free(both);
            free(x);
        }
        asd_embeddings_clear(&e);
    }
}

static int n_files(const char *folder, const char *with)
{
    asd_names names;
    int       n = 0;
    assert_ok(asd_list_folder(folder, &names));
    for (int64_t i = 0; i < names.n; ++i)
        n += strstr(names.name[i], with) != NULL;
    asd_names_free(&names);
    return n;
}

static void same_bytes(void **state)
{
    (void)state;
    static const int64_t batch[] = {4, 1, 3, 64}, readers[] = {2, 1, 5, 3}, part[] = {0, 1, 5, 7};
    for (int rows = 0; rows < 2; ++rows) {
        setup s;
        char  want[2][33], got[33], key[33];
        set_up(&s, rows);
        for (int i = 0; i < 4; ++i) {
            s.job.batch      = batch[i];
            s.job.readers    = readers[i];
            s.job.part_clips = part[i];
            forget(&s);
            assert_ok(asd_embed_run(&s.job));
            assert_int_equal(s.job.computed, N_CLIPS);
            assert_int_equal(n_files(s.folder, ".part"), 0);
            assert_int_equal(n_files(s.folder, "tmp"), 0);
            if (!i) {
                assert_right(&s);
                memcpy(key, s.output[0].key, sizeof key);
                assert_string_not_equal(key, s.output[1].key);
            }
            assert_string_equal(key, s.output[0].key);
            for (int k = 0; k < 2; ++k) {
                assert_ok(asd_hash_file(s.path[k], i ? got : want[k]));
                if (i)
                    assert_string_equal(got, want[k]);
            }
            remove_outputs(&s);
        }
        tear_down(&s);
    }
}

static void batches_are_full(void **state)
{
    (void)state;
    setup   s;
    int64_t of[3] = {0};
    set_up(&s, 0);
    for (int64_t i = 0; i < N_CLIPS; ++i)
        ++of[frames_of(i) == 700 ? 2 : frames_of(i) == 500];
    assert_ok(asd_embed_run(&s.job));
    assert_int_equal(s.fake.calls, (of[0] + 3) / 4 + (of[1] + 3) / 4 + (of[2] + 3) / 4);
    tear_down(&s);
}

static void goes_on(void **state)
{
    (void)state;
    setup s;
    char  want[33], got[33];
    set_up(&s, 1);
    assert_ok(asd_embed_run(&s.job));
    assert_ok(asd_hash_file(s.path[0], want));
    remove_outputs(&s);

    s.job.part_clips  = 5;
    s.fake.fail_after = 10;
    forget(&s);
    assert_fails(asd_embed_run(&s.job), ASD_E_DEVICE, "the device fell off");
    assert_int_equal(asd_embed_look(s.path[0]), ASD_EMBED_ABSENT);
    assert_int_equal(n_files(s.folder, ".part"), 2);
    int64_t first = s.fake.clips;
    assert_true(first >= 10 && first < N_CLIPS);
    char part[PATH_MAX], *bytes;
    assert_ok(asd_path(part, "%s/.first.h5.part", s.folder));
    assert_true(n_files(part, ".h5") >= 2);

    forget(&s); /* goes on, in other batches, and is stopped again */
    s.job.batch       = 3;
    s.fake.fail_after = 6;
    assert_fails(asd_embed_run(&s.job), ASD_E_DEVICE, "the device fell off");
    int64_t second = s.fake.clips;

    /* One part is damaged, one clip sounds otherwise by now: these are made again. */
    size_t size;
    assert_ok(asd_path(part, "%s/.first.h5.part/000001.h5", s.folder));
    assert_ok(asd_read_file(part, 1 << 20, &bytes, &size));
    bytes[size - 3] ^= 1;
    assert_ok(asd_write_file(part, bytes, size));
    free(bytes);
    forget(&s);
    s.fake.fail_after = -1;
    assert_ok(asd_embed_run(&s.job));
    assert_true(s.fake.clips < N_CLIPS);
    assert_true(s.fake.clips > N_CLIPS - first - second);
    assert_ok(asd_hash_file(s.path[0], got));
    assert_string_equal(got, want);
    assert_right(&s);
    assert_int_equal(n_files(s.folder, ".part"), 0);
    tear_down(&s);
}

static void changed_meanwhile(void **state)
{
    (void)state;
    setup s;
    set_up(&s, 0);
    s.job.part_clips  = 1;
    s.fake.fail_after = 12;
    assert_fails(asd_embed_run(&s.job), ASD_E_DEVICE, "the device fell off");
    int64_t done = 0, were = s.fake.clips;
    for (int64_t i = 0; i < N_CLIPS; ++i)
        if (frames_of(i) == 400 && !done++) /* the shortest are done first */
            write_clip(s.clip[i].path, 400, 1000);
    assert_true(done > 0);
    forget(&s);
    s.fake.fail_after = -1;
    assert_ok(asd_embed_run(&s.job));
    assert_int_equal(s.job.computed, N_CLIPS - were + 1);
    assert_right(&s);

    for (int64_t i = 0; i < N_CLIPS; ++i) /* and under our hands */
        if (i == 9)
            write_clip(s.clip[i].path, frames_of(i), 77);
    assert_int_equal(unlink(s.path[1]), 0);
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "09.wav: changed while it was used");
    tear_down(&s);
}

static void up_to_date(void **state)
{
    (void)state;
    setup s;
    char  before[33], after[33];
    set_up(&s, 0);
    assert_ok(asd_embed_run(&s.job));
    assert_ok(asd_hash_file(s.path[0], before));
    forget(&s);
    assert_ok(asd_embed_run(&s.job));
    assert_true(s.output[0].up_to_date && s.output[1].up_to_date);
    assert_int_equal(s.fake.calls, 0);

    /* Killed after the file got its name, before its parts went. */
    asd_embed_parts *p;
    assert_ok(asd_embed_parts_open(s.path[0], s.output[0].method, &p));
    forget(&s);
    assert_ok(asd_embed_run(&s.job));
    assert_int_equal(n_files(s.folder, ".part"), 1); /* somebody is at it */
    asd_embed_parts_close(p);
    assert_ok(asd_embed_run(&s.job));
    assert_int_equal(n_files(s.folder, ".part"), 0);

    /* One of two is gone: only that one is made. */
    assert_int_equal(unlink(s.path[1]), 0);
    forget(&s);
    assert_ok(asd_embed_run(&s.job));
    assert_true(s.output[0].up_to_date && !s.output[1].up_to_date);
    assert_right(&s);

    /* Another method, other clips, other audio: refused, with what differs. */
    s.output[0].method = "{\"format\":1,\"layer\":7}";
    assert_fails(asd_embed_check(&s.job), ASD_E_DATA, "layer: was 1, now 7; -f makes it anew");
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "first.h5: is there, but not what is wanted");
    s.output[0].method = "{\"format\":1,\"layer\":1}";
    s.job.n            = N_CLIPS - 1;
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "0 clips are new, 1 gone, 0 sound otherwise");
    s.job.n = N_CLIPS;
    write_clip(s.clip[4].path, frames_of(4), 500);
    forget(&s);
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA,
                 "0 clips are new, 0 gone, 1 sound otherwise (fan/train/04.wav)");
    assert_ok(asd_hash_file(s.path[0], after));
    assert_string_equal(before, after);
    s.job.force = 1;
    forget(&s);
    assert_ok(asd_embed_run(&s.job));
    assert_int_equal(s.job.computed, N_CLIPS);
    assert_right(&s);

    /* What is no file of embeddings is not overwritten unasked; an unfinished one is. */
    s.job.force = 0;
    assert_ok(asd_write_file(s.path[0], "precious", 8));
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "not a whole HDF5 file");
    s.job.force = 1;
    assert_ok(asd_embed_run(&s.job));
    assert_right(&s);
    tear_down(&s);
}

static void sharded(void **state)
{
    (void)state;
    for (int rows = 0; rows < 2; ++rows) {
        setup          s;
        asd_embeddings whole, joined;
        char           shard[PATH_MAX];
        set_up(&s, rows);
        assert_ok(asd_embed_run(&s.job));
        assert_ok(asd_embeddings_read(s.path[0], &whole));
        remove_outputs(&s);
        s.job.n_shards = 3;
        for (int i = 0; i < 3; ++i) {
            s.job.shard = "\2\1\3"[i];
            forget(&s);
            assert_int_equal(asd_embed_look(s.path[0]), ASD_EMBED_ABSENT);
            assert_ok(asd_embed_run(&s.job));
            assert_int_equal(s.output[0].joined, i == 2);
        }
        assert_ok(asd_embeddings_read(s.path[0], &joined));
        assert_string_equal(joined.key, whole.key);
        assert_string_equal(joined.key_material, whole.key_material);
        assert_memory_equal(joined.x, whole.x,
                            (size_t)(whole.N * whole.rows * whole.D) * sizeof *whole.x);
        assert_right(&s);
        asd_embeddings_clear(&joined);
        asd_embeddings_clear(&whole);

        s.job.n_shards = 0; /* the whole is up to date, by all its clips */
        forget(&s);
        assert_ok(asd_embed_run(&s.job));
        assert_int_equal(s.job.computed, 0);

        assert_ok(asd_embed_join_shards(s.path[0], 3, s.output[0].method, 0));
        assert_fails(asd_embed_join_shards(s.path[0], 3, "{\"format\":1,\"layer\":3}", 0),
                     ASD_E_DATA, "layer: was 1, now 3");
        assert_fails(asd_embed_join_shards(s.path[0], 4, s.output[0].method, 0), ASD_E_DATA,
                     "1-of-4.h5: there is no such file");

        /* a file of somebody else, and one made in another way, are not replaced */
        assert_ok(asd_write_file(s.path[0], "precious", 8));
        assert_fails(asd_embed_join_shards(s.path[0], 3, NULL, 0), ASD_E_DATA, "-f replaces it");
        assert_int_equal(rename(s.path[1], s.path[0]), 0);
        assert_fails(asd_embed_join_shards(s.path[0], 3, NULL, 0), ASD_E_DATA,
                     "made in another way: layer: was 2, now 1; -f replaces it");
        assert_ok(asd_embed_join_shards(s.path[0], 3, NULL, 1));
        assert_ok(asd_embed_join_shards(s.path[1], 3, s.output[1].method, 0));
        assert_right(&s);
        assert_ok(asd_embed_shard_path(s.path[0], 2, 3, shard));
        assert_int_equal(unlink(shard), 0);
        assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "2-of-3.h5: there is no such file");
        s.job.n_shards = 30, s.job.shard = 1;
        assert_fails(asd_embed_run(&s.job), ASD_E_USAGE, "shard 1 of 30 has none of the 23 clips");
        tear_down(&s);
    }
}

static void refused(void **state)
{
    (void)state;
    setup s;
    set_up(&s, 0);
    s.job.embedder.min_samples = 401;
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "400 samples at 1000 Hz, the encoder wants at");
    s.job.embedder.min_samples = 0;
    s.job.embedder.max_samples = 600;
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "700 samples at 1000 Hz, the encoder takes at");
    s.job.embedder.max_samples = 0;
    s.fake.nan_at              = 700;
    assert_fails(asd_embed_run(&s.job), ASD_E_NUMERIC, "02.wav: its embedding has nan at value 0");
    s.fake.nan_at = 0;
    assert_ok(asd_write_file(s.clip[5].path, "RIFF", 4)); /* after it was probed */
    s.clip[5].audio[0] = 0;
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "05.wav");
    const asd_wav_info info = s.clip[5].info;
    assert_fails(asd_embed_probe(s.clip, N_CLIPS), ASD_E_DATA, "05.wav");
    s.clip[5].info = info;
    write_clip(s.clip[5].path, frames_of(5) - 9, 5);
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "05.wav: 491 samples, its header promised 500");
    asd_embed_parts *p, *again;
    assert_ok(asd_embed_parts_open(s.path[0], s.output[0].method, &p));
    assert_fails(asd_embed_parts_open(s.path[0], s.output[0].method, &again), ASD_E_USAGE,
                 "another process is making this file");
    assert_null(again);
    asd_embed_parts_close(p);
    write_clip(s.clip[5].path, frames_of(5), 5);
    s.job.ear.n_signals = 3;
    forget(&s);
    s.job.output->method = "{}";
    assert_fails(asd_embed_run(&s.job), ASD_E_DATA, "2 channels, want 3");
    tear_down(&s);
}

/* Clips of another rate, cut: what the embedder hears is the resampled head of each channel. */
static void resampled(void **state)
{
    (void)state;
    setup s;
    set_up(&s, 0);
    s.job.ear.rate_hz     = 1600;
    s.job.ear.max_samples = 720;
    assert_ok(asd_embed_run(&s.job));
    asd_embeddings e;
    assert_ok(asd_embeddings_read(s.path[0], &e));
    for (int64_t i = 0; i < N_CLIPS; ++i) {
        float       *near, *far, *both = malloc(2 * 720 * sizeof *both);
        int64_t      n, S = frames_of(i) * 16 / 10 < 720 ? frames_of(i) * 16 / 10 : 720;
        asd_wav_info info;
        assert_ok(asd_wav_read(s.clip[i].path, ASD_HEAR_NEAR, 1600, &near, &n, &info));
        assert_ok(asd_wav_read(s.clip[i].path, ASD_HEAR_FAR, 1600, &far, &n, &info));
        assert_int_equal(e.n_samples[i], S);
        memcpy(both, near, (size_t)S * sizeof *near);
        memcpy(both + S, far, (size_t)S * sizeof *far);
        for (int64_t d = 0; d < D; ++d)
            assert_near(e.x[i * D + d], value(both, 2 * S, 0, 0, d), 1e-3);
        free(near);
        free(far);
        free(both);
    }
    asd_embeddings_clear(&e);
    tear_down(&s);
}

static const struct CMUnitTest cases[] = {
    {"embed/run/same-bytes", same_bytes, NULL, NULL, NULL},
    {"embed/run/batches-are-full", batches_are_full, NULL, NULL, NULL},
    {"embed/run/goes-on", goes_on, NULL, NULL, NULL},
    {"embed/run/changed-meanwhile", changed_meanwhile, NULL, NULL, NULL},
    {"embed/run/up-to-date", up_to_date, NULL, NULL, NULL},
    {"embed/run/shards", sharded, NULL, NULL, NULL},
    {"embed/run/refused", refused, NULL, NULL, NULL},
    {"embed/run/resampled", resampled, NULL, NULL, NULL},
};
ASD_TEST_MAIN(cases)
