/* pt_pickle.c - see pt_pickle.h. The opcodes are those of Python's Lib/pickletools.py; each branch
 * names its own. Those that only programs written by hand use (INST, OBJ, EXT1, PUT in text, POP,
 * DUP, ...) are not here and are refused by their byte. */
#include "nn/pt_pickle.h"

#include "base/utf8.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct machine {
    asd_pt_pickle       *p;
    const unsigned char *code; /* (n) */
    size_t               n, at;
    int32_t             *stack;
    int64_t              n_stack, stack_room;
    int64_t             *mark; /* heights of the stack where a MARK was set */
    int64_t              n_marks, marks_room;
    int32_t             *memo; /* -1: not set */
    int64_t              memo_room, n_memo;
    int                  stopped;
} machine;

const char *asd_pt_kind_name(asd_pt_kind k)
{
    static const char *const name[ASD_PT_N_KINDS] = {
        "None",         "a truth value", "an int",          "a long int", "a float",
        "a text",       "bytes",         "a tuple",         "a list",     "a set",
        "a dictionary", "a global name", "an inert record", "a storage",  "a tensor"};
    return name[k];
}

int asd_pt_is(const char *text, size_t bytes, const char *word)
{
    return strlen(word) == bytes && !memcmp(text, word, bytes);
}

/* Room for one more element of `size` bytes in *array, which holds n of *room; at most `most`. */
static int grow(void *array, size_t size, int64_t n, int64_t *room, int64_t most)
{
    void **a = array;
    if (n < *room)
        return 1;
    if (n >= most)
        return 0;
    const int64_t next = *room ? 2 * *room : 16;
    void         *more = realloc(*a, (size_t)next * size);
    if (!more)
        return 0;
    *a    = more;
    *room = next;
    return 1;
}

/* --- values --- */

asd_status asd_pt_new(asd_pt_pickle *p, asd_pt_kind kind, int32_t *out)
{
    if (!grow(&p->value, sizeof *p->value, p->n_values, &p->values_room, ASD_PT_MAX_VALUES))
        return ASD_FAIL(p->n_values >= ASD_PT_MAX_VALUES ? ASD_E_DATA : ASD_E_OOM,
                        "%s: the pickle makes more than %" PRId64 " values", p->path, p->n_values);
    p->value[p->n_values] = (asd_pt_value){.kind = kind};
    *out                  = (int32_t)p->n_values++;
    return ASD_OK;
}

asd_status asd_pt_append(asd_pt_pickle *p, int32_t to, int32_t item)
{
    asd_pt_value *v    = &p->value[to];
    int64_t       room = v->room;
    if (!grow(&v->item, sizeof *v->item, v->n_items, &room, (int64_t)1 << 30))
        return ASD_FAIL(ASD_E_OOM, "%s: no memory for %s of %d", p->path, asd_pt_kind_name(v->kind),
                        v->n_items);
    v->room               = (int32_t)room;
    v->item[v->n_items++] = item;
    return ASD_OK;
}

asd_status asd_pt_append_all(asd_pt_pickle *p, int32_t to, int32_t from)
{
    const int32_t n = p->value[from].n_items; /* before: `to` may be `from` */
    for (int32_t i = 0; i < n; ++i)
        ASD_TRY(asd_pt_append(p, to, p->value[from].item[i]));
    return ASD_OK;
}

void asd_pt_pickle_close(asd_pt_pickle *p)
{
    for (int64_t i = 0; i < p->n_values; ++i)
        free(p->value[i].item);
    free(p->value);
    free(p->storage);
    free(p->bucket);
    *p = (asd_pt_pickle){.path = NULL};
}

/* --- stack --- */

static asd_status push(machine *m, int32_t v)
{
    if (!grow(&m->stack, sizeof *m->stack, m->n_stack, &m->stack_room, ASD_PT_MAX_STACK))
        return ASD_FAIL(m->n_stack >= ASD_PT_MAX_STACK ? ASD_E_DATA : ASD_E_OOM,
                        "%s: the pickle leaves more than %" PRId64 " values on its stack",
                        m->p->path, m->n_stack);
    m->stack[m->n_stack++] = v;
    return ASD_OK;
}

