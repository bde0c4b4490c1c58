/* cfg_print.c - the resolved recipe as YAML, and the table of keys as Markdown. */
#include "base/cfg.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { ORIGIN_COLUMN = 44 };

/* "train" of "train.lr"; length 0 for keys without section. */
static int section_length(const char *key)
{
    const char *dot = strchr(key, '.');
    return dot ? (int)(dot - key) : 0;
}

static int same_section(const asd_opt *a, const asd_opt *b)
{
    int n = section_length(a->key);
    return n == section_length(b->key) && !memcmp(a->key, b->key, (size_t)n);
}

/* One line without its end, in memory, because the origin is put in a column. */
static char *line_of(const asd_opt *o, const asd_cfg *cfg)
{
    char  *text = NULL;
    size_t size = 0;
    FILE  *f    = open_memstream(&text, &size);
    if (!f)
        return NULL;
    int n = section_length(o->key);
    fprintf(f, "%s%s: ", n ? "  " : "", o->key + (n ? n + 1 : 0));
    asd_opt_print(o, cfg, f);
    if (fclose(f)) {
        free(text);
        return NULL;
    }
    return text;
}

/* A path may hold anything; in a comment a line break or a control character would end it. */
static void print_origin(const char *origin, FILE *out)
{
    uint32_t c;
    for (int n; *origin; origin += n) {
        n = asd_utf8_next(origin, &c);
        if (n == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029) {
            n = n ? n : 1;
            fputc('?', out);
        } else {
            fwrite(origin, 1, (size_t)n, out);
        }
    }
}

asd_status asd_recipe_print(const asd_recipe *r, int with_origin, FILE *out)
{
    for (const asd_opt *o = asd_cfg_opts; o->key; ++o) {
        if (section_length(o->key) && (o == asd_cfg_opts || !same_section(o, o - 1)))
            fprintf(out, "%.*s:\n", section_length(o->key), o->key);
        char *line = line_of(o, &r->cfg);
        if (!line)
            return ASD_FAIL(ASD_E_OOM, "%s: no memory to print it", r->path);
        fputs(line, out);
        if (with_origin) {
            int64_t width = asd_utf8_length(line);
            fprintf(out, "%*s # ", (int)(width < ORIGIN_COLUMN ? ORIGIN_COLUMN - width : 0), "");
            print_origin(r->origin[o - asd_cfg_opts], out);
        }
        fputc('\n', out);
        free(line);
    }
    return ferror(out) ? ASD_FAIL(ASD_E_IO, "%s: cannot print it", r->path) : ASD_OK;
}

/* --- docs --- */

static void print_escaped(const char *text, FILE *out)
{
    for (; *text; ++text)
        fprintf(out, *text == '|' ? "\\|" : "%c", *text);
}

static void print_choices(const char *choices, FILE *out)
{
    for (;;) {
        int n = (int)strcspn(choices, "|");
        fprintf(out, "`%.*s`", n, choices);
        if (!choices[n])
            return;
        fputs(", ", out);
        choices += n + 1;
    }
}

static void print_values(const asd_opt *o, FILE *out)
{
    static const char *const names[] = {[ASD_OPT_FLAG] = "flag", [ASD_OPT_BOOL] = "`true`, `false`",
                                        [ASD_OPT_INT] = "whole", [ASD_OPT_REAL] = "number",
                                        [ASD_OPT_TEXT] = "text", [ASD_OPT_LIST] = "list"};
    char                     lo[32], hi[32];
    if (o->type == ASD_OPT_CHOICE) {
        print_choices(o->choices, out);
        return;
    }
    fputs(names[o->type], out);
    asd_opt_number(o->min, lo, sizeof lo);
    asd_opt_number(o->max, hi, sizeof hi);
    if (o->type == ASD_OPT_INT || o->type == ASD_OPT_REAL)
        fprintf(out, ", %s to %s%s%s", lo, hi, *o->unit ? " " : "", o->unit);
    if (o->type == ASD_OPT_LIST)
        fprintf(out, " of %s to %s texts", lo, hi);
}

static const char docs_head[] =
    "# Recipes\n"
    "\n"
    "A recipe is a YAML file that says all of a system: data, front-end, network, training, "
    "detectors.\n"
    "It is pure data: plain values and lists, no code, no anchors, no tags.\n"
    "\n"
    "```yaml\n"
    "base: dcase-baseline        # start from this recipe; [a, b] merges several, left to right\n"
    "name: my-baseline           # must be given: the run folder is called after it\n"
    "train:\n"
    "  epochs: 20                # the same as a line `train.epochs: 20`\n"
    "smoke:                      # what changes with --smoke: a run of seconds\n"
    "  train:\n"
    "    epochs: 1\n"
    "```\n"
    "\n"
    "Values come from, the later ones winning: the defaults below, the parents named by `base`, "
    "the file itself,\n"
    "its parents' and its own `smoke` keys with `--smoke`, and `--set key=value`. A list replaces "
    "a list;\n"
    "`score.detectors+: [x]` adds to the one that came before.\n"
    "`--print-config` shows every value with the place it came from.\n"
    "\n"
    "* `base` is a file beside the recipe that names it, or the name of a recipe that stands "
    "beside it, in\n"
    "  `./recipes`, in `$ASD_RECIPES` or in the installed recipes. The same names work on command "
    "lines.\n"
    "* `--set` takes YAML: `--set 'score.detectors=[mse, selective_mahalanobis]'`. A text with a "
    "comma in a list\n"
    "  needs quotes.\n"
    "* A number or `true` in quotes is a text, and an error where a number is wanted. `null` (or "
    "nothing) makes a\n"
    "  text absent.\n"
    "* Unknown keys, doubled keys, wrong types and values out of range are errors with "
    "`file:line:column`.\n"
    "\n"
    "This file is made by `asd-info --recipe-docs`; the table behind it is `host/base/cfg.def`.\n";

void asd_cfg_docs(FILE *out)
{
    fputs(docs_head, out);
    for (const asd_opt *o = asd_cfg_opts; o->key; ++o) {
        if (o == asd_cfg_opts || !same_section(o, o - 1)) {
            int n = section_length(o->key);
            fprintf(out, "\n## %.*s\n\n| key | default | values | meaning |\n|---|---|---|---|\n",
                    n ? n : 8, n ? o->key : "identity");
        }
        fprintf(out, "| `%s` | ", o->key);
        if (o->def)
            fprintf(out, "`%s`", o->def);
        fputs(" | ", out);
        print_values(o, out);
        fputs(" | ", out);
        print_escaped(o->text, out);
        fputs(" |\n", out);
    }
}
