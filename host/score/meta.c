/* meta.c - see meta.h. The fields are one table, walked by the checker and by the form. */
#include "score/meta.h"

#include <ctype.h>
#include <inttypes.h>
#include <libfyaml.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum field_kind {
    TEXT,         /* must not be empty */
    TEXT_OR_NULL, /* must be there; !!null says "not applicable" */
    INT,
    INT_OR_NULL,
} field_kind;

/* Single values, in the order of the form. Sequences and results are handled apart. */
static const struct {
    const char *path;
    field_kind  kind;
    const char *example, *comment;
} fields[] = {
    {"submission/label", TEXT, "Name_INST_task2_1", "equal to the folder's name; 1 to 4"},
    {"submission/name", TEXT, "My system", "free text"},
    {"submission/abbreviation", TEXT, "Mine", "at most 10 characters"},
    {"system/description/input_sampling_rate", TEXT, "16kHz", ""},
    {"system/description/data_augmentation", TEXT_OR_NULL, NULL, "e.g. mixup, noise mixing"},
    {"system/description/front_end", TEXT_OR_NULL, NULL, "e.g. noise suppression"},
    {"system/description/acoustic_features", TEXT_OR_NULL, "log-mel energies", ""},
    {"system/description/embeddings", TEXT_OR_NULL, NULL, "e.g. BEATs, EAT"},
    {"system/description/machine_learning_method", TEXT_OR_NULL, "AE", "e.g. AE, kNN"},
    {"system/description/aggregation_method", TEXT_OR_NULL, "average", ""},
    {"system/description/domain_adaptation_method", TEXT_OR_NULL, NULL, ""},
    {"system/description/domain_generalization_method", TEXT_OR_NULL, NULL, ""},
    {"system/description/ensemble_method_subsystem_count", INT_OR_NULL, NULL, "subsystems"},
    {"system/description/decision_making", TEXT_OR_NULL, NULL, "e.g. gamma distribution"},
    {"system/description/attribute_usage", TEXT_OR_NULL, NULL, ""},
    {"system/description/external_data_usage", TEXT_OR_NULL, NULL, "e.g. pre-trained model"},
    {"system/description/development_data_usage", TEXT_OR_NULL, "development", ""},
    {"system/complexity/total_parameters", INT, NULL, "an integer without separators"},
    {"system/source_code", TEXT_OR_NULL, NULL, "an address"},
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static int part_valid(const char *text, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (!isalnum((unsigned char)text[i]) && text[i] != '-')
            return 0;
    return n > 0;
}

int asd_label_valid(const char *label)
{
    const char *first = strchr(label, '_'), *second = first ? strchr(first + 1, '_') : NULL;
    return second && part_valid(label, (size_t)(first - label)) &&
           part_valid(first + 1, (size_t)(second - first - 1)) && !strncmp(second, "_task2_", 7) &&
           second[7] >= '1' && second[7] <= '4' && !second[8];
}

/* --- reading ------------------------------------------------------------------------------------
 */

/* With its default diagnostics libfyaml writes to stderr even when told to be quiet and collect. */
static void write_nothing(struct fy_diag *diag, void *user, const char *text, size_t size)
{
    (void)diag, (void)user, (void)text, (void)size;
}

/* NULL when the text is no YAML: `why` then says where and what. Aliases are not followed, so that
 * they cannot blow up. */
static struct fy_document *parse(const char *text, size_t size, char why[256])
{
    struct fy_diag_cfg diag_cfg;
    snprintf(why, 256, "not valid YAML");
    if (memchr(text, 0,
               size)) /* libfyaml takes it as the end: such a file is damaged, not shorter */
        return NULL;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp          = NULL;
    diag_cfg.output_fn   = write_nothing;
    struct fy_diag *diag = fy_diag_create(&diag_cfg);
    if (!diag)
        return NULL;
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg   cfg = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    struct fy_document         *d   = fy_document_build_from_string(&cfg, text, size);
    const struct fy_diag_error *first;
    void                       *at = NULL;
    if (d && !fy_diag_got_error(diag) && fy_document_root(d)) {
        fy_diag_destroy(diag); /* the document keeps its own reference */
        return d;
    }
    if ((first = fy_diag_errors_iterate(diag, &at)))
        snprintf(why, 256, "not valid YAML, line %d column %d: %.*s", first->line, first->column,
                 (int)strcspn(first->msg, "\n"), first->msg);
    fy_document_destroy(d);
    fy_diag_destroy(diag);
    return NULL;
}

static struct fy_node *child(struct fy_node *n, const char *path)
{
    return n ? fy_node_by_path(n, path, FY_NT, FYNWF_DONT_FOLLOW) : NULL;
}

/* The text of a scalar, "" for an empty one or a null, NULL for what is no scalar. */
static const char *scalar(struct fy_node *n)
{
    if (!n || fy_node_get_type(n) != FYNT_SCALAR || fy_node_is_alias(n))
        return NULL;
    const char *text = fy_node_get_scalar0(n);
    return text && strcmp(text, "null") && strcmp(text, "~") ? text : "";
}

asd_status asd_meta_label(const char *name, const char *text, size_t size, char *label)
{
    char                why[256];
    struct fy_document *d = parse(text, size, why);
    if (!d)
        return ASD_FAIL(ASD_E_DATA, "%s: %s", name, why);
    const char *got = scalar(child(fy_document_root(d), "submission/label"));
    asd_status  st  = ASD_OK;
    if (!got || !*got || strlen(got) > 127)
        st = ASD_FAIL(ASD_E_DATA,
                      "%s: no submission.label; want "
                      "<LastName>_<Institute>_task2_<1..4>",
                      name);
    else
        snprintf(label, 128, "%s", got);
    fy_document_destroy(d);
    return st;
}

static const char *dotted(const char *path, char buf[128])
{
    snprintf(buf, 128, "%s", path);
    for (char *p = buf; *p; ++p)
        *p = *p == '/' ? '.' : *p;
    return buf;
}

static int is_integer(const char *text)
{
    size_t n = strspn(text, "0123456789");
    return n > 0 && n < 19 && !text[n];
}

static asd_status check_fields(const char *name, struct fy_node *root, asd_findings *f)
{
    char path[128];
    for (int i = 0; i < N_FIELDS; ++i) {
        struct fy_node *n        = child(root, fields[i].path);
        const char     *text     = scalar(n);
        const int       number   = fields[i].kind == INT || fields[i].kind == INT_OR_NULL;
        const int       may_null = fields[i].kind == TEXT_OR_NULL || fields[i].kind == INT_OR_NULL;
        dotted(fields[i].path, path);
        if (!n)
            ASD_TRY(asd_find_error(f, "%s: %s is missing%s", name, path,
                                   may_null ? "; write !!null if it does not apply" : ""));
        else if (!text)
            ASD_TRY(asd_find_error(f, "%s: %s is a list, a map or an alias, want %s", name, path,
                                   number ? "an integer" : "text (words with commas between)"));
        else if (!*text && !may_null)
            ASD_TRY(asd_find_error(f, "%s: %s is empty, want %s", name, path,
                                   number ? "an integer" : "text"));
        else if (*text && number && !is_integer(text))
            ASD_TRY(asd_find_error(f, "%s: %s is \"%.60s\", want an integer without separators",
                                   name, path, text));
    }
    const char *abbreviation = scalar(child(root, "submission/abbreviation"));
    if (abbreviation && strlen(abbreviation) > 10)
        ASD_TRY(asd_find_warning(f,
                                 "%s: submission.abbreviation \"%.60s\" has more than 10 "
                                 "characters",
                                 name, abbreviation));
    return ASD_OK;
}

static asd_status check_label(const char *name, struct fy_node *root, const char *folder,
                              asd_findings *f)
{
    const char *label = scalar(child(root, "submission/label"));
    if (!label || !*label)
        return ASD_OK; /* already found */
    if (!asd_label_valid(label))
        ASD_TRY(asd_find_error(f,
                               "%s: submission.label is \"%.100s\", want "
                               "<LastName>_<Institute>_task2_<1..4>",
                               name, label));
    if (strcmp(label, folder))
        ASD_TRY(asd_find_error(f, "%s: submission.label is \"%.100s\", its folder \"%.100s\"", name,
                               label, folder));
    return ASD_OK;
}

static asd_status check_authors(const char *name, struct fy_node *root, asd_findings *f)
{
    static const char *const wanted[] = {"firstname", "lastname", "email",
                                         "affiliation/institution", "affiliation/location"};
    struct fy_node          *authors  = child(root, "submission/authors");
    if (!authors || !fy_node_is_sequence(authors) || !fy_node_sequence_item_count(authors))
        return asd_find_error(f, "%s: submission.authors: no authors", name);
    const char *label         = scalar(child(root, "submission/label"));
    int         corresponding = 0;
    for (int i = 0; i < fy_node_sequence_item_count(authors); ++i) {
        struct fy_node *author = fy_node_sequence_get_by_index(authors, i);
        char            path[128];
        for (size_t k = 0; k < sizeof wanted / sizeof *wanted; ++k) {
            const char *text = scalar(child(author, wanted[k]));
            if (!text || !*text)
                ASD_TRY(asd_find_error(f, "%s: submission.authors[%d].%s is missing", name, i,
                                       dotted(wanted[k], path)));
        }
        const char *is = scalar(child(author, "corresponding"));
        if (!is || strcmp(is, "true"))
            continue;
        const char *last = scalar(child(author, "lastname"));
        if (!corresponding++ && label && last && strncmp(label, last, strcspn(label, "_")))
            ASD_TRY(asd_find_warning(f,
                                     "%s: the label begins with \"%.*s\", the corresponding "
                                     "author is %.60s",
                                     name, (int)strcspn(label, "_"), label, last));
    }
    if (corresponding != 1)
        ASD_TRY(asd_find_error(f, "%s: %d authors with `corresponding: true`, want one", name,
                               corresponding));
    return ASD_OK;
}

static asd_status check_datasets(const char *name, struct fy_node *root, asd_findings *f)
{
    struct fy_node *sets = child(root, "system/external_datasets");
    if (!sets)
        return asd_find_error(f,
                              "%s: system.external_datasets is missing; write !!null if there "
                              "are none",
                              name);
    const char *none = scalar(sets);
    if (none && !*none)
        return ASD_OK;
    if (!fy_node_is_sequence(sets))
        return asd_find_error(f, "%s: system.external_datasets is no list of name and url", name);
    for (int i = 0; i < fy_node_sequence_item_count(sets); ++i) {
        struct fy_node *set = fy_node_sequence_get_by_index(sets, i);
        for (int k = 0; k < 2; ++k) {
            const char *text = scalar(child(set, k ? "url" : "name"));
            if (!text || !*text)
                ASD_TRY(asd_find_error(f, "%s: system.external_datasets[%d].%s is missing", name, i,
                                       k ? "url" : "name"));
        }
    }
    return ASD_OK;
}

static asd_status check_results(const char *name, struct fy_node *root, char *const *machine,
                                int64_t n, asd_findings *f)
{
    double most = 0;
    int    seen = 0;
    for (int64_t i = 0; i < n; ++i)
        for (int c = 0; c < ASD_NCELLS; ++c) {
            char path[320], *end;
            snprintf(path, sizeof path, "results/development_dataset/%s/%s", machine[i],
                     asd_cell_names[c]);
            const char *text = scalar(child(root, path));
            if (!text || !*text) {
                ASD_TRY(asd_find_error(f, "%s: results.development_dataset.%s.%s is missing", name,
                                       machine[i], asd_cell_names[c]));
                continue;
            }
            double v = strtod(text, &end);
            if (*end || !(v >= 0 && v <= 100))
                ASD_TRY(asd_find_error(f,
                                       "%s: results.development_dataset.%s.%s is \"%.40s\", want "
                                       "0 to 100 percent",
                                       name, machine[i], asd_cell_names[c], text));
            else
                most = fmax(most, v), ++seen;
        }
    if (seen && most <= 1)
        ASD_TRY(asd_find_error(f, "%s: results.development_dataset: no value above 1; want percent",
                               name));
    return ASD_OK;
}

asd_status asd_meta_check(const char *name, const char *text, size_t size, const char *label,
                          char *const *dev_machine, int64_t n_dev, asd_findings *f)
{
    char                why[256];
    struct fy_document *d = parse(text, size, why);
    if (!d)
        return asd_find_error(f, "%s: %s", name, why);
    struct fy_node *root = fy_document_root(d);
    asd_status      st   = check_fields(name, root, f);
    if (!st)
        st = check_label(name, root, label, f);
    if (!st)
        st = check_authors(name, root, f);
    if (!st)
        st = check_datasets(name, root, f);
    if (!st)
        st = check_results(name, root, dev_machine, n_dev, f);
    fy_document_destroy(d);
    return st;
}

/* --- the form -----------------------------------------------------------------------------------
 */

static void put_field(int i, FILE *out)
{
    const char *key   = strrchr(fields[i].path, '/') + 1;
    int         depth = 0;
    for (const char *p = fields[i].path; *p; ++p)
        depth += *p == '/';
    int n = fprintf(out, "%*s%s: %s", 2 * depth, "", key,
                    fields[i].example ? fields[i].example : "!!null");
    if (*fields[i].comment)
        fprintf(out, "%*s# %s", n < 56 ? 56 - n : 1, "", fields[i].comment);
    fputc('\n', out);
}

static void put_fields(const char *prefix, FILE *out)
{
    for (int i = 0; i < N_FIELDS; ++i)
        if (!strncmp(fields[i].path, prefix, strlen(prefix)))
            put_field(i, out);
}

void asd_meta_template(const asd_omega *omega, char *const *dev_machine, int64_t n_dev, FILE *out)
{
    fputs("# Fill in every field; !!null means that it does not apply.\nsubmission:\n", out);
    put_fields("submission/", out);
    fputs("  authors:\n"
          "    - firstname: First\n"
          "      lastname: Name\n"
          "      email: first.name@example.org\n"
          "      corresponding: true                             # exactly one author\n"
          "      affiliation:\n"
          "        institution: Institute\n"
          "        department: Department                        # may be left out\n"
          "        location: City, Country\n"
          "system:\n"
          "  description:\n",
          out);
    put_fields("system/description/", out);
    fputs("  complexity:\n", out);
    put_fields("system/complexity/", out);
    fputs("  external_datasets: !!null                           # or a list of name and url\n",
          out);
    put_fields("system/source_code", out);
    fputs("results:\n  development_dataset:                                # percent\n", out);
    for (int64_t i = 0; i < n_dev; ++i) {
        const asd_omega_row *row = NULL;
        for (int64_t k = 0; omega && k < omega->n; ++k)
            if (!strcmp(omega->row[k].machine, dev_machine[i]) && omega->row[k].section == 0)
                row = omega->row + k;
        fprintf(out, "    %s:\n", dev_machine[i]);
        for (int c = 0; c < ASD_NCELLS; ++c)
            if (row)
                fprintf(out, "      %s: %.2f\n", asd_cell_names[c], 100 * row->cell[c]);
            else
                fprintf(out, "      %s: !!null\n", asd_cell_names[c]);
    }
}