static asd_status push_new(machine *m, asd_pt_kind kind, int32_t *v)
{
    ASD_TRY(asd_pt_new(m->p, kind, v));
    return push(m, *v);
}

/* The lowest height that may be taken: an open mark protects what lies under it. */
static int64_t ground(const machine *m)
{
    return m->n_marks ? m->mark[m->n_marks - 1] : 0;
}

static asd_status pop(machine *m, int32_t *v)
{
    if (m->n_stack <= ground(m))
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle takes from an empty stack at byte %zu",
                        m->p->path, m->at);
    *v = m->stack[--m->n_stack];
    return ASD_OK;
}

static asd_status set_mark(machine *m)
{
    if (!grow(&m->mark, sizeof *m->mark, m->n_marks, &m->marks_room, ASD_PT_MAX_STACK))
        return ASD_FAIL(m->n_marks >= ASD_PT_MAX_STACK ? ASD_E_DATA : ASD_E_OOM,
                        "%s: the pickle is more than %" PRId64 " levels deep", m->p->path,
                        m->n_marks);
    m->mark[m->n_marks++] = m->n_stack;
    return ASD_OK;
}

/* Ends the latest mark: its values are stack[*from .. n_stack). */
static asd_status take_mark(machine *m, int64_t *from)
{
    if (!m->n_marks)
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle wants a mark at byte %zu, none is set",
                        m->p->path, m->at);
    *from = m->mark[--m->n_marks];
    return ASD_OK;
}

/* --- memo --- */

static asd_status memo_put(machine *m, uint64_t index)
{
    if (m->n_stack <= ground(m) || index >= ASD_PT_MAX_MEMO)
        return ASD_FAIL(
            ASD_E_DATA, "%s: the pickle remembers %s as number %" PRIu64 ", want below %d",
            m->p->path, m->n_stack <= ground(m) ? "nothing" : "a value", index, ASD_PT_MAX_MEMO);
    while (index >= (uint64_t)m->memo_room) {
        const int64_t before = m->memo_room;
        if (!grow(&m->memo, sizeof *m->memo, before, &m->memo_room, ASD_PT_MAX_MEMO))
            return ASD_FAIL(ASD_E_OOM, "%s: no memory for %" PRIu64 " remembered values",
                            m->p->path, index);
        for (int64_t i = before; i < m->memo_room; ++i)
            m->memo[i] = -1;
    }
    m->n_memo += m->memo[index] < 0;
    m->memo[index] = m->stack[m->n_stack - 1];
    return ASD_OK;
}

static asd_status memo_get(machine *m, uint64_t index)
{
    if (index >= (uint64_t)m->memo_room || m->memo[index] < 0)
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle asks for value %" PRIu64 ", never remembered",
                        m->p->path, index);
    return push(m, m->memo[index]);
}

/* --- operands --- */

static asd_status operand(machine *m, uint64_t n, const unsigned char **p)
{
    if (n > m->n - m->at)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: the pickle ends inside an operand: %" PRIu64
                        " bytes claimed at byte %zu, %zu left",
                        m->p->path, n, m->at, m->n - m->at);
    *p = m->code + m->at;
    m->at += n;
    return ASD_OK;
}

static asd_status number(machine *m, int n, uint64_t *v)
{
    const unsigned char *p = NULL;
    ASD_TRY(operand(m, (uint64_t)n, &p));
    *v = 0;
    for (int i = n; i-- > 0;)
        *v = *v << 8 | p[i];
    return ASD_OK;
}

static int utf8_span(const char *s, size_t n)
{
    uint32_t c;
    size_t   i = 0;
    for (int step; i < n; i += (size_t)step) {
        char tail[5] = {0}; /* asd_utf8_next stops at a 0 only */
        memcpy(tail, s + i, n - i < 4 ? n - i : 4);
        if (!*tail)
            step = 1;
        else if (!(step = asd_utf8_next(tail, &c)))
            return 0;
    }
    return i == n;
}

