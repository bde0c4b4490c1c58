/* arena.h - one block of memory, handed out from the front, taken back by mark and reset.
 *
 * Ownership: asd_arena_init allocates the block, asd_arena_clear frees it; nothing inside is freed
 * alone. Every allocation is 64-byte aligned and zeroed. Not thread-safe: one arena per thread.
 */
#ifndef ASD_BASE_ARENA_H
#define ASD_BASE_ARENA_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_arena {
    char  *base;
    size_t size; /* bytes in the block */
    size_t used; /* bytes handed out, a multiple of 64 */
    size_t peak; /* largest `used` so far */
} asd_arena;

#define ASD_ALIGN ((size_t)64)

static inline size_t asd_align_up(size_t bytes)
{
    return (bytes + ASD_ALIGN - 1) & ~(ASD_ALIGN - 1);
}

asd_status asd_arena_init(asd_arena *a, size_t bytes); /* ASD_E_OOM */
void       asd_arena_clear(asd_arena *a);              /* safe on a zeroed struct, and twice */
/* NULL when the block is full. count * size is checked for overflow. */
void *asd_arena_take(asd_arena *a, size_t count, size_t size);

static inline size_t asd_arena_mark(const asd_arena *a)
{
    return a->used;
}

static inline void asd_arena_reset(asd_arena *a, size_t mark)
{
    ASD_ASSERT(mark <= a->used);
    a->used = mark;
}

/* 64-byte aligned heap memory, zeroed; free with free(). NULL when there is none or count * size
 * overflows. */
void *asd_calloc_aligned(size_t count, size_t size);

#ifdef __cplusplus
}
#endif
#endif
