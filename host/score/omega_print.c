/* omega_print.c - Omega and comparisons as JSON for machines and as tables for people (omega.h).
 *
 * Machines get fractions with all digits; people get percent with two decimals and the interval.
 * Tables are laid out for 100 columns: a name column of 19 and three cells of 25 (27 for the widest
 * difference).
 */
#include "score/omega.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

enum { NAME_WIDTH = 19, CELL_WIDTH = 23 };

/* --- JSON ---------------------------------------------------------------------------------------
 */

static json_t *real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *interval(asd_interval i)
{
    return isfinite(i.lo) ? json_pack("[o, o]", real(i.lo), real(i.hi)) : json_null();
}

static json_t *row_json(const asd_omega_row *r)
{
    json_t *ci = json_object(), *gain = json_object(), *row = json_object();
    char    section[16];
    snprintf(section, sizeof section, "%02d", r->section);
    json_object_set_new(row, "machine", json_string(r->machine));
    json_object_set_new(row, "section", json_string(section));
    json_object_set_new(row, "auc_all", real(r->auc_all));
    for (int c = 0; c < ASD_NCELLS; ++c) {
        json_object_set_new(row, asd_cell_names[c], real(r->cell[c]));
        json_object_set_new(ci, asd_cell_names[c], interval(r->ci[c]));
        json_object_set_new(gain, asd_cell_names[c], real(r->gain[c]));
    }
    json_object_set_new(row, "ci", ci);
    json_object_set_new(row, "omega_gain_per_point", gain);
    json_object_set_new(row, "precision_source", real(r->precision[0]));
    json_object_set_new(row, "precision_target", real(r->precision[1]));
    json_object_set_new(row, "recall_source", real(r->recall[0]));
    json_object_set_new(row, "recall_target", real(r->recall[1]));
    json_object_set_new(row, "f1_source", real(r->f1[0]));
    json_object_set_new(row, "f1_target", real(r->f1[1]));
    json_object_set_new(
        row, "n",
        json_pack("{s:I, s:I, s:I, s:I}", "source_normal", (json_int_t)r->count[0][0],
                  "source_anomaly", (json_int_t)r->count[0][1], "target_normal",
                  (json_int_t)r->count[1][0], "target_anomaly", (json_int_t)r->count[1][1]));
    return row;
}

static void fill_omega(const asd_omega *o, json_t *root)
{
    json_t *harmonic = json_object(), *machines = json_array();
    for (int c = 0; c < ASD_NCELLS; ++c)
        json_object_set_new(harmonic, asd_cell_names[c], real(o->harmonic[c]));
    for (int64_t i = 0; i < o->n; ++i)
        json_array_append_new(machines, row_json(o->row + i));
    json_object_set_new(root, "schema", json_string("asd.omega/1"));
    json_object_set_new(root, "auc", json_string(asd_auc_names[o->options.auc]));
    json_object_set_new(root, "cells", json_string(asd_cells_names[o->options.cells]));
    json_object_set_new(root, "n_values", json_integer(o->n_values));
    json_object_set_new(root, "omega", real(o->omega));
    json_object_set_new(root, "omega_ci", interval(o->omega_ci));
    json_object_set_new(root, "level", real(o->options.level));
    json_object_set_new(root, "replicates", json_integer(o->options.replicates));
    json_object_set_new(root, "seed", json_integer((json_int_t)o->options.seed));
    json_object_set_new(root, "arithmetic_mean", real(o->arithmetic_mean));
    json_object_set_new(root, "harmonic", harmonic);
    json_object_set_new(root, "machines", machines);
}

/* Takes the reference to root. */
static asd_status dump(json_t *root, FILE *out)
{
    int bad = !root || json_dumpf(root, out, JSON_REAL_PRECISION(17)) || fputc('\n', out) == EOF;
    json_decref(root);
    return bad ? ASD_FAIL(ASD_E_IO, "cannot write JSON (a machine's name that is not UTF-8?)")
               : ASD_OK;
}

asd_status asd_omega_print_json(const asd_omega *o, FILE *out)
{
    json_t *root = json_object();
    fill_omega(o, root);
    return dump(root, out);
}

asd_status asd_omega_list_print_json(const asd_omega *o, char *const *name, int64_t n, FILE *out)
{
    json_t *systems = json_array();
    for (int64_t i = 0; i < n; ++i) {
        json_t *system = json_object();
        json_object_set_new(system, "name", json_string(name[i]));
        fill_omega(o + i, system);
        json_array_append_new(systems, system);
    }
    return dump(json_pack("{s:s, s:o}", "schema", "asd.omega-list/1", "systems", systems), out);
}