static asd_status read_text(machine *m, int length_bytes, asd_pt_kind kind)
{
    uint64_t             n = 0;
    int32_t              v = 0;
    const unsigned char *p = NULL;
    ASD_TRY(number(m, length_bytes, &n));
    ASD_TRY(operand(m, n, &p));
    if (n > ASD_PT_MAX_TEXT)
        return ASD_FAIL(ASD_E_DATA, "%s: a text of %" PRIu64 " bytes, want %d at most", m->p->path,
                        n, ASD_PT_MAX_TEXT);
    if (kind == ASD_PT_TEXT && !utf8_span((const char *)p, n))
        return ASD_FAIL(ASD_E_DATA, "%s: the text at byte %zu of the pickle is not UTF-8",
                        m->p->path, m->at - (size_t)n);
    ASD_TRY(push_new(m, kind, &v));
    m->p->value[v].text  = (const char *)p;
    m->p->value[v].bytes = (size_t)n;
    return ASD_OK;
}

static asd_status push_int(machine *m, int64_t x)
{
    int32_t v = 0;
    ASD_TRY(push_new(m, ASD_PT_INT, &v));
    m->p->value[v].integer = x;
    return ASD_OK;
}

/* Two's complement of n bytes: an int when it fits 64 bits. */
static asd_status read_long(machine *m, int length_bytes)
{
    uint64_t             n = 0, x = 0;
    int32_t              v = 0;
    const unsigned char *p = NULL;
    ASD_TRY(number(m, length_bytes, &n));
    if (n > 1024)
        return ASD_FAIL(ASD_E_DATA, "%s: an int of %" PRIu64 " bytes", m->p->path, n);
    ASD_TRY(operand(m, n, &p));
    if (n > 8) {
        ASD_TRY(push_new(m, ASD_PT_BIGINT, &v));
        m->p->value[v].text  = (const char *)p;
        m->p->value[v].bytes = (size_t)n;
        return ASD_OK;
    }
    for (uint64_t i = n; i-- > 0;)
        x = x << 8 | p[i];
    if (n > 0 && n < 8 && (p[n - 1] & 0x80))
        x |= ~(uint64_t)0 << 8 * n;
    return push_int(m, (int64_t)x);
}

static asd_status read_float(machine *m)
{
    const unsigned char *p    = NULL;
    uint64_t             bits = 0;
    int32_t              v    = 0;
    ASD_TRY(operand(m, 8, &p));
    for (int i = 0; i < 8; ++i) /* the one big-endian operand of pickles */
        bits = bits << 8 | p[i];
    ASD_TRY(push_new(m, ASD_PT_FLOAT, &v));
    memcpy(&m->p->value[v].real, &bits, sizeof bits);
    return ASD_OK;
}

/* A line of GLOBAL, without its end. */
static asd_status line(machine *m, const char **s, size_t *n)
{
    const unsigned char *end = memchr(m->code + m->at, '\n', m->n - m->at);
    if (!end)
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle ends inside a name at byte %zu", m->p->path,
                        m->at);
    *s = (const char *)m->code + m->at;
    *n = (size_t)(end - (m->code + m->at));
    m->at += *n + 1;
    return ASD_OK;
}

static asd_status check_name(const machine *m, const char *s, size_t n)
{
    int plain = n > 0 && n < 200;
    for (size_t i = 0; plain && i < n; ++i)
        plain = s[i] > ' ' && s[i] < 0x7f;
    return plain ? ASD_OK
                 : ASD_FAIL(ASD_E_DATA,
                            "%s: a global name of %zu bytes before byte %zu of the pickle; want "
                            "1 to 199 printable ones",
                            m->p->path, n, m->at);
}

static asd_status push_global(machine *m, const char *module, size_t module_bytes, const char *name,
                              size_t name_bytes)
{
    int32_t v = 0;
    ASD_TRY(check_name(m, module, module_bytes));
    ASD_TRY(check_name(m, name, name_bytes));
    ASD_TRY(push_new(m, ASD_PT_GLOBAL, &v));
    asd_pt_value *g = &m->p->value[v];
    g->text         = module;
    g->bytes        = module_bytes;
    g->name         = name;
    g->name_bytes   = name_bytes;
    return asd_pt_check_global(m->p, v);
}

