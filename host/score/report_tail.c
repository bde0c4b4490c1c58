/* report_tail.c - the sections behind the results: all values, training, provenance. */
#include "score/canvas_svg.h"
#include "score/markup.h"
#include "score/report_figures.h"
#include "score/report_page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- all values --- */

static void value_row(FILE *out, const asd_report *r, const asd_omega_row *row)
{
    fputs("<tr><th scope=\"row\">", out);
    asd_page_machine(out, r, row->machine, row->section);
    fputs("</th><td>", out);
    asd_page_percent(out, row->auc_all);
    for (int c = 0; c < ASD_NCELLS; ++c) {
        fputs("</td><td>", out);
        asd_page_percent(out, row->cell[c]);
    }
    const double *decisions[3] = {row->precision, row->recall, row->f1};
    for (int k = 0; k < 3; ++k)
        for (int d = 0; d < 2; ++d) {
            fputs("</td><td>", out);
            asd_page_percent(out, row->has_decisions ? decisions[k][d] : NAN);
        }
    fprintf(out, "</td><td>%" PRId64 "</td></tr>\n",
            row->count[0][0] + row->count[0][1] + row->count[1][0] + row->count[1][1]);
}

void asd_page_values(FILE *out, const asd_report *r)
{
    asd_page_open_section(out, "values", "All values");
    fputs("<p class=\"muted small\">In percent. Precision, recall and F1 come from the submitted "
          "decisions, on each domain's clips alone.</p>\n",
          out);
    for (int64_t i = 0; i < r->n_systems; ++i) {
        fputs("<details><summary>", out);
        asd_page_key(out, (int)i);
        asd_markup_text(out, r->system[i].name);
        fputs(
            "</summary>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Values "
            "of ",
            out);
        asd_markup_text(out, r->system[i].name);
        fputs(
            "\"><table class=\"lines\"><thead><tr><th scope=\"col\" class=\"left\" rowspan=\"2\">"
            "machine</th><th scope=\"colgroup\" colspan=\"3\">AUC</th><th scope=\"col\" "
            "rowspan=\"2\">pAUC</th><th scope=\"colgroup\" colspan=\"2\">precision</th><th "
            "scope=\"colgroup\" colspan=\"2\">recall</th><th scope=\"colgroup\" colspan=\"2\">F1"
            "</th><th scope=\"col\" rowspan=\"2\">clips</th></tr>\n<tr><th scope=\"col\">all</th>",
            out);
        for (int k = 0; k < 4; ++k)
            fputs("<th scope=\"col\">source</th><th scope=\"col\">target</th>", out);
        fputs("</tr></thead>\n<tbody>\n", out);
        for (int64_t k = 0; k < r->system[i].omega.n; ++k)
            value_row(out, r, &r->system[i].omega.row[k]);
        fputs("</tbody></table></div></details>\n", out);
    }
    fputs("</section>\n", out);
}

/* --- training --- */

static asd_status curve_figure(FILE *out, const asd_report *r, const asd_report_curve *curve,
                               int is_alone)
{
    char                 label[512];
    asd_svg              svg;
    double               last = NAN, last_val = NAN;
    const asd_fig_series loss = {curve->step, curve->loss, curve->n};
    const asd_fig_series val  = {curve->step, curve->val_loss, curve->n};
    for (int64_t i = 0; i < curve->n; ++i) {
        if (isfinite(curve->loss[i]))
            last = curve->loss[i];
        if (isfinite(curve->val_loss[i]))
            last_val = curve->val_loss[i];
    }
    int has_val = isfinite(last_val);
    snprintf(label, sizeof label, "Training loss%s%s over steps %.0f to %.0f, last %.4g",
             *curve->machine ? " of " : "", curve->machine, curve->n ? curve->step[0] : 0,
             curve->n ? curve->step[curve->n - 1] : 0, last);
    fputs("<figure><h4>", out);
    asd_markup_text(out, *curve->machine ? curve->machine : "loss");
    fputs("</h4>", out);
    ASD_TRY(asd_fig_loss(asd_svg_on(&svg, out, r->font), &loss, has_val ? &val : NULL,
                         is_alone ? 260 : 200, label));
    fprintf(out, "<figcaption>%" PRId64 " steps", curve->n);
    if (isfinite(last))
        fprintf(out, "; last loss %.4g", last);
    if (has_val)
        fprintf(out, ", validation %.4g (dashed)", last_val);
    fputs("</figcaption></figure>\n", out);
    return ASD_OK;
}