asd_status asd_compare_print_json(const asd_compare *c, FILE *out)
{
    json_t *root = json_object();
    json_object_set_new(root, "schema", json_string("asd.compare/1"));
    json_object_set_new(root, "omega_a", real(c->omega_a));
    json_object_set_new(root, "omega_b", real(c->omega_b));
    json_object_set_new(root, "delta", real(c->delta));
    json_object_set_new(root, "delta_ci", interval(c->delta_ci));
    json_object_set_new(root, "p_delta_gt_0", real(c->p_delta_gt_0));
    json_object_set_new(root, "replicates", json_integer(c->options.replicates));
    json_object_set_new(root, "level", real(c->options.level));
    json_object_set_new(root, "seed", json_integer((json_int_t)c->options.seed));
    json_object_set_new(root, "auc", json_string(asd_auc_names[c->options.auc]));
    json_object_set_new(root, "cells", json_string(asd_cells_names[c->options.cells]));
    return dump(root, out);
}

/* --- tables -------------------------------------------------------------------------------------
 */

static int bytes_within(const char *text, int columns)
{
    int bytes = 0;
    for (; text[bytes] && columns > 0; --columns)
        for (++bytes; (text[bytes] & 0xC0) == 0x80;) /* the rest of a UTF-8 character */
            ++bytes;
    return bytes;
}

static int columns_of(const char *text)
{
    int n = 0;
    for (; *text; ++text)
        n += (*text & 0xC0) != 0x80;
    return n;
}

/* Left-aligned in `width` columns, cut with "~" when longer. */
static void put_name(const char *name, int width, FILE *out)
{
    int n = columns_of(name);
    if (n > width)
        fprintf(out, "%.*s~", bytes_within(name, width - 1), name);
    else
        fprintf(out, "%s%*s", name, width - n, "");
}

/* "54.24 [48.10, 60.33]*", filled up to a column unless it is the last one. */
static void put_value(double v, asd_interval ci, int sign, const char *mark, int last, FILE *out)
{
    char text[96];
    int  n = snprintf(text, sizeof text, sign ? "%+6.2f" : "%6.2f", 100 * v);
    if (isfinite(ci.lo))
        snprintf(text + n, sizeof text - (size_t)n, sign ? " [%+.2f, %+.2f]" : " [%.2f, %.2f]",
                 100 * ci.lo, 100 * ci.hi);
    int fill = CELL_WIDTH + 1 - (int)strlen(text) - (int)strlen(mark);
    fprintf(out, " %s%s%*s", text, mark, last || fill < 0 ? 0 : fill, "");
}

/* Several sections a machine: the section is part of the row's name. */
static int one_section(const asd_omega *o)
{
    for (int64_t i = 0; i < o->n; ++i)
        if (o->row[i].section != o->row[0].section)
            return 0;
    return 1;
}

static void put_row_name(const asd_omega *o, int64_t i, FILE *out)
{
    if (one_section(o)) {
        put_name(o->row[i].machine, NAME_WIDTH, out);
        return;
    }
    put_name(o->row[i].machine, NAME_WIDTH - 3, out);
    fprintf(out, " %02d", o->row[i].section);
}

static const char *const CELL_TITLES[] = {"AUC source", "AUC target", "pAUC"};

static void put_cell_titles(const char *first, const char *before, FILE *out)
{
    fprintf(out, "%-*s", NAME_WIDTH, first);
    for (int c = 0; c < ASD_NCELLS; ++c)
        fprintf(out, " %s%-*s", before,
                c + 1 < ASD_NCELLS ? CELL_WIDTH + 1 - (int)strlen(before) : 0, CELL_TITLES[c]);
    fputc('\n', out);
}

static void put_method(const asd_omega_options *o, int64_t n_values, FILE *out)
{
    fprintf(out, "%% of %" PRId64 " values, AUC %s, %s", n_values, asd_auc_names[o->auc],
            o->cells == ASD_CELLS_14 ? "two a machine (mean AUC, pAUC)" : "three a machine");
    if (o->replicates)
        fprintf(out, ", [%g %% interval of %" PRId64 " replicates]", 100 * o->level, o->replicates);
    fputc('\n', out);
}

static void put_omega_line(const char *what, double omega, asd_interval ci, int sign, FILE *out)
{
    fprintf(out, sign ? "%s %+.2f" : "%s %.2f", what, 100 * omega);
    if (isfinite(ci.lo))
        fprintf(out, sign ? " [%+.2f, %+.2f]" : " [%.2f, %.2f]", 100 * ci.lo, 100 * ci.hi);
}