static asd_status stack_global(machine *m)
{
    int32_t name = 0, module = 0;
    ASD_TRY(pop(m, &name));
    ASD_TRY(pop(m, &module));
    const asd_pt_value *n = &m->p->value[name], *o = &m->p->value[module];
    if (n->kind != ASD_PT_TEXT || o->kind != ASD_PT_TEXT)
        return ASD_FAIL(ASD_E_DATA, "%s: a global name made of %s and %s, want two texts",
                        m->p->path, asd_pt_kind_name(o->kind), asd_pt_kind_name(n->kind));
    return push_global(m, o->text, o->bytes, n->text, n->bytes);
}

/* --- containers --- */

static asd_status make_tuple(machine *m, int64_t from)
{
    int32_t t = 0;
    ASD_TRY(asd_pt_new(m->p, ASD_PT_TUPLE, &t));
    for (int64_t i = from; i < m->n_stack; ++i)
        ASD_TRY(asd_pt_append(m->p, t, m->stack[i]));
    m->n_stack = from;
    return push(m, t);
}

static asd_status top_tuple(machine *m, int n)
{
    if (m->n_stack - ground(m) < n)
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle wants %d values for a tuple at byte %zu",
                        m->p->path, n, m->at);
    return make_tuple(m, m->n_stack - n);
}

/* SETITEMS, APPENDS, ADDITEMS: stack[from ..) goes into the container under it. A record that is
 * filled like a list (a class made of list) has the index as key. */
static asd_status fill(machine *m, int64_t from, int pairs)
{
    asd_pt_pickle *p = m->p;
    if (from <= ground(m))
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle fills nothing at byte %zu", p->path, m->at);
    const int32_t     to   = m->stack[from - 1];
    const asd_pt_kind kind = p->value[to].kind;
    const int         ok   = pairs ? kind == ASD_PT_DICT || kind == ASD_PT_RECORD
                                   : kind == ASD_PT_LIST || kind == ASD_PT_SET || kind == ASD_PT_RECORD;
    if (!ok || (pairs && (m->n_stack - from) % 2))
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle puts %" PRId64 " %s into %s", p->path,
                        m->n_stack - from, pairs ? "keys and values" : "elements",
                        asd_pt_kind_name(kind));
    for (int64_t i = from; i < m->n_stack; ++i) {
        if (!pairs && kind == ASD_PT_RECORD) {
            int32_t       key   = 0;
            const int64_t index = p->value[to].n_items / 2;
            ASD_TRY(asd_pt_new(p, ASD_PT_INT, &key));
            p->value[key].integer = index;
            ASD_TRY(asd_pt_append(p, to, key));
        }
        ASD_TRY(asd_pt_append(p, to, m->stack[i]));
    }
    m->n_stack = from;
    return ASD_OK;
}

static asd_status fill_marked(machine *m, int pairs)
{
    int64_t from = 0;
    ASD_TRY(take_mark(m, &from));
    return fill(m, from, pairs);
}

/* BUILD: attributes of an object. Those of dictionaries (a state dict's _metadata) and tensors say
 * nothing about weights. */
static asd_status build(machine *m)
{
    int32_t        state = 0, object = 0;
    asd_pt_pickle *p = m->p;
    ASD_TRY(pop(m, &state));
    ASD_TRY(pop(m, &object));
    const asd_pt_kind kind = p->value[object].kind;
    if (kind == ASD_PT_RECORD) {
        if (p->value[state].kind == ASD_PT_DICT) {
            ASD_TRY(asd_pt_append_all(p, object, state));
        } else {
            int32_t key = 0;
            ASD_TRY(asd_pt_new(p, ASD_PT_TEXT, &key));
            p->value[key].text  = "state";
            p->value[key].bytes = 5;
            ASD_TRY(asd_pt_append(p, object, key));
            ASD_TRY(asd_pt_append(p, object, state));
        }
    } else if (kind != ASD_PT_DICT && kind != ASD_PT_TENSOR) {
        return ASD_FAIL(ASD_E_DATA, "%s: the pickle gives attributes to %s", p->path,
                        asd_pt_kind_name(kind));
    }
    return push(m, object);
}

