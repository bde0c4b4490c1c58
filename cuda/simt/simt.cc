/* simt.cc - the scheduler of simt.h: blocks one after the other (a cooperative launch: all at
 * once), the threads of a block in turn, each until it must wait.
 *
 * A thread that needs no one runs from start to end on one fiber, which the next thread then takes
 * over: only threads that wait keep a stack. Order of threads: warp by warp, each warp as far as it
 * gets. A second order, last thread first, is used when ASD_SIMT_ORDER=reverse is in the
 * environment: a kernel's result may not depend on it.
 */
#include "cuda/simt/simt.h"

#include "cuda/simt/copies.h"
#include "cuda/simt/fiber.h"
#include "cuda/simt/gpu.h"
#include "cuda/simt/products.h"
#include "cuda/simt/shared.h"

#include <cstdarg>
#include <cstdlib>
#include <vector>

namespace simt
{

thread_local thread_id *self;

enum { SLOT_BYTES = 64, MAX_THREADS = 1024, SPINS = 100000 };
enum state { NEW, READY, AT_BARRIER, AT_WARP, DONE };

struct site { /* of a barrier or collective in the source */
    const char *file;
    int         line;
};

struct block_run;

struct thread_run {
    thread_id  id;
    block_run *block;
    int        index;
    state      is;
    fiber     *stack;
    site       at;
    int        vote; /* of __syncthreads_or and its kin */
    /* the warp collective it waits in */
    unsigned      mask, gave; /* lanes asked for; lanes that came */
    unsigned char mine[SLOT_BYTES];
    thread_copies copies;
    products      wgmma;
};

struct warp_run {
    uint32_t barriers; /* __syncwarps passed */
};

struct block_run {
    shared_memory              shared;
    std::vector<thread_run>    thread;
    std::vector<warp_run>      warp;
    std::vector<unsigned char> got; /* per thread: the values of 32 lanes */
    block_copies               copies;
    uint32_t                   barriers; /* passed */
    int                        waiting, done, votes[3];
};

struct launch_run {
    const char                  *name;
    const std::function<void()> *body;
    int                          failed;
    char                         text[1024];
    int64_t                      moves; /* threads that got further, to notice that none can */
};

/* Kept from launch to launch. */
struct spares {
    std::vector<block_run> block;
    std::vector<fiber *>   stack;
    ~spares()
    {
        for (block_run &b : block)
            shared_free(&b.shared);
        for (fiber *f : stack)
            fiber_free(f);
    }
};

static thread_local launch_run *current;
static thread_local thread_run *me;
static thread_local spares      spare;

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void fail(const char *format, ...)
{
    va_list args;
    int     n =
        snprintf(current->text, sizeof current->text,
                 "kernel %s, block (%u,%u,%u), thread (%u,%u,%u): ", current->name, me->id.block.x,
                 me->id.block.y, me->id.block.z, me->id.thread.x, me->id.thread.y, me->id.thread.z);
    va_start(args, format);
    vsnprintf(current->text + n, sizeof current->text - (size_t)n, format, args);
    va_end(args);
    current->failed = 1;
    for (;;)
        fiber_yield(); /* the scheduler drops this fiber */
}

/* --- shared memory --- */

static moment now()
{
    return moment{me->index, me->block->barriers, me->block->warp[(size_t)me->index / 32].barriers};
}

const shared_array *shared_find(const void *key, size_t bytes, const char *name)
{
    shared_memory *m = &me->block->shared;
    for (int i = 0; i < m->n; ++i)
        if (m->key[i] == key)
            return &m->array[i];
    uint32_t begin = (m->used + 15) / 16 * 16;
    if (m->n == MAX_ARRAYS || begin + bytes > SHARED_LIMIT)
        fail("shared array %s: %zu bytes more, %u of %d are taken", name, bytes, m->used,
             (int)SHARED_LIMIT);
    m->array[m->n] = shared_array{name, begin, (uint32_t)bytes};
    m->key[m->n]   = key;
    m->used        = begin + (uint32_t)bytes;
    return &m->array[m->n++];
}

const shared_array *shared_dynamic(const char *name)
{
    shared_memory *m = &me->block->shared;
    if (!m->dynamic_bytes)
        fail("dynamic shared memory %s is used, the launch asked for none", name);
    return &m->array[0];
}

static uint32_t inside(const shared_array *a, int64_t offset, size_t bytes, size_t element)
{
    if (!a)
        fail("shared memory through an empty pointer");
    if (offset < 0 || offset + (int64_t)bytes > a->bytes)
        fail("shared array %s[%lld] is out of bounds: %zu bytes at byte %lld of %u", a->name,
             (long long)(offset / (int64_t)element), bytes, (long long)offset, a->bytes);
    if ((a->begin + offset) % (int64_t)element)
        fail("shared array %s: byte %lld is not aligned to %zu", a->name, (long long)offset,
             element);
    return a->begin + (uint32_t)offset;
}

void *shared_touch(const shared_array *a, int64_t offset, size_t bytes, size_t element, access how)
{
    char           why[200];
    uint32_t       begin = inside(a, offset, bytes, element);
    shared_memory *m     = &me->block->shared;
    if (!shared_mark(m, begin, (uint32_t)bytes, how, now(), why, sizeof why))
        fail("shared array %s[%lld] %s", a->name, (long long)(offset / (int64_t)element), why);
    if (how != BULK && !me->block->copies.gate.empty())
        copies_touch(a, begin, (uint32_t)bytes);
    return m->bytes + begin;
}

void shared_align(const shared_array *a, int64_t offset, size_t bytes, const char *what)
{
    if (a && (a->begin + offset) % (int64_t)bytes)
        fail("shared array %s: byte %lld is not aligned to %zu, as %s wants it", a->name,
             (long long)offset, bytes, what);
}

void global_align(const void *p, size_t bytes, const char *what)
{
    if ((uintptr_t)p % bytes)
        fail("global address %p is not aligned to %zu, as %s wants it", p, bytes, what);
}

/* --- asynchronous copies --- */

static uint32_t time_of(const block_run *b, size_t warp)
{
    return b->barriers + b->warp[warp].barriers;
}

running running_thread()
{
    block_run *b = me->block;
    return {
        now(),      time_of(b, (size_t)me->index / 32), (int)b->warp.size(), &b->shared, &b->copies,
        &me->copies};
}

void running_moved()
{
    ++current->moves;
}

static void tell_copies(block_run *b)
{
    std::vector<thread_copies *> threads;
    std::vector<uint32_t>        times;
    for (thread_run &t : b->thread)
        threads.push_back(&t.copies);
    for (size_t w = 0; w < b->warp.size(); ++w)
        times.push_back(time_of(b, w));
    copies_barrier(&b->copies, threads, times);
}

/* --- wgmma --- */

products &products_here()
{
    return me->wgmma;
}

void products_filled()
{
    me->wgmma.filled = me->block->barriers + 1;
}

void products_read(const shared_array *a, int64_t offset)
{
    const shadow &s = me->block->shared.seen[(a->begin + offset) / GRANULE];
    if (s.writer == NOBODY) /* a bulk copy */
        return;
    if (me->block->thread[(size_t)s.writer].wgmma.filled <= s.write_block)
        fail("shared array %s: byte %lld, of thread %d, is read by wgmma without wgmma_filled",
             a->name, (long long)offset, s.writer);
}

/* --- waiting --- */

static void wait(state how, int line, const char *file)
{
    me->is = how;
    me->at = site{file, line};
    fiber_yield();
}

int barrier_reduce(int value, int how, int line, const char *file)
{
    me->vote = value;
    ++me->block->waiting;
    ++current->moves;
    wait(AT_BARRIER, line, file);
    return me->block->votes[how];
}

void barrier(int line, const char *file)
{
    barrier_reduce(0, 0, line, file);
}

int lane()
{
    return me->index % 32;
}

/* The lanes of the mask are all here (or have ended): everyone gets what the others brought. */
static void complete(thread_run *warp, int lanes, unsigned mask, size_t bytes)
{
    unsigned gave = 0;
    for (int i = 0; i < lanes; ++i)
        if (mask >> i & 1 && warp[i].is != DONE)
            gave |= 1u << i;
    for (int to = 0; to < lanes; ++to) {
        if (!(gave >> to & 1))
            continue;
        unsigned char *got = &me->block->got[(size_t)warp[to].index * 32 * SLOT_BYTES];
        for (int i = 0; i < lanes; ++i)
            if (gave >> i & 1)
                memcpy(got + (size_t)i * bytes, warp[i].mine, bytes);
        warp[to].gave = gave;
        warp[to].is   = READY;
    }
    ++current->moves;
}

unsigned warp_exchange(unsigned mask, const void *mine, size_t bytes, const void **all, int line,
                       const char *file)
{
    int         first = me->index / 32 * 32, l = lane(), all_here = 1;
    int         left = (int)me->block->thread.size() - first, lanes = left < 32 ? left : 32;
    thread_run *warp = &me->block->thread[(size_t)first];
    if (!(mask >> l & 1))
        fail("warp collective at %s:%d: lane %d is not in its own mask %08x", base_name(file), line,
             l, mask);
    if (bytes > SLOT_BYTES)
        fail("warp collective at %s:%d: %zu bytes a lane", base_name(file), line, bytes);
    memcpy(me->mine, mine, bytes);
    me->mask = mask;
    me->at   = site{file, line};
    me->is   = AT_WARP;
    for (int i = 0; i < lanes; ++i) {
        const thread_run *t = &warp[i];
        if (!(mask >> i & 1) || t->is == DONE)
            continue;
        if (t->is != AT_WARP)
            all_here = 0;
        else if (t->mask != mask || t->at.line != line || strcmp(t->at.file, file))
            fail("warp collective at %s:%d with mask %08x: lane %d waits at %s:%d with %08x",
                 base_name(file), line, mask, i, base_name(t->at.file), t->at.line, t->mask);
    }
    if (all_here)
        complete(warp, lanes, mask, bytes);
    else
        fiber_yield();
    *all = &me->block->got[(size_t)me->index * 32 * SLOT_BYTES];
    return me->gave;
}

void warp_barrier(unsigned mask, int line, const char *file)
{
    const void *all;
    char        none  = 0;
    warp_run   *w     = &me->block->warp[(size_t)me->index / 32];
    uint32_t    since = w->barriers;
    warp_exchange(mask, &none, 1, &all, line, file);
    /* Time moves once for the whole warp. The one who came last did not wait, so it is the first
     * to get here. */
    if (w->barriers == since)
        ++w->barriers;
}

unsigned ballot(unsigned mask, int value, int line, const char *file)
{
    const void *all;
    char        mine = (char)value;
    unsigned    gave = warp_exchange(mask, &mine, 1, &all, line, file), bits = 0;
    for (int i = 0; i < 32; ++i)
        if (gave >> i & 1 && ((const char *)all)[i])
            bits |= 1u << i;
    return bits;
}

void spin()
{
    me->is = READY;
    fiber_yield();
}

/* --- running --- */

static void thread_entry(void *)
{
    for (;;) {
        (*current->body)();
        me->is = DONE;
        ++me->block->done;
        ++current->moves;
        fiber_yield();
    }
}

static fiber *take_fiber()
{
    if (spare.stack.empty())
        return fiber_new(thread_entry, nullptr);
    fiber *f = spare.stack.back();
    spare.stack.pop_back();
    return f;
}

static void give_fiber(thread_run *t)
{
    if (t->stack)
        spare.stack.push_back(t->stack);
    t->stack = nullptr;
}

/* Runs t until it waits or ends. */
static void resume(thread_run *t)
{
    if (t->is == NEW) {
        t->stack = take_fiber();
        t->is    = READY;
    }
    me   = t;
    self = &t->id;
    fiber_resume(t->stack);
    self = nullptr;
    if (t->is == DONE && !current->failed)
        give_fiber(t);
}

/* Opens the barrier when every thread is at the same one. */
static void try_barrier(block_run *b)
{
    if (b->waiting != (int)b->thread.size())
        return;
    int any = 0, all = 1, count = 0;
    for (thread_run &t : b->thread) {
        if (t.at.line != b->thread[0].at.line || strcmp(t.at.file, b->thread[0].at.file)) {
            me = &t;
            snprintf(current->text, sizeof current->text,
                     "kernel %s, block (%u,%u,%u), thread (%u,%u,%u): waits at the barrier of "
                     "%s:%d, thread 0 at that of line %d",
                     current->name, t.id.block.x, t.id.block.y, t.id.block.z, t.id.thread.x,
                     t.id.thread.y, t.id.thread.z, base_name(t.at.file), t.at.line,
                     b->thread[0].at.line);
            current->failed = 1;
            return;
        }
        any |= t.vote;
        all &= t.vote;
        count += t.vote;
    }
    b->votes[0] = any;
    b->votes[1] = all;
    b->votes[2] = count;
    b->waiting  = 0;
    ++b->barriers;
    ++current->moves;
    if (!b->copies.gate.empty())
        tell_copies(b);
    for (thread_run &t : b->thread)
        t.is = READY;
}

static int can_run(const thread_run *t)
{
    return t->is == NEW || t->is == READY;
}

/* Every warp as far as it gets, then the barrier. */
static void sweep(block_run *b, int reverse)
{
    int n_warps = (int)b->warp.size(), n = (int)b->thread.size();
    for (int v = 0; v < n_warps; ++v) {
        int w = reverse ? n_warps - 1 - v : v, from = w * 32, lanes = n - from < 32 ? n - from : 32;
        for (int again = 1; again;) {
            int64_t moves = current->moves;
            for (int k = 0; k < lanes; ++k) {
                thread_run *t = &b->thread[(size_t)(from + (reverse ? lanes - 1 - k : k))];
                if (can_run(t))
                    resume(t);
                if (current->failed)
                    return;
            }
            again = current->moves != moves;
        }
    }
    try_barrier(b);
}

static void begin_block(block_run *b, dim3 at, dim3 grid, dim3 block, size_t shared_bytes)
{
    size_t n = (size_t)block.x * block.y * block.z;
    shared_begin(&b->shared, shared_bytes);
    b->thread.resize(n);
    b->warp.assign((n + 31) / 32, warp_run{});
    b->got.resize(n * 32 * SLOT_BYTES);
    b->barriers = 0;
    b->waiting = b->done = 0;
    copies_begin(&b->copies);
    for (size_t i = 0; i < n; ++i) {
        thread_run *t    = &b->thread[i];
        t->id.thread     = dim3((unsigned)i % block.x, (unsigned)i / block.x % block.y,
                                (unsigned)i / block.x / block.y);
        t->id.block      = at;
        t->id.block_size = block;
        t->id.grid_size  = grid;
        t->block         = b;
        t->index         = (int)i;
        t->is            = NEW;
        t->stack         = nullptr;
        t->at            = site{nullptr, 0};
        copies_begin(&t->copies);
        t->wgmma = {};
    }
}

static void say_stuck(block_run *b)
{
    for (thread_run &t : b->thread) {
        if (t.is != AT_BARRIER && t.is != AT_WARP && t.is != READY)
            continue;
        const char *what = t.is == AT_BARRIER ? "waits at a barrier that not all threads reach"
                           : t.is == AT_WARP
                               ? "waits for lanes that never come to a warp collective"
                               : "waits in a loop for something that never happens";
        me               = &t;
        int n            = snprintf(current->text, sizeof current->text,
                                    "kernel %s, block (%u,%u,%u), thread (%u,%u,%u): %s", current->name,
                                    t.id.block.x, t.id.block.y, t.id.block.z, t.id.thread.x, t.id.thread.y,
                                    t.id.thread.z, what);
        if (t.at.file)
            snprintf(current->text + n, sizeof current->text - (size_t)n,
                     " (%s:%d; %d of %zu threads are there, %d have ended)", base_name(t.at.file),
                     t.at.line, b->waiting, b->thread.size(), b->done);
        break;
    }
    current->failed = 1;
}

static void end_block(block_run *b)
{
    for (thread_run &t : b->thread) {
        if (t.stack && current->failed)
            fiber_restart(t.stack);
        give_fiber(&t);
    }
}

static int is_done(const block_run *b)
{
    return b->done == (int)b->thread.size();
}

/* Runs these blocks side by side to the end. */
static void run_blocks(std::vector<block_run> &blocks, int reverse)
{
    int spins = 0;
    for (;;) {
        int     done  = 1;
        int64_t moves = current->moves;
        for (block_run &b : blocks) {
            /* as far as it gets by itself: what it takes from the others too early is not there */
            for (int64_t before = -1; before != current->moves && !is_done(&b);) {
                before = current->moves;
                sweep(&b, reverse);
                if (current->failed)
                    return;
            }
            done &= is_done(&b);
        }
        if (done)
            return;
        int ready = 0;
        for (block_run &b : blocks)
            for (thread_run &t : b.thread)
                ready |= can_run(&t);
        if (current->moves != moves)
            spins = 0;
        else if (!ready || ++spins == SPINS)
            for (block_run &b : blocks)
                if (!is_done(&b))
                    return say_stuck(&b);
    }
}

static asd_status run(const char *name, dim3 grid, dim3 block, size_t shared_bytes, int cooperative,
                      const std::function<void()> &body)
{
    const char *order            = getenv("ASD_SIMT_ORDER");
    int         reverse          = order && !strcmp(order, "reverse");
    int64_t     n                = (int64_t)grid.x * grid.y * grid.z;
    launch_run  l                = {name, &body, 0, "", 0};
    current                      = &l;
    size_t                  side = cooperative ? (size_t)n : 1;
    std::vector<block_run> &pool = spare.block;
    if (pool.size() < side)
        pool.resize(side);
    std::vector<block_run> blocks(std::make_move_iterator(pool.begin()),
                                  std::make_move_iterator(pool.begin() + (long)side));
    for (int64_t i = 0; i < n && !l.failed; i += (int64_t)side) {
        for (size_t k = 0; k < side; ++k) {
            int64_t at = reverse ? n - 1 - (i + (int64_t)k) : i + (int64_t)k;
            begin_block(&blocks[k],
                        dim3((unsigned)(at % grid.x), (unsigned)(at / grid.x % grid.y),
                             (unsigned)(at / grid.x / grid.y)),
                        grid, block, shared_bytes);
        }
        run_blocks(blocks, reverse);
        for (size_t k = 0; k < side; ++k)
            end_block(&blocks[k]);
    }
    for (size_t k = 0; k < side; ++k)
        pool[k] = std::move(blocks[k]);
    current = nullptr;
    me      = nullptr;
    return l.failed ? ASD_FAIL(ASD_E_DEVICE, "%s", l.text) : ASD_OK;
}

asd_status launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes, int cooperative,
                  asd_stream *s, const std::function<void()> &thread)
{
    uint64_t threads = (uint64_t)block.x * block.y * block.z;
    /* What a device refuses, with the limits of compute capability 8.0 and later. */
    if (!grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535 || !threads ||
        threads > MAX_THREADS || block.z > 64 || shared_bytes > SHARED_LIMIT)
        return ASD_FAIL(ASD_E_DEVICE,
                        "launch of %s, grid (%u, %u, %u), block (%u, %u, %u), %zu bytes of shared "
                        "memory: invalid configuration",
                        name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared_bytes);
    std::function<void()> body = thread; /* arguments as they are now, as CUDA copies them */
    return stream_do(s, name,
                     [=] { return run(name, grid, block, shared_bytes, cooperative, body); });
}

} // namespace simt
