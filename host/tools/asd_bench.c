/* asd_bench.c - measured speed against the roofline, libraries and peers. */
#include "tools/bench.h"
#include "tools/dispatch.h"

static const asd_subcommand commands[] = {
    {"kernels", bench_kernels_main, "every op, forward and backward: checked, then timed"},
    {"pipeline", bench_pipeline_main, "audio files to a file of embeddings, clips a second"},
    {"detectors", bench_detectors_main, "fit and score on embeddings, beside NumPy and SciPy"},
    {"encoder", bench_encoder_main, "an encoder from samples to embeddings"},
    {"compare", bench_compare_main, "is any line of B slower than in A?"},
    {0},
};

int main(int argc, char **argv)
{
    return asd_dispatch("asd-bench", "Measured speed against the roofline, libraries and peers.",
                        commands, argc, argv);
}
