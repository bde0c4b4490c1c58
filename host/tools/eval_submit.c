/* eval_submit.c - asd-eval submit: the challenge package, made and checked, or checked alone. */
#include "base/file.h"
#include "base/log.h"
#include "score/meta.h"
#include "score/submit.h"
#include "score/systems.h"
#include "tools/eval_cmds.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef struct args {
    asd_common common; /* first: ASD_COMMON_OPTS */
    char      *output, *report, *data, *form;
    asd_list   meta, machine, dev_machine;
    int64_t    rows;
} args;

static const asd_opt opts[] = {
    {"meta", 0, ASD_OPT_LIST, offsetof(args, meta), "[]", 0, 4, NULL, "FILE",
     "meta.yaml of a system; once for each RUN, in the same order"},
    {"report", 0, ASD_OPT_TEXT, offsetof(args, report), NULL, 0, 0, NULL, "PDF",
     "the technical report"},
    {"data", 0, ASD_OPT_TEXT, offsetof(args, data), NULL, 0, 0, NULL, "DIR",
     "data set whose test clips the file names must be"},
    {"form", 0, ASD_OPT_TEXT, offsetof(args, form), NULL, 0, 0, NULL, "FILE",
     "only write a meta.yaml to fill in, with the RUN's development results"},
    {"machine", 0, ASD_OPT_LIST, offsetof(args, machine),
     "[BlowerDustCollector, Sander, SewingMachine, ToothBrush, ToyDrone]", 1, 1000, NULL, "NAME",
     "evaluation machines"},
    {"dev-machine", 0, ASD_OPT_LIST, offsetof(args, dev_machine),
     "[ToyCar, ToyCarEmu, bearingEmu, fan, gearboxEmu, sliderEmu, valveEmu]", 0, 1000, NULL, "NAME",
     "development machines, whose results the meta file reports"},
    {"rows", 0, ASD_OPT_INT, offsetof(args, rows), "200", 1, 1000000, NULL, "N",
     "test clips of an evaluation machine"},
    {"output", 'o', ASD_OPT_TEXT, offsetof(args, output), NULL, 0, 0, NULL, "FILE",
     "the package; default <Name>_<Institute>_task2.zip"},
    ASD_DRY_RUN_OPT,
    ASD_FORCE_OPT,
    ASD_JSON_OPT,
    ASD_COMMON_OPTS,
    {0},
};

static const asd_command command = {
    .name     = "asd-eval submit",
    .operands = "RUN...",
    .about = "Make the challenge package of one to four systems and check it, or check a package.\n"
             "RUN is a folder as for `asd-eval omega`, of one system, with scores and decisions of "
             "the\nevaluation machines; or one package (.zip) to check. Every error and warning is "
             "listed;\nwith errors nothing is written and the exit code is 5.",
    .opts  = opts,
    .min_operands = 1,
    .max_operands = 4,
    .examples =
        "  asd-eval submit runs/mine --form mine.meta.yaml\n"
        "  asd-eval submit runs/mine --meta mine.meta.yaml --report report.pdf --data DCASE\n"
        "  asd-eval submit Name_INST_task2.zip --data DCASE\n",
};

static const size_t MAX_META = (size_t)1 << 20, MAX_REPORT = (size_t)128 << 20;

/* --- the form --- */

static int is_wanted(const asd_list *list, const char *machine)
{
    for (int64_t i = 0; i < list->n; ++i)
        if (!strcmp(list->item[i], machine))
            return 1;
    return 0;
}

