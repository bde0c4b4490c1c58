/* copies.h - asynchronous copies of the shim: cp.async (simt/mma.h) and bulk copies with their
 * gates (simt/bulk.h). What simt.cc keeps of them, and what it tells copies.cc. */
#ifndef ASD_CUDA_SIMT_COPIES_H
#define ASD_CUDA_SIMT_COPIES_H

#include "cuda/simt/shared.h"

#include <vector>

namespace simt
{

struct copy16 { /* by cp.async, on its way */
    const shared_array *a;
    int64_t             offset;
    int                 group;
    unsigned char       bytes[16];
};

struct thread_copies {
    std::vector<copy16>   copies;
    int                   groups; /* of cp.async, committed so far */
    std::vector<uint32_t> known;  /* (warps) what warps did before these times is done, for all that
                                     this thread knows */
    std::vector<uint32_t> passed; /* (gates) phases it has waited for */
};

struct fetched { /* by bulk_fetch, on its way */
    uint32_t             begin;
    std::vector<uint8_t> bytes;
};

struct gate_run {
    const shared_array   *a;
    int64_t               offset;
    int                   wanted, arrived, maker;
    int64_t               owed;        /* bytes announced and not landed */
    uint32_t              phase, made; /* made: barriers the block had passed */
    std::vector<fetched>  on_its_way;
    std::vector<uint32_t> known; /* (warps) of all who arrived so far */
    std::vector<uint32_t> told;  /* (warps) of those who had when the last phase was over */
};

struct block_copies {
    enum { LINE = 1024, LINES = (SHARED_LIMIT + LINE - 1) / LINE };
    std::vector<gate_run> gate;
    std::vector<uint32_t> touched; /* (LINES, warps) time of the warp's last access, and one */
    std::vector<int>      from;    /* (LINES) gate that the last fetch landed at; -1 */
    std::vector<uint32_t> phase;   /* (LINES) and its phase */
};

/* The running thread. time: barriers that its warp has passed, of both kinds. */
struct running {
    moment         now;
    uint32_t       time;
    int            warps;
    shared_memory *shared;
    block_copies  *block;
    thread_copies *mine;
};
running running_thread();
void    running_moved(); /* somebody else may get further now */

void copies_begin(block_copies *b);
void copies_begin(thread_copies *t);
/* An access, once there are gates. */
void copies_touch(const shared_array *a, uint32_t begin, uint32_t bytes);
/* The block has passed a barrier: times (warps) are those after it. */
void copies_barrier(block_copies *b, const std::vector<thread_copies *> &threads,
                    const std::vector<uint32_t> &times);

} // namespace simt

#endif
