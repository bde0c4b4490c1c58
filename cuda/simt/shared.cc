/* shared.cc - see shared.h. */
#include "cuda/simt/shared.h"

#include "base/status.h"

#include <cstdlib>

namespace simt
{

enum { ALIGNMENT = 16, N_GRANULES = SHARED_LIMIT / GRANULE };

void shared_begin(shared_memory *m, size_t dynamic_bytes)
{
    if (!m->bytes) {
        m->bytes = (unsigned char *)aligned_alloc(1024, (SHARED_LIMIT + 1023) / 1024 * 1024);
        m->seen  = (shadow *)malloc(N_GRANULES * sizeof *m->seen);
        ASD_ASSERT(m->bytes && m->seen);
        m->used = SHARED_LIMIT;
    }
    memset(m->bytes, 0xFF, m->used); /* a NaN, should a check ever be missing */
    for (uint32_t i = 0; i < (m->used + GRANULE - 1) / GRANULE && i < N_GRANULES; ++i)
        m->seen[i] = shadow{NOBODY, NOBODY, 0, 0, 0, 0, -1, UNWRITTEN, 0};
    m->n             = 0;
    m->dynamic_bytes = (uint32_t)dynamic_bytes;
    m->used          = (uint32_t)(dynamic_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (m->used) {
        m->array[0] = shared_array{"dynamic", 0, (uint32_t)dynamic_bytes};
        m->key[0]   = nullptr;
        m->n        = 1;
    }
}

void shared_free(shared_memory *m)
{
    free(m->bytes);
    free(m->seen);
    m->bytes = nullptr;
    m->seen  = nullptr;
}

static int before(uint32_t block, uint32_t warp, int other, moment now)
{
    return other == now.thread || block != now.block ||
           (other / 32 == now.thread / 32 && warp != now.warp);
}

/* A write must have a barrier behind every earlier access by another thread. */
static const char *write_conflict(const shadow *s, access how, moment now)
{
    if (s->writer != NOBODY && !(s->atomic && how == ATOMIC) &&
        !before(s->write_block, s->write_warp, s->writer, now))
        return "written by";
    if (s->reader == NOBODY || s->read_block != now.block)
        return nullptr;
    if (s->reader == MANY)
        return "read by";
    if (s->reader_warp >= 0) /* several lanes of one warp */
        return s->reader_warp == now.thread / 32 && s->read_warp != now.warp ? nullptr : "read by";
    return before(s->read_block, s->read_warp, s->reader, now) ? nullptr : "read by";
}

static void note_read(shadow *s, moment now)
{
    int warp = now.thread / 32;
    if (s->reader == NOBODY || s->read_block != now.block) {
        s->reader      = now.thread;
        s->reader_warp = -1;
    } else if (s->reader != MANY && s->reader != now.thread) {
        if (s->reader / 32 == warp)
            s->reader_warp = (int16_t)warp;
        else
            s->reader = MANY;
    }
    s->read_block = now.block;
    s->read_warp  = now.warp;
}

int shared_mark(shared_memory *m, uint32_t begin, uint32_t bytes, access how, moment now, char *why,
                size_t why_size)
{
    for (uint32_t i = begin / GRANULE; i <= (begin + bytes - 1) / GRANULE; ++i) {
        shadow *s = &m->seen[i];
        if (how == LAND) { /* others see it after the next barrier */
            s->written     = WRITTEN;
            s->write_block = now.block;
            s->write_warp  = now.warp;
            continue;
        }
        if (how == BULK_LAND) { /* who may touch it then: copies.cc */
            *s = shadow{NOBODY, NOBODY, 0, 0, 0, 0, -1, WRITTEN, 0};
            continue;
        }
        if (s->written == ON_ITS_WAY || s->written == BULK_ON_ITS_WAY) {
            snprintf(why, why_size,
                     "is %s while a %s of thread %d to it is on its way: wait for it",
                     how == READ ? "read" : "written",
                     s->written == ON_ITS_WAY ? "cp_async16" : "bulk_fetch", s->writer);
            return 0;
        }
        if (how == BULK) {
            s->writer  = now.thread;
            s->written = BULK_ON_ITS_WAY;
            continue;
        }
        if (how != WRITE && how != COPY && s->written == UNWRITTEN) {
            snprintf(why, why_size, "is read, but nobody has written it");
            return 0;
        }
        if (how == READ) {
            if (s->writer != NOBODY && !before(s->write_block, s->write_warp, s->writer, now)) {
                snprintf(why, why_size, "is read while thread %d writes it: no barrier between",
                         s->writer);
                return 0;
            }
            note_read(s, now);
            continue;
        }
        const char *conflict = write_conflict(s, how, now);
        if (conflict) {
            int other = *conflict == 'w' ? s->writer : s->reader;
            snprintf(why, why_size, "is written and %s thread %d: no barrier between", conflict,
                     other == MANY ? -1 : other);
            return 0;
        }
        s->writer      = now.thread;
        s->write_block = now.block;
        s->write_warp  = now.warp;
        s->written     = how == COPY ? ON_ITS_WAY : WRITTEN;
        s->atomic      = how == ATOMIC;
    }
    return 1;
}

} // namespace simt
