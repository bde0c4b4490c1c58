/* encoder_files.h - small encoders as checkpoints in the released layouts, for tests. Included
 * where it is used, behind harness.h. */
#ifndef ASD_TESTS_ENCODER_FILES_H
#define ASD_TESTS_ENCODER_FILES_H

#include "harness.h"
#include "ref/encoder_synth.h"
#include "ref/synthetic.h"
#include "weights_writer.h"

#include "base/file.h"

enum { S = 8000, MAX_TENSORS = 160 };

typedef struct layout {
    const char *kind;
    ww_form     form;
    const char *where;
    void (*rename)(const char *core, char name[160]);
    int         one_table;            /* BEATs: only layer 0 has the table of places */
    const char *leave_out, *misshape; /* tensors by core name, or NULL */
    int         other_table;          /* the last copy differs */
    int         extra; /* 1: what must be ignored; 2: what must not; EAT's places, 3: all rows,
                        * 4: the first half */
} layout;

/* Tensors in memory while a file is written. */
typedef struct file {
    ww_tensor t[MAX_TENSORS];
    char      name[MAX_TENSORS][160];
    float    *x[MAX_TENSORS];
    int       n;
} file;

static inline asd_encoder_desc small(const char *kind)
{
    asd_encoder_desc d;
    assert_ok(asd_encoder_default(kind, 1, &d));
    if (strcmp(kind, "beats") != 0)
        d.heads = 1; /* no file of the others says how many: 64 wide each */
    return d;
}

static inline void add(file *f, const char *where, const char *name, int n_dims, const int64_t *dim,
                       float *x)
{
    assert_true(f->n < MAX_TENSORS);
    snprintf(f->name[f->n], sizeof f->name[0], "%s", name);
    f->t[f->n] = (ww_tensor){.where = where, .name = f->name[f->n], .n_dims = n_dims, .x = x};
    memcpy(f->t[f->n].dim, dim, (size_t)n_dims * sizeof *dim);
    f->x[f->n++] = x;
}

static inline void add_extras(file *f, const layout *l)
{
    static const char *const ignored[3][2] = {
        {"beats", NULL},
        {"eat", "modality_encoders.IMAGE.decoder.blocks.0.0.weight"},
        {"dasheng", "front_end.0.spectrogram.window"}};
    int64_t two = 2;
    for (int i = 0; i < 3 && l->extra == 1; ++i)
        if (!strcmp(ignored[i][0], l->kind) && ignored[i][1])
            add(f, l->where, ignored[i][1], 1, &two, calloc(2, sizeof(float)));
    if (l->extra == 1 && !strcmp(l->kind, "eat")) /* the teacher */
        add(f, "model._ema", "blocks.0.norm1.weight", 1, &two, calloc(2, sizeof(float)));
    if (l->extra == 2)
        add(f, l->where, "surprise.weight", 1, &two, calloc(2, sizeof(float)));
}

static inline void write_file(const layout *l, const char *path)
{
    static const ww_setting cfg[] = {
        {"cfg", "encoder_layers", WW_INT, 2, NULL},
        {"cfg", "encoder_attention_heads", WW_INT, 2, NULL},
        {"cfg", "deep_norm", WW_BOOL, 1, NULL},
        {"cfg", "relative_position_embedding", WW_BOOL, 1, NULL},
        {"cfg", "gru_rel_pos", WW_BOOL, 1, NULL},
        {"cfg", "max_distance", WW_INT, 800, NULL},
        {"cfg", "activation_fn", WW_TEXT, 0, "gelu"},
    };
    asd_encoder_desc d     = small(l->kind);
    encoder_names    names = {0};
    file            *f     = calloc(1, sizeof *f);
    encoder_name     table = {0};
    encoder_kind_find(l->kind)->names(&d, &names);
    for (int i = 0; i < names.n; ++i) {
        encoder_name n = names.name[i];
        char         name[160];
        if (l->leave_out && !strcmp(n.core, l->leave_out))
            continue;
        if (n.flags & NAME_SHORT && l->extra < 3)
            continue; /* EAT's places are computed */
        if (l->one_table && n.flags == (NAME_SAME | NAME_OPTIONAL))
            continue;
        if (n.flags & NAME_SHORT && l->extra == 4)
            n.dim[1] /= 2;
        l->rename(n.core, name);
        if (n.flags & NAME_SAME && n.flags & NAME_OPTIONAL)
            snprintf(n.core, sizeof n.core, "%s", table.core);
        else if (n.flags & NAME_SAME)
            table = n;
        float *x = asd_synth_tensor(&d, &n);
        if (l->other_table && n.flags == (NAME_SAME | NAME_OPTIONAL))
            x[3] += 1;
        if (l->misshape && !strcmp(n.core, l->misshape))
            n.dim[0] -= 1;
        add(f, l->where, name, n.n_dims, n.dim, x);
    }
    add_extras(f, l);
    ww_write(l->form, path, f->t, f->n, cfg,
             l->form != WW_SAFETENSORS && !strcmp(l->kind, "beats") ? sizeof cfg / sizeof *cfg : 0);
    for (int i = 0; i < f->n; ++i)
        free(f->x[i]);
    free(f);
    encoder_names_free(&names);
}

static inline void as_is(const char *core, char name[160])
{
    snprintf(name, 160, "%s", core);
}

/* A converted BEATs inside somebody's model, saved by a newer PyTorch. */
static inline void wrapped_beats(const char *core, char name[160])
{
    const char *new_g = "encoder.pos_conv.0.parametrizations.weight.original0";
    const char *new_v = "encoder.pos_conv.0.parametrizations.weight.original1";
    if (!strcmp(core, "encoder.pos_conv.0.weight_g"))
        core = new_g;
    if (!strcmp(core, "encoder.pos_conv.0.weight_v"))
        core = new_v;
    snprintf(name, 160, "backbone.%s", core);
}

static inline void fairseq_eat(const char *core, char name[160])
{
    if (!strncmp(core, "pre_norm.", 9))
        snprintf(name, 160, "modality_encoders.IMAGE.context_encoder.norm.%s", core + 9);
    else
        snprintf(name, 160, "%s%s", strncmp(core, "blocks.", 7) ? "modality_encoders.IMAGE." : "",
                 core);
}

static inline void fairseq_eat_tuned(const char *core, char name[160])
{
    char inner[160];
    fairseq_eat(core, inner);
    snprintf(name, 160, "model.%.150s", inner);
}

static inline void hugging_face_eat(const char *core, char name[160])
{
    snprintf(name, 160, "model.%s", core);
}

static inline void hugging_face_dasheng(const char *core, char name[160])
{
    snprintf(name, 160, "encoder.%s", core);
}

static inline void run_in(asd_encoder *e, int bf16, const float *x, float *y)
{
    asd_encoder_run *r;
    assert_ok(asd_encoder_plan(e, 1, S, (int[]){2}, 1, ASD_POOL_MEAN, NULL, bf16, &r));
    assert_ok(asd_encoder_forward(r, x, y));
    asd_encoder_run_free(r);
}

static inline void run(asd_encoder *e, const float *x, float *y)
{
    run_in(e, 0, x, y);
}

#endif
