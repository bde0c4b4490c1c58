/* test_weights_pickle.c - pickles that call, pickles that are broken, pickles that hold what is
 * unusual: nothing may be executed, and what is refused is named. */
#include "harness.h"

#include "base/file.h"
#include "weights_hostile.h"

#include <unistd.h>

/* A checkpoint of this pickle and two storages, 0 and 1, of 64 bytes. */
static asd_status open_pickle(const char *pickle, size_t n_pickle, asd_weights *w, char **bytes)
{
    const part p[] = {{"a/data.pkl", pickle, n_pickle},
                      {"a/data/0", floats, sizeof floats},
                      {"a/data/1", floats, sizeof floats}};
    size_t     n;
    *bytes = archive_of(p, 3, &n);
    return asd_weights_parse("h.pt", *bytes, n, 1, w);
}

static void refuse_pickle(const char *pickle, size_t n, const char *message)
{
    asd_weights w;
    char       *bytes;
    asd_status  st = open_pickle(pickle, n, &w, &bytes);
    if (st != ASD_E_DATA || !strstr(asd_error_text(), message) || !strstr(asd_error_text(), "h.pt"))
        fail_msg("status %s \"%s\", want \"%s\" and the file's name", asd_status_name(st),
                 st ? asd_error_text() : "", message);
    asd_weights_close(&w);
    free(bytes);
}

/* --- pickles that call --- */

#define COMMAND X("touch " MARKER, "\x19")
#define MARKER "/tmp/asd-was-called"

static const bad calls[] = {
    BAD("\x80\2cos\nsystem\n" COMMAND "\x85R.", "names os.system: refused"),
    BAD("\x80\2cposix\nsystem\n" COMMAND "\x85R.", "posix.system"),
    BAD("\x80\2cos.path\njoin\n.", "os.path.join"),
    BAD("\x80\2c__builtin__\neval\n" COMMAND "\x85R.", "__builtin__.eval"),
    BAD("\x80\2c__builtin__\ndict\n)R.", "calls __builtin__.dict"),
    BAD("\x80\4\x95\0\0\0\0\0\0\0\0\x8c\x08"
        "builtins\x94\x8c\4exec\x94\x93\x94" COMMAND "\x85R.",
        "builtins.exec"),
    BAD("\x80\4\x8c\2os\x8c\6system\x93.", "os.system"),
    BAD("\x80\2csubprocess\nPopen\n" COMMAND "\x85\x81.", "subprocess.Popen"),
    BAD("\x80\2cbuiltins\nobject\n)\x81.", "makes a builtins.object"),
    BAD("\x80\2ctorch\nload\n" COMMAND "\x85R.", "calls torch.load"),
    BAD("\x80\2ctorch.hub\nload\n.", "torch.hub.load"),
    BAD("\x80\2cmymodel\nNet\n)R.", "calls mymodel.Net"),
    BAD("\x80\2cargparse\nArgumentParser\n)R.", "calls argparse.ArgumentParser"),
    BAD("\x80\2cfairseqx\nNet\n)R.", "calls fairseqx.Net"), /* no module below fairseq */
    BAD("\x80\2ctorch._utils\n_rebuild_tensor_v3\n)R.", "calls torch._utils._rebuild_tensor_v3"),
    BAD("\x80\2(cos\nsystem\n" COMMAND "i.", "os.system"),
    BAD("\x80\2(" COMMAND "imymodel\nNet\n.", "opcode 0x69"), /* INST */
    BAD("\x80\2(K\1o.", "opcode 0x6f"),                       /* OBJ */
    BAD("\x80\2\x82\1.", "opcode 0x82"),                      /* EXT1 */
    BAD("\x80\2Pid\n.", "opcode 0x50"),                       /* PERSID in text */
};

static void test_calls(void **state)
{
    (void)state;
    unlink(MARKER);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; ++i)
        refuse_pickle(calls[i].bytes, calls[i].n, calls[i].message);
    assert_false(asd_is_file(MARKER));
}

/* The same in the legacy form, and from a file. */
static void test_calls_legacy(void **state)
{
    (void)state;
    char        path[PATH_MAX];
    asd_weights w;
    const char  file[] = "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M\xe9\3."
                         "\x80\2}X\x0d\0\0\0little_endian\x88s."
                         "\x80\2cposix\nsystem\n" COMMAND "\x85R.";
    unlink(MARKER);
    assert_ok(asd_path(path, "%s/l.pt", asd_test_folder()));
    assert_ok(asd_write_file(path, file, sizeof file - 1));
    assert_fails(asd_weights_open(path, &w), ASD_E_DATA, "l.pt: the pickle names posix.system");
    assert_int_equal(asd_exit_code(ASD_E_DATA), 3);
    asd_weights_close(&w);
    assert_false(asd_is_file(MARKER));
}

