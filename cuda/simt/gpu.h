/* gpu.h - inside the shim's asd_stream: work is done at once, or recorded when it is capturing. */
#ifndef ASD_CUDA_SIMT_GPU_H
#define ASD_CUDA_SIMT_GPU_H

#include "cuda/gpu.h"

#include <functional>

namespace simt
{

typedef std::function<asd_status()> work;

/* name: for messages; must live for ever. */
asd_status stream_do(asd_stream *s, const char *name, const work &w);

} // namespace simt

#endif
