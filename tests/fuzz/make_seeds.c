/* make_seeds.c - the first inputs of the fuzz targets whose formats are binary.
 *
 *   make_seeds FOLDER      writes FOLDER/zip/..., FOLDER/pickle/..., FOLDER/safetensors/...,
 * FOLDER/wav/...
 */
#include "base/file.h"
#include "fuzz/fuzz.h"

#include <assert.h>
#define assert_non_null(p) MUST((p) != NULL)
#define assert_int_equal(a, b) MUST((a) == (b))
#include "weights_writer.h"

static const char *folder_of(const char *root, const char *name)
{
    static char path[PATH_MAX];
    MUST(!asd_path(path, "%s/%s", root, name) && !asd_make_folders(path));
    return path;
}

static const char *file_of(const char *root, const char *folder, const char *name)
{
    static char path[PATH_MAX];
    MUST(!asd_path(path, "%s/%s", folder_of(root, folder), name));
    return path;
}

static const float x[12] = {1, -2, 3.5f, 4, 5, 6, 7, 8, 9, 10, 11, 12};

static void make_weights(const char *root)
{
    const ww_tensor  t[] = {{"model", "blocks.0.weight", 2, {3, 4}, x},
                            {"model", "blocks.0.bias", 1, {3}, x},
                            {"model", "scale", 0, {0}, x},
                            {"model._ema", "blocks.0.bias", 1, {3}, x}};
    const ww_setting s[] = {
        {"cfg", "layers", WW_INT, 12, NULL}, {"cfg", "wide", WW_INT, 1e10, NULL},
        {"cfg", "drop", WW_REAL, 0.1, NULL}, {"cfg", "norm", WW_BOOL, 1, NULL},
        {"cfg", "none", WW_NONE, 0, NULL},   {"cfg", "name", WW_TEXT, 0, "gelu"}};
    const ww_setting m[] = {{"", "format", WW_TEXT, 0, "pt"}};
    ww_write(WW_ZIP, file_of(root, "zip", "zip"), t, 4, s, 6);
    ww_write(WW_LEGACY, file_of(root, "zip", "legacy"), t, 4, s, 6);
    ww_write(WW_SAFETENSORS, file_of(root, "safetensors", "two"), t + 2, 2, m, 1);
    ww_write(WW_SAFETENSORS, file_of(root, "safetensors", "four"), t, 4, m, 1);
    ww_pickler p = {.t = t, .s = s, .n_t = 4, .n_s = 6};
    ww_pickle(&p);
    MUST(!asd_write_file(file_of(root, "pickle", "model"), p.b.at, p.b.n));
    free(p.b.at);
    const char classes[] =
        "\x80\4\x95\0\0\0\0\0\0\0\0}\x94(\x8c\4args\x94\x8c\x08"
        "argparse\x94\x8c\x09Namespace"
        "\x94\x93\x94)\x81\x94}\x94\x8c\5layer\x94K\x0csb\x8c\3set\x94\x8f\x94(K\1K\2\x90u.";
    MUST(!asd_write_file(file_of(root, "pickle", "classes"), classes, sizeof classes - 1));
}

/* PCM of 8 to 32 bits and floats; plain and extensible headers. */
static void make_wavs(const char *root)
{
    static const struct {
        int tag, bits, channels, extensible;
    } kind[] = {{1, 16, 2, 0}, {1, 8, 1, 0},  {1, 24, 1, 1},
                {1, 32, 2, 0}, {3, 32, 1, 0}, {3, 64, 1, 1}};
    for (size_t i = 0; i < sizeof kind / sizeof *kind; ++i) {
        const int frames = 5, block = kind[i].bits / 8 * kind[i].channels;
        const int format = kind[i].extensible ? 40 : 16, bytes = frames * block;
        ww_buffer b = {0};
        char      name[32];
        ww_put(&b, "RIFF", 4);
        ww_le(&b, (uint64_t)(4 + 8 + format + 8 + bytes), 4);
        ww_put(&b, "WAVEfmt ", 8);
        ww_le(&b, (uint64_t)format, 4);
        ww_le(&b, kind[i].extensible ? 0xfffe : (uint64_t)kind[i].tag, 2);
        ww_le(&b, (uint64_t)kind[i].channels, 2);
        ww_le(&b, 16000, 4);
        ww_le(&b, (uint64_t)(16000 * block), 4);
        ww_le(&b, (uint64_t)block, 2);
        ww_le(&b, (uint64_t)kind[i].bits, 2);
        if (kind[i].extensible) {
            ww_le(&b, 22, 2);
            ww_le(&b, (uint64_t)kind[i].bits, 2);
            ww_le(&b, 4, 4);
            ww_le(&b, (uint64_t)kind[i].tag, 2);
            ww_put(&b, "\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71", 14);
        }
        ww_put(&b, "data", 4);
        ww_le(&b, (uint64_t)bytes, 4);
        for (int k = 0; k < bytes; ++k)
            ww_le(&b, kind[i].tag == 3 ? 0 : (uint64_t)(k * 7), 1);
        if (b.n % 2)
            ww_le(&b, 0, 1);
        snprintf(name, sizeof name, "%d-%d", kind[i].tag, kind[i].bits);
        MUST(!asd_write_file(file_of(root, "wav", name), b.at, b.n));
        free(b.at);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: make_seeds FOLDER\n");
        return 2;
    }
    make_weights(argv[1]);
    make_wavs(argv[1]);
    return 0;
}