static void put_decisions(const asd_omega *o, FILE *out)
{
    int any = 0;
    for (int64_t i = 0; i < o->n; ++i)
        any |= o->row[i].has_decisions;
    if (!any)
        return;
    fprintf(out, "\n%-*s %-18s%-18s%s\n", NAME_WIDTH, "decisions", "precision", "recall", "F1");
    fprintf(out, "%-*s %-18s%-18s%s\n", NAME_WIDTH, "", "source  target", "source  target",
            "source  target");
    for (int64_t i = 0; i < o->n; ++i) {
        const asd_omega_row *r = o->row + i;
        put_row_name(o, i, out);
        if (r->has_decisions)
            fprintf(out, " %6.2f  %6.2f    %6.2f  %6.2f    %6.2f  %6.2f\n", 100 * r->precision[0],
                    100 * r->precision[1], 100 * r->recall[0], 100 * r->recall[1], 100 * r->f1[0],
                    100 * r->f1[1]);
        else
            fprintf(out, " none\n");
    }
}

void asd_omega_print_table(const asd_omega *o, FILE *out)
{
    const asd_interval none = {NAN, NAN};
    put_cell_titles(one_section(o) ? "machine" : "machine, section", " ", out);
    for (int64_t i = 0; i < o->n; ++i) {
        put_row_name(o, i, out);
        for (int c = 0; c < ASD_NCELLS; ++c)
            put_value(o->row[i].cell[c], o->row[i].ci[c], 0,
                      i == o->worst_row && c == o->worst_cell ? "*" : "", c + 1 == ASD_NCELLS, out);
        fputc('\n', out);
    }
    fprintf(out, "%-*s", NAME_WIDTH, "harmonic mean");
    for (int c = 0; c < ASD_NCELLS; ++c)
        put_value(o->harmonic[c], none, 0, "", c + 1 == ASD_NCELLS, out);
    fputs("\n\n", out);
    put_omega_line("Omega", o->omega, o->omega_ci, 0, out);
    fprintf(out, "   arithmetic mean %.2f\n", 100 * o->arithmetic_mean);
    put_method(&o->options, o->n_values, out);
    const asd_omega_row *worst = o->row + o->worst_row;
    fprintf(out, "* costs most: one point more in %s of ", CELL_TITLES[o->worst_cell]);
    put_name(worst->machine, columns_of(worst->machine) < 40 ? columns_of(worst->machine) : 40,
             out);
    fprintf(out, " is %.2f points of Omega\n", 100 * worst->gain[o->worst_cell]);
    put_decisions(o, out);
}

void asd_omega_list_print_table(const asd_omega *o, char *const *name, int64_t n, FILE *out)
{
    int width = 6;
    for (int64_t i = 0; i < n; ++i)
        width = columns_of(name[i]) > width ? columns_of(name[i]) : width;
    width = width < 40 ? width : 40;
    fprintf(out, "%-*s  %-*s  %10s  %10s  %6s\n", width, "system", CELL_WIDTH, " Omega",
            CELL_TITLES[0], CELL_TITLES[1], CELL_TITLES[2]);
    for (int64_t i = 0; i < n; ++i) {
        put_name(name[i], width, out);
        put_value(o[i].omega, o[i].omega_ci, 0, "", 0, out);
        fprintf(out, "  %10.2f  %10.2f  %6.2f\n", 100 * o[i].harmonic[0], 100 * o[i].harmonic[1],
                100 * o[i].harmonic[2]);
    }
    fputc('\n', out);
    put_method(&o->options, o->n_values, out);
    fputs("AUC and pAUC are harmonic means over the machines\n", out);
}

void asd_compare_print_table(const asd_compare *c, const char *name_a, const char *name_b,
                             FILE *out)
{
    put_cell_titles(one_section(&c->a) ? "B - A" : "B - A, section", " ", out);
    for (int64_t i = 0; i < c->a.n; ++i) {
        put_row_name(&c->a, i, out);
        for (int k = 0; k < ASD_NCELLS; ++k)
            put_value(c->b.row[i].cell[k] - c->a.row[i].cell[k], c->cell_ci[i][k], 1, "",
                      k + 1 == ASD_NCELLS, out);
        fputc('\n', out);
    }
    fprintf(out, "\nOmega of A %.2f  ", 100 * c->omega_a);
    put_name(name_a, columns_of(name_a) < 70 ? columns_of(name_a) : 70, out);
    fprintf(out, "\nOmega of B %.2f  ", 100 * c->omega_b);
    put_name(name_b, columns_of(name_b) < 70 ? columns_of(name_b) : 70, out);
    fputc('\n', out);
    put_omega_line("B - A", c->delta, c->delta_ci, 1, out);
    if (isfinite(c->p_delta_gt_0))
        fprintf(out, "   better in %.2f %% of the replicates", 100 * c->p_delta_gt_0);
    fputc('\n', out);
    put_method(&c->options, c->a.n_values, out);
}