/* Values of the development machines that the run has scored; other machines may be unlabelled. */
static asd_status development_values(const args *a, const char *folder, asd_eval *e, asd_omega *o)
{
    asd_scores        scores;
    asd_status        st      = asd_scores_read(folder, &scores);
    asd_omega_options options = ASD_OMEGA_DEFAULTS;
    char            **found   = calloc((size_t)scores.n + 1, sizeof *found);
    int64_t           n       = 0;
    if (!st && !found)
        st = ASD_FAIL(ASD_E_OOM, "%s: machines", folder);
    for (int64_t i = 0; !st && i < scores.n; ++i)
        if (is_wanted(&a->dev_machine, scores.set[i].machine))
            found[n++] = scores.set[i].machine;
    options.replicates = 0;
    if (!st && n)
        st = asd_eval_open(folder, NULL, found, n, e);
    if (!st && n)
        st = asd_omega_compute(e, &options, o);
    free(found);
    asd_scores_clear(&scores);
    return st;
}

static asd_status write_form(const args *a, const asd_operands *operands)
{
    char        folder[PATH_MAX];
    asd_eval    e = {0};
    asd_omega   o = {0};
    asd_outfile f = {0};
    asd_status  st;
    if (operands->n != 1)
        return ASD_FAIL(ASD_E_USAGE, "--form: %d operands, want one RUN", operands->n);
    if (asd_is_file(a->form) && !a->common.force)
        return ASD_FAIL(ASD_E_USAGE, "%s is there already; -f overwrites it", a->form);
    ASD_GO(done, st, asd_systems_find_one(operands->v[0], folder));
    ASD_GO(done, st, development_values(a, folder, &e, &o));
    ASD_GO(done, st, asd_outfile_open(&f, a->form));
    asd_meta_template(o.n ? &o : NULL, a->dev_machine.item, a->dev_machine.n, f.stream);
    ASD_GO(done, st, asd_outfile_commit(&f));
    printf("%s: fill it in, then: asd-eval submit %s --meta %s --report PDF\n", a->form,
           operands->v[0], a->form);
done:
    if (f.stream)
        asd_outfile_abandon(&f);
    asd_omega_clear(&o);
    asd_eval_clear(&e);
    return st;
}

/* --- the package --- */

static asd_status add_system(const asd_submit_options *o, const char *run, const char *meta_path,
                             char label[128], asd_package *p)
{
    char       folder[PATH_MAX], *meta = NULL;
    size_t     size;
    asd_scores scores = {0};
    asd_status st;
    ASD_GO(done, st, asd_systems_find_one(run, folder));
    ASD_GO(done, st, asd_read_file(meta_path, MAX_META, &meta, &size));
    ASD_GO(done, st, asd_meta_label(meta_path, meta, size, label));
    if (strchr(label, '/')) {
        st = ASD_FAIL(ASD_E_DATA, "%s: submission.label \"%s\"", meta_path, label);
        goto done;
    }
    for (int64_t i = 0; i < p->n; ++i)
        if (!strncmp(p->file[i].name, "task2/", 6) &&
            !strncmp(p->file[i].name + 6, label, strlen(label)) &&
            p->file[i].name[6 + strlen(label)] == '/') {
            st = ASD_FAIL(ASD_E_DATA, "%s: label %s is used twice", meta_path, label);
            goto done;
        }
    ASD_GO(done, st, asd_scores_read(folder, &scores));
    st = asd_submit_add_system(p, o, label, &scores, meta, size);
done:
    asd_scores_clear(&scores);
    free(meta);
    return st;
}

static asd_status build(const args *a, const asd_submit_options *o, const asd_operands *operands,
                        char first_label[128], asd_package *p)
{
    char label[128];
    if (a->meta.n != operands->n)
        return ASD_FAIL(ASD_E_USAGE,
                        "%" PRId64 " --meta for %d systems, want one each (asd-eval submit RUN "
                        "--form FILE writes one to fill in)",
                        a->meta.n, operands->n);
    for (int i = 0; i < operands->n; ++i)
        ASD_TRY(add_system(o, operands->v[i], a->meta.item[i], i ? label : first_label, p));
    if (a->report) {
        char      *pdf;
        size_t     size;
        asd_status st;
        ASD_TRY(asd_read_file(a->report, MAX_REPORT, &pdf, &size));
        st = asd_submit_add_report(p, first_label, pdf, size);
        free(pdf);
        ASD_TRY(st);
    }
    return ASD_OK;
}