/* Classes beside the tensors become records. */
static void test_inert(void **state)
{
    (void)state;
    const char pickle[] = "\x80\2}(" X("args", "\4") "cargparse\nNamespace\n)\x81}(" X("layers", "\6") "K\x0cub" X("conf", "\4") "comegaconf.dictconfig\nDictConfig\n)R}" X(
        "n",
        "\1") "K\5sb" X("path",
                        "\4") "cpathlib\nPosixPath\n" X("/x",
                                                        "\2") "\x85R" X("class",
                                                                        "\5") "cmymodel\nNet\n" X("object",
                                                                                                  "\6") "cmymodel\nNet\n)\x81" X("st", "\2") "b" X("bare", "\4") "cmymodel\nNet\n)\x81" X("list", "\4") "cmymodel\nMyList\n)\x81(K\7K\x08"
                                                                                                                                                                                                        "e" X(
                                                                                                                                                                                                            "default", "\7") "ccollections\ndefaultdict\nc__builtin__\nint\n\x85RK\1K\2s" X("set", "\3") "c__builtin__\nset\n](K\4K\5e\x85R" X("bytes", "\5") "c_codecs\nencode\n" X("ab", "\2") X("latin1",
                                                                                                                                                                                                                                                                                                                                                                                                   "\6") "\x86R"
                                                                                                                                                                                                                                                                                                                                                                                                         "u.";
    asd_weights w;
    char       *bytes;
    double      v;
    assert_ok(open_pickle(pickle, sizeof pickle - 1, &w, &bytes));
    assert_int_equal(w.n, 0);
    assert_true(asd_weights_number(&w, "args.layers", &v) && v == 12);
    assert_true(asd_weights_number(&w, "conf.n", &v) && v == 5);
    assert_string_equal(asd_weights_text(&w, "path.0"), "/x");
    assert_string_equal(asd_weights_text(&w, "class"), "mymodel.Net");
    assert_string_equal(asd_weights_text(&w, "object.state"), "st");
    assert_string_equal(asd_weights_text(&w, "bare"), "mymodel.Net");
    assert_true(asd_weights_number(&w, "list.1", &v) && v == 8);
    assert_true(asd_weights_number(&w, "default.1", &v) && v == 2);
    assert_true(asd_weights_number(&w, "set.0", &v) && v == 4);
    asd_weights_close(&w);
    free(bytes);
}

/* --- pickles that are broken --- */

