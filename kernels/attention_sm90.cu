/* attention_sm90.cu - the forward of attention by wgmma, for compute capability 9.0, bf16 and heads
 * of width 64. attention.cu chooses it.
 *
 * As the portable kernel in all but the products: a block is two warpgroups of 64 queries, q stays
 * in registers, keys and values are read by the tensor cores out of shared memory, once for 64
 * queries where mma.sync reads them for 32. Products and softmax of a warpgroup take turns; other
 * warpgroups of the multiprocessor (four: two blocks of 128 registers a thread) fill the gaps.
 *
 * Not measured, and not run on a GPU yet: the shim runs this kernel with wgmma emulated, so that
 * indices, masks, waits and barriers are proven, but not the instructions and descriptors of
 * wgmma.cuh. Until a GPU has, it runs only where it is asked for (op.h, ASD_ATTENTION_HOPPER).
 */
#include "kernels/attention_fwd.cuh"

extern "C" asd_status asd_attention_fwd_sm90(const asd_call *c)
{
    return ((const asd_attention_attr *)c->attr)->gated ? run_fwd<bf16, 64, 1, 1>(c)
                                                        : run_fwd<bf16, 64, 0, 1>(c);
}