static asd_status print_json(const asd_findings *f, const char *written)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < f->n; ++i)
        json_array_append_new(list, json_pack("{s:s, s:s}", "level",
                                              f->item[i].is_error ? "error" : "warning", "text",
                                              f->item[i].text));
    json_t *root = json_pack("{s:s, s:b, s:s?, s:o}", "schema", "asd.submit/1", "ok", !f->n_errors,
                             "package", written, "findings", list);
    int     bad  = !root || json_dumpf(root, stdout, 0) || putchar('\n') == EOF;
    json_decref(root);
    return bad ? ASD_FAIL(ASD_E_IO, "cannot write JSON") : ASD_OK;
}

static asd_status conclude(const args *a, const asd_findings *f, const char *written)
{
    if (a->common.json) {
        ASD_TRY(print_json(f, written));
    } else {
        for (int64_t i = 0; i < f->n; ++i)
            printf("%s: %s\n", f->item[i].is_error ? "error" : "warning", f->item[i].text);
        if (!f->n_errors)
            printf("%s%s\n", written ? written : "the package is in order",
                   written ? ": written, in order" : "");
    }
    if (f->n_errors)
        return ASD_FAIL(ASD_E_CHECK, "%" PRId64 " error%s and %" PRId64 " warning%s", f->n_errors,
                        f->n_errors == 1 ? "" : "s", f->n - f->n_errors,
                        f->n - f->n_errors == 1 ? "" : "s");
    return ASD_OK;
}

static asd_status make_or_check(const args *a, const asd_operands *operands)
{
    asd_package        p          = {0};
    asd_findings       f          = {0};
    asd_dataset        data       = {0};
    asd_submit_options o          = {.machine     = a->machine.item,
                                     .n_machines  = a->machine.n,
                                     .dev_machine = a->dev_machine.item,
                                     .n_dev       = a->dev_machine.n,
                                     .rows        = a->rows};
    char               label[128] = "", target[PATH_MAX];
    const char        *path = operands->v[0], *written = NULL;
    const size_t       length     = strlen(path);
    const int          is_archive = length > 4 && !strcmp(path + length - 4, ".zip");
    asd_status         st;
    if (a->data) {
        ASD_GO(done, st, asd_dataset_open(a->data, a->machine.item, a->machine.n, &data));
        o.data = &data;
    }
    if (is_archive && operands->n > 1) {
        st = ASD_FAIL(ASD_E_USAGE, "%d packages, want one at a time", operands->n);
        goto done;
    }
    if (is_archive)
        ASD_GO(done, st, asd_package_read(path, &p));
    else
        ASD_GO(done, st, build(a, &o, operands, label, &p));
    ASD_GO(done, st, asd_submit_check(&p, &o, &f));
    if (!is_archive && !a->common.dry_run && !f.n_errors) {
        /* the label ends in _task2_<n>, or the check would have failed */
        ASD_GO(done, st,
               a->output ? asd_path(target, "%s", a->output)
                         : asd_path(target, "%.*s.zip", (int)strlen(label) - 2, label));
        if (asd_is_file(target) && !a->common.force) {
            st = ASD_FAIL(ASD_E_USAGE, "%s is there already; -f overwrites it", target);
            goto done;
        }
        ASD_GO(done, st, asd_package_write(&p, target));
        written = target;
    }
    st = conclude(a, &f, written);
done:
    asd_findings_clear(&f);
    asd_package_clear(&p);
    asd_dataset_clear(&data);
    return st;
}

int eval_submit_main(int argc, char **argv)
{
    args         a;
    asd_operands operands;
    int          over;
    asd_status   st = asd_opts_parse(&command, argc, argv, &a, &operands, &over);
    if (!st && !over) {
        asd_common_apply(&a.common, command.name);
        st = a.form ? write_form(&a, &operands) : make_or_check(&a, &operands);
    }
    asd_opts_clear(opts, &a);
    return asd_main_end(st);
}