typedef asd_status (*call_fn)(asd_pt_pickle *, int32_t, int32_t, int32_t *);

static asd_status call(machine *m, call_fn fn)
{
    int32_t args = 0, callee = 0, made = 0;
    ASD_TRY(pop(m, &args));
    ASD_TRY(pop(m, &callee));
    const asd_pt_kind a = m->p->value[args].kind, c = m->p->value[callee].kind;
    if (c != ASD_PT_GLOBAL || a != ASD_PT_TUPLE)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: the pickle calls %s with %s, want a global name and a tuple",
                        m->p->path, asd_pt_kind_name(c), asd_pt_kind_name(a));
    ASD_TRY(fn(m->p, callee, args, &made));
    return push(m, made);
}

/* --- the opcodes --- */

static asd_status step_scalar(machine *m, int op, int *known)
{
    uint64_t x = 0;
    int32_t  v = 0;
    *known     = 1;
    switch (op) {
    case 'N': return push_new(m, ASD_PT_NONE, &v); /* NONE */
    case 0x88:                                     /* NEWTRUE */
    case 0x89:                                     /* NEWFALSE */
        ASD_TRY(push_new(m, ASD_PT_BOOL, &v));
        m->p->value[v].integer = op == 0x88;
        return ASD_OK;
    case 'K': /* BININT1 */
    case 'M': /* BININT2 */
        ASD_TRY(number(m, op == 'K' ? 1 : 2, &x));
        return push_int(m, (int64_t)x);
    case 'J': /* BININT */ ASD_TRY(number(m, 4, &x)); return push_int(m, (int32_t)(uint32_t)x);
    case 0x8a: return read_long(m, 1);              /* LONG1 */
    case 0x8b: return read_long(m, 4);              /* LONG4 */
    case 'G': return read_float(m);                 /* BINFLOAT */
    case 'X': return read_text(m, 4, ASD_PT_TEXT);  /* BINUNICODE */
    case 0x8c: return read_text(m, 1, ASD_PT_TEXT); /* SHORT_BINUNICODE */
    case 0x8d: return read_text(m, 8, ASD_PT_TEXT); /* BINUNICODE8 */
    case 'U': return read_text(m, 1, ASD_PT_TEXT);  /* SHORT_BINSTRING: Python 2's str */
    case 'B': return read_text(m, 4, ASD_PT_BYTES); /* BINBYTES */
    case 'C': return read_text(m, 1, ASD_PT_BYTES); /* SHORT_BINBYTES */
    default: *known = 0; return ASD_OK;
    }
}

static asd_status step_container(machine *m, int op, int *known)
{
    int64_t from = 0;
    int32_t v    = 0;
    *known       = 1;
    switch (op) {
    case '}': return push_new(m, ASD_PT_DICT, &v);  /* EMPTY_DICT */
    case ']': return push_new(m, ASD_PT_LIST, &v);  /* EMPTY_LIST */
    case 0x8f: return push_new(m, ASD_PT_SET, &v);  /* EMPTY_SET */
    case ')': return push_new(m, ASD_PT_TUPLE, &v); /* EMPTY_TUPLE */
    case '(': return set_mark(m);                   /* MARK */
    case 't': /* TUPLE */ ASD_TRY(take_mark(m, &from)); return make_tuple(m, from);
    case 0x85: /* TUPLE1, 2, 3 */
    case 0x86:
    case 0x87: return top_tuple(m, op - 0x84);
    case 's': /* SETITEM */
        if (m->n_stack - ground(m) < 3)
            break;
        return fill(m, m->n_stack - 2, 1);
    case 'a': /* APPEND */
        if (m->n_stack - ground(m) < 2)
            break;
        return fill(m, m->n_stack - 1, 0);
    case 'u': return fill_marked(m, 1);  /* SETITEMS */
    case 'e':                            /* APPENDS */
    case 0x90: return fill_marked(m, 0); /* ADDITEMS */
    default: *known = 0; return ASD_OK;
    }
    return ASD_FAIL(ASD_E_DATA, "%s: the pickle takes from an empty stack at byte %zu", m->p->path,
                    m->at);
}

