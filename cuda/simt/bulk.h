/* bulk.h - bulk.cuh for the shim.
 *
 * A fetch reads its source at once, and its bytes land when a thread looks at the gate: before,
 * nobody may touch their place. Afterwards a thread may touch it if it has waited for the gate
 * itself, or has passed a barrier of the block after somebody did. A fetch over a place wants that
 * the fetching thread knows of every warp that has touched it: because it waited for a gate at
 * which that warp arrived later, or by a barrier of the block. Times are those of warps (barriers
 * passed), places are lines of 1024 bytes. */
#ifndef ASD_CUDA_SIMT_BULK_H
#define ASD_CUDA_SIMT_BULK_H

#include "cuda/simt/simt.h"

#define __grid_constant__

struct bulk_map {
    const bf16 *x;
    int64_t     planes, rows, columns, ld;
};
struct bulk_gate {
    uint64_t unused; /* what a gate knows lies in simt.cc */
};

namespace simt
{

void gate_make(ptr<bulk_gate> g, int arrivals);
void gate_arrive(ptr<bulk_gate> g, int bytes);
/* Whether `phase` is over. Lets what is on its way to the gate land. */
bool gate_look(ptr<bulk_gate> g, int phase);
/* One line of 64 columns after the other; src: (rows, 64) */
void gate_fetch(ptr<bf16> tile, const bf16 (&src)[64][64], ptr<bulk_gate> g);

} // namespace simt

static inline asd_status asd_bulk_map(bulk_map *map, const bf16 *x, int64_t planes, int64_t rows,
                                      int64_t columns, int64_t ld)
{
    if ((uintptr_t)x % 16 || ld % 8 || ld < columns)
        return ASD_FAIL(ASD_E_DEVICE,
                        "bulk map: (%lld, %lld, %lld) bf16, rows %lld apart, at %p; rows and the "
                        "first value want to be on 16 bytes",
                        (long long)planes, (long long)rows, (long long)columns, (long long)ld,
                        (const void *)x);
    *map = {x, planes, rows, columns, ld};
    return ASD_OK;
}

static inline void bulk_gate_make(shared_ptr<bulk_gate> g, int arrivals)
{
    simt::gate_make(g, arrivals);
}
static inline void bulk_gates_made()
{
}
static inline void bulk_expect(shared_ptr<bulk_gate> g, int bytes)
{
    simt::gate_arrive(g, bytes);
}
static inline void bulk_arrive(shared_ptr<bulk_gate> g)
{
    simt::gate_arrive(g, 0);
}
static inline void bulk_wait(shared_ptr<bulk_gate> g, int phase)
{
    while (!simt::gate_look(g, phase))
        simt::spin();
}

static inline void bulk_fetch(shared_ptr<bf16> tile, const bulk_map &map, int column, int row,
                              int plane, shared_ptr<bulk_gate> g)
{
    bf16 box[64][64] = {}; /* as it will lie: the 128-byte swizzle, see tile_at */
    for (int r = 0; r < 64; ++r)
        for (int c = 0; c < 64; ++c)
            if (row + r >= 0 && row + r < map.rows && column + c >= 0 && column + c < map.columns &&
                plane >= 0 && plane < map.planes) {
                box[r][(c / 8 ^ r % 8) * 8 + c % 8] =
                    map.x[((int64_t)plane * map.rows + row + r) * map.ld + column + c];
            }
    simt::gate_fetch(tile, box, g);
}

#endif