static void run_title(FILE *out, const asd_report *r, const asd_report_run *run)
{
    if (r->n_runs < 2)
        return;
    fputs("<h3>", out);
    asd_markup_text(out, run->path);
    fputs("</h3>\n", out);
}

asd_status asd_page_training(FILE *out, const asd_report *r)
{
    asd_page_open_section(out, "training", "Training");
    for (int64_t i = 0; i < r->n_runs; ++i) {
        const asd_report_run *run      = &r->run[i];
        int                   is_alone = run->n_curves == 1;
        run_title(out, r, run);
        if (!run->n_lines) {
            fputs("<p class=\"muted\">No log/metrics.jsonl here, so no loss curve.</p>\n", out);
            continue;
        }
        fprintf(out,
                "<p class=\"muted small\">From log/metrics.jsonl, %" PRId64 " lines%s. A long "
                "run is drawn as means over short stretches, with the range in each as a band."
                "</p>\n<div class=\"curves%s\">\n",
                run->n_lines, run->is_torn ? "; the last line was cut off and is left out" : "",
                is_alone ? " wide" : "");
        for (int64_t k = 0; k < run->n_curves; ++k)
            ASD_TRY(curve_figure(out, r, &run->curve[k], is_alone));
        fputs("</div>\n", out);
    }
    fputs("</section>\n", out);
    return ASD_OK;
}

/* --- provenance --- */

enum { MAX_FACTS = 500, MAX_DEPTH = 16, MAX_KEY = 512, MAX_ITEMS = 100, MAX_VALUE = 4000 };

typedef struct facts {
    FILE   *out;
    int64_t shown, left_out;
    char    key[MAX_KEY];
} facts;

/* The shortest digits that read back equal, so that 0.1 is not shown as 0.10000000000000001. */
static void put_number(FILE *out, const json_t *v)
{
    char buf[40];
    if (json_is_integer(v)) {
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return;
    }
    for (int digits = 6; digits <= 17; ++digits) {
        snprintf(buf, sizeof buf, "%.*g", digits, json_real_value(v));
        if (strtod(buf, NULL) == json_real_value(v))
            break;
    }
    fputs(buf, out);
}

/* No arrays or objects inside. */
static int is_flat(json_t *array)
{
    size_t  i;
    json_t *item;
    json_array_foreach(array, i, item) if (json_is_object(item) || json_is_array(item)) return 0;
    return 1;
}

static void put_value(FILE *out, json_t *v)
{
    size_t  i;
    json_t *item;
    char   *text;
    switch (json_typeof(v)) {
    case JSON_STRING: asd_markup_text(out, json_string_value(v)); return;
    case JSON_INTEGER:
    case JSON_REAL: put_number(out, v); return;
    case JSON_TRUE: fputs("true", out); return;
    case JSON_FALSE: fputs("false", out); return;
    case JSON_NULL: fputs("null", out); return;
    case JSON_ARRAY:
        if (json_array_size(v) <= MAX_ITEMS && is_flat(v)) {
            fputc('[', out);
            json_array_foreach(v, i, item)
            {
                fputs(i ? ", " : "", out);
                put_value(out, item);
            }
            fputc(']', out);
            return;
        }
        break;
    case JSON_OBJECT: break;
    }
    /* Long or deep: as it stands in the file, cut where it gets longer than a screen. */
    text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
    if (text && strlen(text) > MAX_VALUE)
        strcpy(text + MAX_VALUE - 3, "...");
    asd_markup_text(out, text ? text : "(too deep to show)");
    free(text);
}

