/* arena.c - see arena.h. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *asd_calloc_aligned(size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - ASD_ALIGN) / size)
        return NULL;
    size_t bytes = asd_align_up(count * size);
    void  *p     = aligned_alloc(ASD_ALIGN, bytes ? bytes : ASD_ALIGN);
    if (p)
        memset(p, 0, bytes ? bytes : ASD_ALIGN);
    return p;
}

asd_status asd_arena_init(asd_arena *a, size_t bytes)
{
    memset(a, 0, sizeof *a);
    a->base = asd_calloc_aligned(bytes, 1);
    if (!a->base)
        return ASD_FAIL(ASD_E_OOM, "no memory for an arena of %zu bytes", bytes);
    a->size = asd_align_up(bytes);
    return ASD_OK;
}

void asd_arena_clear(asd_arena *a)
{
    free(a->base);
    memset(a, 0, sizeof *a);
}

void *asd_arena_take(asd_arena *a, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - ASD_ALIGN) / size)
        return NULL;
    size_t bytes = asd_align_up(count * size);
    if (bytes > a->size - a->used)
        return NULL;
    void *p = a->base + a->used;
    a->used += bytes;
    if (a->used > a->peak)
        a->peak = a->used;
    memset(p, 0, bytes);
    return p;
}
