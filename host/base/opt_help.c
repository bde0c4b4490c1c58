/* opt_help.c - --help, laid out from the table in at most 100 columns. */
#include "base/opt.h"
#include "base/utf8.h"

#include <ctype.h>
#include <string.h>

enum {
    COLUMNS     = 100,
    MAX_LEFT    = 34, /* wider option columns put their text on the next line */
    MAX_CHOICES = 22, /* longer choices are listed in the text, not as metavariable */
};

const char *asd_opt_metavariable(const asd_opt *opt, char *buf, size_t size)
{
    const char *unit = opt->unit ? opt->unit : "";
    if (opt->type == ASD_OPT_FLAG) {
        snprintf(buf, size, "%s", "");
    } else if (opt->type == ASD_OPT_BOOL) {
        snprintf(buf, size, "true|false");
    } else if (opt->type == ASD_OPT_CHOICE && strlen(opt->choices) <= MAX_CHOICES) {
        snprintf(buf, size, "%s", opt->choices);
    } else if (*unit) {
        snprintf(buf, size, "%s", unit);
        int has_capital = 0;
        for (const char *c = buf; *c; ++c)
            has_capital |= isupper((unsigned char)*c);
        for (char *c = buf; *c && !has_capital;
             ++c) /* "clips" -> CLIPS, but Hz and key=VALUE stay */
            *c = (char)toupper((unsigned char)*c);
    } else {
        snprintf(buf, size, "%s",
                 opt->type == ASD_OPT_INT      ? "N"
                 : opt->type == ASD_OPT_REAL   ? "X"
                 : opt->type == ASD_OPT_CHOICE ? "NAME"
                                               : "TEXT");
    }
    return buf;
}

/* Prints text from column `at`, continuing lines at `indent`. A line break in the text stays. */
static void print_wrapped(const char *text, int at, int indent, FILE *out)
{
    int column = at;
    for (;;) {
        size_t gap = strspn(text, " "), word = strcspn(text + gap, " \n");
        char   buf[COLUMNS * 4 + 1];
        snprintf(buf, sizeof buf, "%.*s", (int)(word < sizeof buf ? word : sizeof buf - 1),
                 text + gap);
        int width = (int)asd_utf8_length(buf);
        if (column > indent && column + (int)gap + width > COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else {
            fprintf(out, "%*s", (int)gap, "");
            column += (int)gap;
        }
        fwrite(text + gap, 1, word, out);
        column += width;
        text += gap + word;
        if (*text == '\n' && text[1]) {
            fprintf(out, "\n%*s", text[1] == '\n' ? 0 : indent, "");
            column = indent;
            ++text;
        } else if (!*text || *text == '\n') {
            fputc('\n', out);
            return;
        }
    }
}

/* "threads; 0 = all cores (0 to 1024; default 0)" */
static void describe(const asd_opt *opt, char *buf, size_t size)
{
    char   lo[32], hi[32], meta[64], note[512] = "";
    size_t n = 0;
#define NOTE(...)                                                                                  \
    do {                                                                                           \
        if (n < sizeof note)                                                                       \
            n += (size_t)snprintf(note + n, sizeof note - n, "%s", n ? "; " : "");                 \
        if (n < sizeof note)                                                                       \
            n += (size_t)snprintf(note + n, sizeof note - n, __VA_ARGS__);                         \
    } while (0)
    if (opt->type == ASD_OPT_INT || opt->type == ASD_OPT_REAL)
        NOTE("%s to %s", asd_opt_number(opt->min, lo, sizeof lo),
             asd_opt_number(opt->max, hi, sizeof hi));
    if (opt->type == ASD_OPT_CHOICE &&
        strcmp(asd_opt_metavariable(opt, meta, sizeof meta), opt->choices))
        NOTE("%s", opt->choices);
    if (opt->type == ASD_OPT_LIST)
        NOTE("may repeat");
    int has_default = opt->def && *opt->def && strcmp(opt->def, "[]");
    if (opt->type != ASD_OPT_FLAG && has_default)
        NOTE("default %s", opt->def);
    if (!opt->def && opt->type != ASD_OPT_FLAG && opt->type != ASD_OPT_TEXT &&
        opt->type != ASD_OPT_LIST)
        NOTE("required");
#undef NOTE
    if (n)
        snprintf(buf, size, "%s (%s)", opt->text, note);
    else
        snprintf(buf, size, "%s", opt->text);
}

static int left_column(const asd_opt *opt, char *buf, size_t size)
{
    char meta[64], letter[8] = "    ";
    if (opt->letter)
        snprintf(letter, sizeof letter, "-%c, ", opt->letter);
    asd_opt_metavariable(opt, meta, sizeof meta);
    snprintf(buf, size, "  %s--%s%s%s", letter, opt->key, *meta ? " " : "", meta);
    return (int)asd_utf8_length(buf);
}

static void print_option(const asd_opt *opt, int text_column, FILE *out)
{
    char left[160], text[1024];
    int  width = left_column(opt, left, sizeof left);
    describe(opt, text, sizeof text);
    fputs(left, out);
    if (width + 2 > text_column)
        fprintf(out, "\n%*s", text_column, "");
    else
        fprintf(out, "%*s", text_column - width, "");
    print_wrapped(text, text_column, text_column, out);
}

static void print_examples(const char *examples, FILE *out)
{
    fputs("\nExamples:\n", out);
    while (*examples) {
        int length = (int)strcspn(examples, "\n");
        fprintf(out, "%s%.*s\n", length ? "  " : "", length, examples);
        examples += length + (examples[length] == '\n');
    }
}

void asd_opts_help(const asd_command *command, FILE *out)
{
    static const asd_opt always[] = {
        {"help", 'h', ASD_OPT_FLAG, 0, "0", 0, 1, NULL, "", "show this help"},
        {"version", 'V', ASD_OPT_FLAG, 0, "0", 0, 1, NULL, "", "show the version"},
    };
    char left[160];
    int  widest = 0;
    for (const asd_opt *o = command->opts; o->key; ++o) {
        int width = left_column(o, left, sizeof left);
        if (width > widest && width <= MAX_LEFT - 2)
            widest = width;
    }
    for (int i = 0; i < 2; ++i) {
        int width = left_column(&always[i], left, sizeof left);
        widest    = width > widest ? width : widest;
    }
    fprintf(out, "Usage: %s [OPTION...]%s%s\n\n", command->name, *command->operands ? " " : "",
            command->operands);
    print_wrapped(command->about, 0, 0, out);
    fputs("\nOptions:\n", out);
    for (const asd_opt *o = command->opts; o->key; ++o)
        print_option(o, widest + 2, out);
    for (int i = 0; i < 2; ++i)
        print_option(&always[i], widest + 2, out);
    if (command->examples)
        print_examples(command->examples, out);
}