/* Objects become dotted keys; an array stands on one line unless it holds objects or arrays. */
static int is_leaf(json_t *v, int depth)
{
    if (depth >= MAX_DEPTH)
        return 1;
    if (json_is_object(v))
        return json_object_size(v) == 0;
    return !json_is_array(v) || is_flat(v);
}

static void put_fact(facts *f, json_t *v, int depth)
{
    size_t length = strlen(f->key), i;
    if (is_leaf(v, depth)) {
        if (f->shown >= MAX_FACTS) {
            ++f->left_out;
            return;
        }
        ++f->shown;
        fputs("<tr><th scope=\"row\">", f->out);
        asd_markup_text(f->out, f->key);
        fputs("</th><td class=\"left\">", f->out);
        put_value(f->out, v);
        fputs("</td></tr>\n", f->out);
        return;
    }
    const char *name;
    json_t     *item;
    if (json_is_object(v)) {
        json_object_foreach(v, name, item)
        {
            snprintf(f->key + length, sizeof f->key - length, "%s%s", length ? "." : "", name);
            put_fact(f, item, depth + 1);
        }
    } else {
        json_array_foreach(v, i, item)
        {
            snprintf(f->key + length, sizeof f->key - length, "[%zu]", i);
            put_fact(f, item, depth + 1);
        }
    }
    f->key[length] = 0;
}

static void put_facts(FILE *out, json_t *all)
{
    facts f = {.out = out};
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"run.json\"><table "
          "class=\"lines facts\"><caption>run.json</caption>\n<tbody>\n",
          out);
    put_fact(&f, all, 0);
    fputs("</tbody></table></div>\n", out);
    if (f.left_out)
        fprintf(out, "<p class=\"muted small\">%" PRId64 " more values are in the file.</p>\n",
                f.left_out);
}

static void fact_row(FILE *out, const char *key, const char *value)
{
    fprintf(out, "<tr><th scope=\"row\">%s</th><td class=\"left\">", key);
    asd_markup_text(out, value);
    fputs("</td></tr>\n", out);
}

void asd_page_provenance(FILE *out, const asd_report *r)
{
    const asd_omega_options *o = &r->options->omega;
    asd_page_open_section(out, "provenance", "Provenance");
    fputs("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"This "
          "evaluation\"><table "
          "class=\"lines facts\"><caption>This evaluation</caption>\n<tbody>\n",
          out);
    for (int64_t i = 0; i < r->n_systems; ++i) {
        fputs("<tr><th scope=\"row\">scores of ", out);
        asd_markup_text(out, r->system[i].name);
        fputs("</th><td class=\"left\">", out);
        asd_markup_text(out, r->system[i].folder);
        fputs("</td></tr>\n", out);
    }
    fact_row(out, "labels and domains", r->options->truth ? r->options->truth : "from file names");
    fact_row(out, "AUC of a domain", asd_auc_names[o->auc]);
    fact_row(out, "cells", asd_cells_names[o->cells]);
    fprintf(out,
            "<tr><th scope=\"row\">bootstrap</th><td class=\"left\">%" PRId64 " replicates, level "
            "%g, seed %" PRIu64 ", stratified by machine, domain and condition</td></tr>\n",
            o->replicates, o->level, o->seed);
    fact_row(out, "program", "asd " ASD_VERSION);
    fputs("</tbody></table></div>\n", out);
    for (int64_t i = 0; i < r->n_runs; ++i) {
        run_title(out, r, &r->run[i]);
        if (r->run[i].facts)
            put_facts(out, r->run[i].facts);
        else
            fputs("<p class=\"muted\">No run.json here, so no configuration.</p>\n", out);
    }
    fputs("</section>\n", out);
}