static const bad broken[] = {
    BAD("", "ends without STOP"),
    BAD("\x80\2", "ends without STOP"),
    BAD("\x80\2.", "leaves 0 values"),
    BAD("\x80\2NN.", "leaves 2 values"),
    BAD("\x80\2(N.", "1 marks"),
    BAD("\x80\1N.", "protocol 1"),
    BAD("\x80\6N.", "protocol 6"),
    BAD("\x80\2N.N", "1 bytes behind the end of the pickle"),
    BAD("\x80\2N.", "holds None, want a dictionary"),
    BAD("\x80\2].", "holds a list, want a dictionary"),
    BAD("\x80\2\xff.", "opcode 0xff at byte 2"),
    BAD("\x80\2X\xff\xff\xff\xff", "4294967295 bytes claimed"),
    BAD("\x80\4\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "bytes claimed"),
    BAD("\x80\2X\1\0\0\0\xff.", "not UTF-8"),
    BAD("\x80\2X\2\0\0\0a\xc3.", "not UTF-8"),
    BAD("\x80\2X\4\0\0", "ends inside an operand"),
    BAD("\x80\2\x8b\xff\xff\xff\x7f", "an int of"),
    BAD("\x80\2q\0.", "remembers nothing"),
    BAD("\x80\2Nr\xff\xff\xff\xff.", "want below"),
    BAD("\x80\2Nq\1h\0.", "value 0, never remembered"),
    BAD("\x80\2j\xff\xff\xff\x7f.", "never remembered"),
    BAD("\x80\2s.", "empty stack"),
    BAD("\x80\2}(s.", "empty stack"), /* a mark protects what is under it */
    BAD("\x80\2}(Q.", "empty stack"),
    BAD("\x80\2u.", "wants a mark"),
    BAD("\x80\2(N\x86.", "2 values for a tuple"),
    BAD("\x80\2N(u.", "0 keys and values into None"),
    BAD("\x80\2}(Nu.", "puts 1 keys and values into a dictionary"),
    BAD("\x80\2}Na.", "into a dictionary"),
    BAD("\x80\2]NNs.", "into a list"),
    BAD("\x80\2(u.", "fills nothing"),
    BAD("\x80\2NNb.", "gives attributes to None"),
    BAD("\x80\2N)R.", "calls None with a tuple"),
    BAD("\x80\2ca\nb\nNR.", "with None"),
    BAD("\x80\2ca\nb", "ends inside a name"),
    BAD("\x80\2c\nb\n.", "a global name of 0 bytes"),
    BAD("\x80\2ca b\nc\n.", "a global name"),
    BAD("\x80\4NN\x93.", "two texts"),
    BAD("\x80\2ccollections\nOrderedDict\nN\x85R.", "OrderedDict with 1 arguments"),
    BAD("\x80\2ccollections\nOrderedDict\n](Ne\x85R.", "a list of pairs"),
    BAD("\x80\2ctorch\nSize\n)R.", "torch.Size with 0 arguments"),
    BAD("\x80\2ctorch._utils\n_rebuild_parameter\nN\x85R.", "a tensor first"),
    BAD("\x80\2}(" X("a", "\1") "K\1" X("a", "\1") "K\2u.", "key \"a\" twice"),
    BAD(ONE("NQ"), "persistent id"),
    BAD(ONE("(" X("module", "\6") "NNNNtQ"), "persistent id"),
    BAD(ONE(STORE("FloatStorage", "0", "J\xff\xff\xff\xff")), "-1 elements"),
    BAD(ONE(STORE("FloatStorage", "0", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f")), "elements"),
    BAD(ONE(STORE("ComplexFloatStorage", "0", "K\x08")), "ComplexFloatStorage, which is not read"),
    BAD(TENSOR(STORE("FloatStorage", "7", "K\x10"), "K\0", ")", ")"), "storage 7 is not in the"),
    BAD(TENSOR(STORE("FloatStorage", "0", "K\x11"), "K\0", ")", ")"),
        "storage 0 claims 17 elements of F32, 68 bytes; the file has 64"),
    BAD(TENSOR(STORE("DoubleStorage", "0", "K\x10"), "K\0", ")", ")"), "claims 16 elements of F64"),
    BAD(TENSOR(STORE("FloatStorage", "0", "J\0\0\0\x40"), "K\0", "J\0\0\0\x40\x85", "K\1\x85"),
        "4294967296 bytes; the file has 64"),
    BAD(TENSOR(F16, "K\0", "K\4\x85", "J\xff\xff\xff\xff\x85"), "size 4 and stride -1"),
    BAD(TENSOR(F16, "K\0", "J\xff\xff\xff\xff\x85", "K\1\x85"), "size -1 and stride 1"),
    BAD(TENSOR(F16, "J\xff\xff\xff\xff", "K\1\x85", "K\1\x85"), "from element -1"),
    BAD(TENSOR(F16, "K\x11", "K\0\x85", "K\1\x85"), "from element 17 does not fit"),
    BAD(TENSOR(F16, "K\x10", ")", ")"), "from element 16 does not fit"),
    BAD(TENSOR(F16, "K\1", "K\x10\x85", "K\1\x85"), "[16] from element 1 does not fit"),
    BAD(TENSOR(F16, "K\0", "K\4K\4\x86", "K\5K\1\x86"), "does not fit its storage of 16"),
    BAD(TENSOR(F16, "K\0", "K\x11\x85", "K\0\x85"), "[17] from element 0 does not fit"),
    BAD(TENSOR(F16, "K\0", "J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x87",
               "K\0K\0K\0\x87"),
        "does not fit"),
    BAD(TENSOR(F16, "K\0", "K\2\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"),
        "does not fit"),
    BAD(TENSOR(F16, "K\1", "K\3\x85", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f\x85"),
        "does not fit"),
    BAD(TENSOR(F16, "K\0", "K\4\x85", "K\4K\1\x86"), "1 sizes and 2 strides"),
    BAD(TENSOR(F16, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"),
        "9 sizes"),
    BAD(TENSOR(F16, "K\0", "N\x85", "K\1\x85"), "dimension 0 is None"),
    BAD(TENSOR(F16, "N", "K\4\x85", "K\1\x85"), "a storage, an offset"),
    BAD(TENSOR("N", "K\0", "K\4\x85", "K\1\x85"), "a storage, an offset"),
    /* The same key with another class, with another length; a view beyond its storage. */
    BAD(ONE("(" F16 STORE("HalfStorage", "0", "K\x10") "t"), "16 of F32 and elsewhere 16 of F16"),
    BAD(ONE("(" F16 STORE("FloatStorage", "0", "K\x08") "t"), "16 of F32 and elsewhere 8 of F32"),
    BAD(ONE("(" X("storage", "\7") "ctorch\nFloatStorage\n" X("0", "\1")
                X("cpu", "\3") "K\x10" X("v", "\1") "K\x08K\x09\x87tQ"),
        "a view of 9 from 8"),
    /* Names: none, with control characters, of no text. */
    BAD("\x80\2}" X("", "\0") "ctorch._utils\n_rebuild_tensor_v2\n(" F16 "K\0))\x89}tRs.",
        "a tensor called \"\""),
    BAD("\x80\2}" X("a\nb", "\3") "ctorch._utils\n_rebuild_tensor_v2\n(" F16 "K\0))\x89}tRs.",
        "a tensor called \"a?b\""),
    /* A list that holds itself. */
    BAD(ONE("]q\0h\0a"), "does it contain itself"),
};

static void test_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; ++i)
        refuse_pickle(broken[i].bytes, broken[i].n, broken[i].message);
}

/* What is unusual and allowed. */
static void test_allowed(void **state)
{
    (void)state;
    static const bad good[] = {
        BAD(TENSOR(F16, "K\x10", "K\0\x85", "K\1\x85"), ""),     /* empty, at the end */
        BAD(TENSOR(F16, "K\0", "K\4K\4\x86", "K\0K\1\x86"), ""), /* one row four times */
        BAD(TENSOR(F16, "K\x0f", ")", ")"), ""),
        BAD(TENSOR(STORE("UntypedStorage", "0", "K\x40"), "K\0", "K\x40\x85", "K\1\x85"), ""),
        BAD(TENSOR("(" X("storage", "\7") "ctorch\nFloatStorage\n" X("0", "\1")
                       X("cpu", "\3") "K\x10" X("v", "\1") "K\x08K\4\x87tQ",
                   "K\0", "K\4\x85", "K\1\x85"),
            ""),
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; ++i) {
        asd_weights w;
        char       *bytes;
        float       x[64];
        assert_ok(open_pickle(good[i].bytes, good[i].n, &w, &bytes));
        assert_int_equal(w.n, 1);
        assert_string_equal(w.root, "");
        assert_non_null(asd_weights_find(&w, "t"));
        assert_ok(asd_weight_read(&w, w.tensor, x));
        asd_weights_close(&w);
        free(bytes);
    }
}

/* A few bytes that stand for very many: each dictionary holds the one before twice. */
static void test_laughs(void **state)
{
    (void)state;
    ww_buffer b = {0};
    ww_put(&b, "\x80\2}q\0", 5);
    for (int i = 0; i < 60; ++i) {
        const char twice[] = "}(X\1\0\0\0ah\0X\1\0\0\0bh\0uq\0";
        ww_put(&b, twice, sizeof twice - 1);
        ww_put(&b, "0", 0);
    }
    /* The unused ones stay under the last: all into one tuple, under a key. */
    ww_buffer c = {0};
    ww_put(&c, "\x80\2}X\1\0\0\0t(", 10);
    ww_put(&c, b.at + 2, b.n - 2);
    ww_put(&c, "ts.", 3);
    refuse_pickle((const char *)c.at, c.n, "is too much");
    free(b.at);
    free(c.at);
    /* Deep, but no cycle. */
    ww_buffer d = {0};
    ww_put(&d, "\x80\2}X\1\0\0\0t", 9);
    for (int i = 0; i < 100; ++i)
        ww_put(&d, "]", 1);
    for (int i = 0; i < 99; ++i)
        ww_put(&d, "a", 1);
    ww_put(&d, "s.", 2);
    refuse_pickle((const char *)d.at, d.n, "is too deep");
    free(d.at);
}

static const struct CMUnitTest cases[] = {
    ASD_CASE("weights/hostile/calls", test_calls),
    ASD_CASE("weights/hostile/calls-legacy", test_calls_legacy),
    ASD_CASE("weights/hostile/inert-records", test_inert),
    ASD_CASE("weights/hostile/broken-pickles", test_broken),
    ASD_CASE("weights/hostile/allowed", test_allowed),
    ASD_CASE("weights/hostile/few-bytes-for-many", test_laughs),
};
ASD_TEST_MAIN(cases)
