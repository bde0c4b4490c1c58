/* copies.cc - see copies.h. */
#include "cuda/simt/copies.h"

#include "cuda/simt/bulk.h"

namespace simt
{

void copies_begin(block_copies *b)
{
    b->gate.clear();
}

void copies_begin(thread_copies *t)
{
    t->copies.clear();
    t->groups = 0;
    t->known.clear();
    t->passed.clear();
}

/* --- cp.async: the bytes are fetched at once and land when the thread waits --- */

void async_copy16(const shared_array *a, int64_t offset, const void *src, bool valid)
{
    thread_copies *t = running_thread().mine;
    copy16         c = {a, offset, t->groups, {}};
    shared_align(a, offset, sizeof c.bytes, "cp_async16");
    if (valid) {
        global_align(src, sizeof c.bytes, "cp_async16");
        memcpy(c.bytes, src, sizeof c.bytes);
    }
    shared_touch(a, offset, sizeof c.bytes, 1, COPY);
    t->copies.push_back(c);
}

void async_commit()
{
    ++running_thread().mine->groups;
}

void async_wait(int youngest)
{
    thread_copies      *t = running_thread().mine;
    std::vector<copy16> later;
    for (const copy16 &c : t->copies) {
        if (c.group + youngest < t->groups)
            memcpy(shared_touch(c.a, c.offset, sizeof c.bytes, 1, LAND), c.bytes, sizeof c.bytes);
        else
            later.push_back(c);
    }
    t->copies.swap(later);
}

/* --- gates --- */

static void learn(std::vector<uint32_t> *what, const std::vector<uint32_t> &from)
{
    if (what->size() < from.size())
        what->resize(from.size());
    for (size_t i = 0; i < from.size(); ++i)
        if ((*what)[i] < from[i])
            (*what)[i] = from[i];
}

static const gate_run *find_gate(const running &r, ptr<bulk_gate> g)
{
    int64_t offset = g.at * (int64_t)sizeof(bulk_gate);
    for (const gate_run &x : r.block->gate)
        if (x.a == g.a && x.offset == offset)
            return &x;
    return nullptr;
}

static gate_run *gate_of(const running &r, ptr<bulk_gate> g)
{
    const gate_run *x = find_gate(r, g);
    if (!x)
        fail("shared array %s[%lld] is no gate: bulk_gate_make first", g.a->name, (long long)g.at);
    if (x->maker != r.now.thread && x->made == r.now.block)
        fail("gate %s[%lld] is used, and no barrier since thread %d made it", g.a->name,
             (long long)g.at, x->maker);
    return &r.block->gate[(size_t)(x - r.block->gate.data())];
}

void gate_make(ptr<bulk_gate> g, int arrivals)
{
    running       r = running_thread();
    block_copies *b = r.block;
    shared_touch(g.a, g.at * (int64_t)sizeof(bulk_gate), sizeof(bulk_gate), sizeof(bulk_gate),
                 WRITE);
    if (find_gate(r, g))
        fail("gate %s[%lld] is made twice", g.a->name, (long long)g.at);
    if (b->gate.empty()) {
        b->touched.assign((size_t)block_copies::LINES * (size_t)r.warps, 0);
        b->from.assign(block_copies::LINES, -1);
        b->phase.assign(block_copies::LINES, 0);
    }
    gate_run x = {};
    x.a        = g.a;
    x.offset   = g.at * (int64_t)sizeof(bulk_gate);
    x.wanted   = arrivals;
    x.maker    = r.now.thread;
    x.made     = r.now.block;
    b->gate.push_back(x);
}

/* Whether the phase is over; the next one begins. */
static void try_gate(gate_run *x)
{
    if (x->arrived < x->wanted || x->owed)
        return;
    ++x->phase;
    x->arrived = 0;
    x->told    = x->known;
    running_moved();
}

void gate_arrive(ptr<bulk_gate> g, int bytes)
{
    running   r = running_thread();
    gate_run *x = gate_of(r, g);
    if (x->arrived == x->wanted)
        fail("gate %s[%lld]: one arrival more than the %d it was made for", g.a->name,
             (long long)g.at, x->wanted);
    x->owed += bytes;
    ++x->arrived;
    learn(&x->known, r.mine->known);
    std::vector<uint32_t> own((size_t)r.now.thread / 32 + 1);
    own.back() = r.time;
    learn(&x->known, own);
    try_gate(x);
}

static void land(const running &r, gate_run *x)
{
    for (const fetched &f : x->on_its_way) {
        char     why[200];
        uint32_t first = f.begin / block_copies::LINE;
        shared_mark(r.shared, f.begin, (uint32_t)f.bytes.size(), BULK_LAND, r.now, why, sizeof why);
        memcpy(r.shared->bytes + f.begin, f.bytes.data(), f.bytes.size());
        for (uint32_t i = 0; i < f.bytes.size() / block_copies::LINE; ++i) {
            r.block->from[first + i]  = (int)(x - r.block->gate.data());
            r.block->phase[first + i] = x->phase;
        }
        x->owed -= (int64_t)f.bytes.size();
    }
    x->on_its_way.clear();
}

bool gate_look(ptr<bulk_gate> g, int phase)
{
    running   r = running_thread();
    gate_run *x = gate_of(r, g);
    size_t    i = (size_t)(x - r.block->gate.data());
    if (!x->on_its_way.empty()) {
        land(r, x);
        try_gate(x);
    }
    if ((int64_t)x->phase > phase + 1)
        fail("gate %s[%lld]: waits for phase %d in phase %u; one later is all that its parity "
             "tells apart",
             g.a->name, (long long)g.at, phase, x->phase);
    if ((int64_t)x->phase <= phase)
        return false;
    learn(&r.mine->known, x->told);
    if (r.mine->passed.size() <= i)
        r.mine->passed.resize(i + 1);
    r.mine->passed[i] = x->phase;
    return true;
}

void gate_fetch(ptr<bf16> tile, const bf16 (&src)[64][64], ptr<bulk_gate> g)
{
    running       r      = running_thread();
    gate_run     *x      = gate_of(r, g);
    int64_t       offset = tile.at * (int64_t)sizeof(bf16);
    uint32_t      warps = (uint32_t)r.warps, own = (uint32_t)r.now.thread / 32;
    block_copies *b = r.block;
    shared_align(tile.a, offset, block_copies::LINE, "bulk_fetch");
    r.mine->known.resize(warps);
    r.mine->known[own] = r.time;
    uint32_t first     = (uint32_t)(tile.a->begin + offset) / block_copies::LINE;
    for (uint32_t i = 0; i < sizeof src / block_copies::LINE; ++i)
        for (uint32_t w = 0; w < warps && first + i < block_copies::LINES; ++w)
            if (b->touched[(first + i) * warps + w] > r.mine->known[w])
                fail("bulk_fetch goes over shared array %s, byte %lld, which warp %u may still be "
                     "using: no gate or barrier between",
                     tile.a->name, (long long)offset + i * block_copies::LINE, w);
    const unsigned char *place =
        (const unsigned char *)shared_touch(tile.a, offset, sizeof src, 1, BULK);
    const uint8_t *bytes = (const uint8_t *)src;
    x->on_its_way.push_back(
        {(uint32_t)(place - r.shared->bytes), std::vector<uint8_t>(bytes, bytes + sizeof src)});
}

/* --- who may touch what --- */

void copies_touch(const shared_array *a, uint32_t begin, uint32_t bytes)
{
    running       r = running_thread();
    block_copies *b = r.block;
    for (uint32_t i = begin / block_copies::LINE; i <= (begin + bytes - 1) / block_copies::LINE;
         ++i) {
        int from = b->from[i];
        if (from >= 0 &&
            (r.mine->passed.size() <= (size_t)from || r.mine->passed[(size_t)from] <= b->phase[i]))
            fail("shared array %s, byte %u: a bulk_fetch has brought it, and this thread has not "
                 "waited for its gate",
                 a->name, begin - a->begin);
        b->touched[i * (uint32_t)r.warps + (uint32_t)r.now.thread / 32] = r.time + 1;
    }
}

void copies_barrier(block_copies *b, const std::vector<thread_copies *> &threads,
                    const std::vector<uint32_t> &times)
{
    std::vector<uint32_t> passed;
    if (b->gate.empty())
        return;
    for (const thread_copies *t : threads)
        learn(&passed, t->passed);
    for (thread_copies *t : threads) {
        t->known  = times;
        t->passed = passed;
    }
}

} // namespace simt
