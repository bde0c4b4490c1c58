/* ops.c - the table of ops.def, and shapes as text. */
#include "kernels/op.h"

#include <stdio.h>
#include <string.h>

const asd_op *const asd_ops[] = {
#define OP(name) &asd_op_##name,
#include "kernels/ops.def"
#undef OP
    NULL,
};

const asd_op *asd_op_find(const char *name)
{
    for (const asd_op *const *op = asd_ops; *op; ++op)
        if (!strcmp((*op)->name, name))
            return *op;
    return NULL;
}

const char *asd_dtype_name(asd_dtype t)
{
    static const char *const names[ASD_NDTYPES] = {
        [ASD_F32] = "f32", [ASD_I16] = "i16", [ASD_I32] = "i32", [ASD_BF16] = "bf16"};
    return names[t];
}

int asd_shape_equal(asd_shape a, asd_shape b)
{
    if (a.n != b.n)
        return 0;
    for (int i = 0; i < a.n; ++i)
        if (a.d[i] != b.d[i])
            return 0;
    return 1;
}

const char *asd_shape_text(asd_shape s, char *buf, size_t size)
{
    size_t used = (size_t)snprintf(buf, size, "(");
    for (int i = 0; i < s.n && used < size; ++i)
        used +=
            (size_t)snprintf(buf + used, size - used, "%s%lld", i ? ", " : "", (long long)s.d[i]);
    if (used < size)
        snprintf(buf + used, size - used, ")");
    return buf;
}
