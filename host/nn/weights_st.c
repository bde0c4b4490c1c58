/* weights_st.c - safetensors as weights: more dtypes than files of our own have, names as they are.
 * The format shares no storage, so strides are those of C order. */
#include "nn/st_header.h"
#include "nn/weights_parts.h"

#include <stdlib.h>
#include <string.h>

/* The rules' tables, from the one table of dtypes. */
static asd_status read_fields(asd_weights_builder *b, asd_st_header *h)
{
    const char *name[ASD_N_WDTYPES];
    size_t      bytes[ASD_N_WDTYPES];
    for (int i = 0; i < ASD_N_WDTYPES; ++i) {
        name[i]  = asd_wdtype_name((asd_wdtype)i);
        bytes[i] = asd_wdtype_bytes((asd_wdtype)i);
    }
    const asd_st_rules rules = {name, bytes, ASD_N_WDTYPES,
                                "F32, F64, F16, BF16, I64, I32, I16, I8, U8 or BOOL",
                                ASD_W_MAX_DIMS};
    return asd_st_header_read(b->w->path, b->w->map, b->w->map_bytes, &rules, h);
}

static asd_status add_field(asd_weights_builder *b, const asd_st_field *f)
{
    char       name[ASD_W_MAX_NAME + 1], nowhere[1] = "";
    asd_weight t      = {.dtype = (asd_wdtype)f->dtype, .n_dims = f->n_dims, .where = nowhere};
    int64_t    stride = 1;
    if (strlen(f->name) >= sizeof name)
        return ASD_FAIL(ASD_E_DATA, "%s: a tensor name of %zu bytes, want %d at most", b->w->path,
                        strlen(f->name), ASD_W_MAX_NAME);
    t.name = strcpy(name, f->name);
    for (int i = f->n_dims; i-- > 0;) {
        t.dim[i]    = f->dim[i];
        t.stride[i] = stride;
        stride *= f->dim[i] ? f->dim[i] : 1; /* below 1e15, see st_header.c */
    }
    t.data               = f->data;
    t.storage_bytes_left = f->bytes;
    return asd_weights_add(b, &t);
}

static asd_status add_metadata(asd_weights_builder *b, json_t *metadata)
{
    const char *key;
    json_t     *value;
    if (metadata && !json_is_object(metadata))
        return ASD_FAIL(ASD_E_DATA, "%s: __metadata__ is no JSON object", b->w->path);
    json_object_foreach(metadata, key, value)
    {
        const char *text = json_string_value(value);
        if (!text)
            return ASD_FAIL(ASD_E_DATA, "%s: __metadata__ %s is not a text", b->w->path, key);
        ASD_TRY(asd_weights_add_meta(b, key, ASD_META_TEXT, text, strlen(text), 0));
    }
    return ASD_OK;
}

asd_status asd_weights_read_safetensors(asd_weights_builder *b)
{
    asd_st_header h;
    asd_status    st = read_fields(b, &h);
    for (int64_t i = 0; !st && i < h.n; ++i)
        st = add_field(b, &h.field[i]);
    if (!st)
        st = add_metadata(b, json_object_get(h.root, "__metadata__"));
    asd_st_header_clear(&h);
    return st;
}