static asd_status step_name(machine *m, int op, int *known)
{
    uint64_t    x = 0;
    int32_t     v = 0;
    size_t      n = 0, k = 0;
    const char *module = NULL, *name = NULL;
    *known = 1;
    switch (op) {
    case 'q': /* BINPUT */
    case 'r': /* LONG_BINPUT */ ASD_TRY(number(m, op == 'q' ? 1 : 4, &x)); return memo_put(m, x);
    case 0x94: return memo_put(m, (uint64_t)m->n_memo); /* MEMOIZE */
    case 'h':                                           /* BINGET */
    case 'j': /* LONG_BINGET */ ASD_TRY(number(m, op == 'h' ? 1 : 4, &x)); return memo_get(m, x);
    case 'c': /* GLOBAL */
        ASD_TRY(line(m, &module, &n));
        ASD_TRY(line(m, &name, &k));
        return push_global(m, module, n, name, k);
    case 0x93: return stack_global(m);             /* STACK_GLOBAL */
    case 'R': return call(m, asd_pt_reduce);       /* REDUCE */
    case 0x81: return call(m, asd_pt_make_object); /* NEWOBJ */
    case 'b': return build(m);                     /* BUILD */
    case 'Q':                                      /* BINPERSID */
        ASD_TRY(pop(m, &v));
        ASD_TRY(asd_pt_persistent(m->p, v, &v));
        return push(m, v);
    case 0x80: /* PROTO */
        ASD_TRY(number(m, 1, &x));
        return x >= 2 && x <= 5 ? ASD_OK
                                : ASD_FAIL(ASD_E_DATA, "%s: pickle protocol %d, want 2 to 5",
                                           m->p->path, (int)x);
    case 0x95: /* FRAME: a hint for readers of streams, whose length says nothing new */
        ASD_TRY(number(m, 8, &x));
        return ASD_OK;
    case '.': /* STOP */ m->stopped = 1; return ASD_OK;
    default: *known = 0; return ASD_OK;
    }
}

static asd_status run(machine *m)
{
    static asd_status (*const group[])(machine *, int, int *) = {step_scalar, step_container,
                                                                 step_name};
    while (!m->stopped) {
        if (m->at >= m->n)
            return ASD_FAIL(ASD_E_DATA, "%s: the pickle of %zu bytes ends without STOP: cut short",
                            m->p->path, m->n);
        const int op    = m->code[m->at++];
        int       known = 0;
        for (int i = 0; i < 3 && !known; ++i)
            ASD_TRY(group[i](m, op, &known));
        if (!known)
            return ASD_FAIL(ASD_E_DATA,
                            "%s: opcode 0x%02x at byte %zu of the pickle is none that a checkpoint "
                            "needs",
                            m->p->path, (unsigned)op, m->at - 1);
    }
    if (m->n_stack != 1 || m->n_marks)
        return ASD_FAIL(ASD_E_DATA,
                        "%s: the pickle leaves %" PRId64 " values and %" PRId64
                        " marks, want one value",
                        m->p->path, m->n_stack, m->n_marks);
    m->p->root = m->stack[0];
    return ASD_OK;
}

asd_status asd_pt_pickle_read(const char *path, const void *bytes, size_t n, size_t *at,
                              asd_pt_pickle *out)
{
    *out          = (asd_pt_pickle){.path = path};
    machine    m  = {.p = out, .code = bytes, .n = n, .at = *at};
    asd_status st = run(&m);
    *at           = m.at;
    free(m.stack);
    free(m.mark);
    free(m.memo);
    return st;
}
