/* weights_read.c - elements of a mapped tensor, from any dtype and strides to fp32. See weights.h.
 */
#include "nn/weights.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t asd_weight_count(const asd_weight *t)
{
    int64_t n = 1; /* the product fits: it was checked against the storage */
    for (int i = 0; i < t->n_dims; ++i)
        if (t->dim[i] == 0)
            return 0;
    for (int i = 0; i < t->n_dims; ++i)
        n *= t->dim[i];
    return n;
}

int asd_weight_is_c_order(const asd_weight *t)
{
    int64_t want = 1;
    if (asd_weight_count(t) == 0)
        return 1;
    for (int i = t->n_dims; i-- > 0;) {
        if (t->dim[i] != 1 && t->stride[i] != want) /* nobody steps along a dimension of 1 */
            return 0;
        want *= t->dim[i];
    }
    return 1;
}

const char *asd_weight_shape_text(const asd_weight *t, char *to, size_t size)
{
    size_t n = (size_t)snprintf(to, size, "[");
    for (int i = 0; i < t->n_dims && n < size; ++i)
        n += (size_t)snprintf(to + n, size - n, "%s%" PRId64, i ? "," : "", t->dim[i]);
    if (n < size)
        snprintf(to + n, size - n, "]");
    return to;
}

const float *asd_weight_mapped(const asd_weight *t)
{
    const int ok = t->dtype == ASD_W_F32 && (uintptr_t)t->data % sizeof(float) == 0;
    return ok && asd_weight_is_c_order(t) ? t->data : NULL;
}

static float from_half(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, low = h & 0x7fff;
    uint32_t       bits;
    float          x;
    if (low >= 0x7c00) { /* infinite, not a number */
        bits = sign | 0x7f800000 | (low & 0x3ff) << 13;
    } else if (low >= 0x400) {
        bits = sign | ((low << 13) + ((127 - 15) << 23));
    } else { /* below the normal range: low * 2^-24, exact in fp32 */
        x = (float)low * 0x1p-24f;
        memcpy(&bits, &x, 4);
        bits |= sign;
    }
    memcpy(&x, &bits, 4);
    return x;
}

/* n elements, `step` elements apart, to consecutive floats. */
#define GATHER(type, expr)                                                                         \
    for (int64_t i = 0; i < n; ++i) {                                                              \
        type v;                                                                                    \
        memcpy(&v, from + (size_t)(i * step) * sizeof v, sizeof v);                                \
        to[i] = (float)(expr);                                                                     \
    }                                                                                              \
    break

static void gather(asd_wdtype dtype, const char *from, int64_t n, int64_t step, float *to)
{
    switch (dtype) {
    case ASD_W_F32:
        if (step == 1) {
            memcpy(to, from, (size_t)n * sizeof *to);
            break;
        }
        GATHER(float, v);
    case ASD_W_F64: GATHER(double, v);
    case ASD_W_F16: GATHER(uint16_t, from_half(v));
    case ASD_W_BF16:
        for (int64_t i = 0; i < n; ++i) {
            uint16_t v;
            memcpy(&v, from + (size_t)(i * step) * sizeof v, sizeof v);
            const uint32_t bits = (uint32_t)v << 16;
            memcpy(&to[i], &bits, sizeof bits);
        }
        break;
    case ASD_W_I64: GATHER(int64_t, v);
    case ASD_W_I32: GATHER(int32_t, v);
    case ASD_W_I16: GATHER(int16_t, v);
    case ASD_W_I8: GATHER(int8_t, v);
    case ASD_W_U8: GATHER(uint8_t, v);
    case ASD_W_BOOL: GATHER(uint8_t, v != 0);
    default: ASD_ASSERT(!"a dtype");
    }
}

/* x: the tensor's (count) elements in fp32 */
static asd_status check_finite(const asd_weights *w, const asd_weight *t, const float *x,
                               int64_t count)
{
    int bad = 0;
    for (int64_t i = 0; i < count; ++i)
        bad |= !(fabsf(x[i]) <= 3.402823466e38f); /* FLT_MAX */
    for (int64_t i = 0; bad && i < count; ++i)
        if (!isfinite(x[i]))
            return ASD_FAIL(ASD_E_DATA,
                            "%s: tensor %s: element %" PRId64 " is %g in fp32, want finite",
                            w->path, t->name, i, (double)x[i]);
    return ASD_OK;
}

asd_status asd_weight_check(const asd_weights *w, const asd_weight *t)
{
    const float *x = asd_weight_mapped(t);
    ASD_ASSERT(x);
    return check_finite(w, t, x, asd_weight_count(t));
}

asd_status asd_weight_read(const asd_weights *w, const asd_weight *t, float *to)
{
    const int64_t count = asd_weight_count(t);
    if (count && asd_weight_is_c_order(t)) {
        gather(t->dtype, t->data, count, 1, to);
    } else if (count) { /* row by row; an odometer counts the outer dimensions */
        const int     last               = t->n_dims - 1;
        const int64_t row                = t->dim[last];
        int64_t       at[ASD_W_MAX_DIMS] = {0}, offset = 0;
        const size_t  element = asd_wdtype_bytes(t->dtype);
        for (int64_t done = 0; done < count; done += row) {
            gather(t->dtype, (const char *)t->data + (size_t)offset * element, row, t->stride[last],
                   to + done);
            for (int i = last; i-- > 0;) {
                offset += t->stride[i];
                if (++at[i] < t->dim[i])
                    break;
                offset -= at[i] * t->stride[i];
                at[i] = 0;
            }
        }
    }
    return check_finite(w, t, to, count);
}
