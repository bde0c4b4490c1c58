/* report.c - see report.h: gathers everything, then writes the page from head to foot. */
#include "score/report.h"

#include "base/file.h"
#include "score/markup.h"
#include "score/report_page.h"
#include "score/report_sheets.h"
#include "score/report_theme.h"

#include <inttypes.h>
#include <string.h>

/* The browser itself then refuses scripts, network and anything else, whatever a name contains. */
static const char policy[] = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; "
                             "form-action 'none'";

static void title_text(FILE *out, const asd_report *r)
{
    if (r->options->title) {
        asd_markup_text(out, r->options->title);
        return;
    }
    fputs("Anomalous sound detection: ", out);
    for (int64_t i = 0; i < r->n_systems && i < 4; ++i) {
        fputs(i ? ", " : "", out);
        asd_markup_text(out, r->system[i].name);
    }
    if (r->n_systems > 4)
        fprintf(out, " and %" PRId64 " more", r->n_systems - 4);
}

static void put_head(FILE *out, const asd_report *r)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n", out);
    fprintf(out, "<meta http-equiv=\"Content-Security-Policy\" content=\"%s\"/>\n", policy);
    fputs("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
          "<meta name=\"color-scheme\" content=\"light dark\"/>\n<meta name=\"generator\" "
          "content=\"asd " ASD_VERSION "\"/>\n<title>",
          out);
    title_text(out, r);
    fputs("</title>\n<style>\n", out);
    asd_theme_css(out);
    fputs("</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">To the results</a>\n"
          "<header>\n<h1>",
          out);
    title_text(out, r);
    fputs("</h1>\n", out);
}

static void put_summary(FILE *out, const asd_report *r)
{
    const asd_omega_options *o     = &r->options->omega;
    int64_t                  clips = 0;
    for (int64_t k = 0; k < r->system[0].eval.n; ++k)
        clips += r->system[0].eval.set[k].n;
    fprintf(out,
            "<p class=\"muted\">%" PRId64 " system%s on %" PRId64 " %s%s, %" PRId64
            " test clips \xc2\xb7 %s AUC, %s cells a machine \xc2\xb7 ",
            r->n_systems, r->n_systems == 1 ? "" : "s", r->n_machines,
            r->many_sections ? "machine section" : "machine", r->n_machines == 1 ? "" : "s", clips,
            asd_auc_names[o->auc], o->cells == ASD_CELLS_21 ? "three" : "two");
    if (o->replicates)
        fprintf(out,
                "intervals at %g %% from %" PRId64 " stratified bootstrap replicates, seed "
                "%" PRIu64,
                100 * o->level, o->replicates, o->seed);
    else
        fputs("without intervals", out);
    fputs("</p>\n</header>\n<nav aria-label=\"Sections\"><ul>", out);
    fputs("<li><a href=\"#omega\">Omega</a></li>", out);
    if (r->n_pairs)
        fputs("<li><a href=\"#differences\">Differences</a></li>", out);
    fputs("<li><a href=\"#cells\">Cells</a></li><li><a href=\"#machines\">Machines</a></li>"
          "<li><a href=\"#values\">All values</a></li><li><a href=\"#training\">Training</a></li>"
          "<li><a href=\"#provenance\">Provenance</a></li></ul></nav>\n",
          out);
}

static asd_status put_page(FILE *out, const asd_report *r)
{
    put_head(out, r);
    put_summary(out, r);
    fputs("<main id=\"main\">\n", out);
    ASD_TRY(asd_page_omega(out, r));
    ASD_TRY(asd_page_pairs(out, r));
    asd_page_cells(out, r);
    ASD_TRY(asd_page_machines(out, r));
    asd_page_values(out, r);
    ASD_TRY(asd_page_training(out, r));
    asd_page_provenance(out, r);
    fputs("</main>\n<footer>Made by asd-eval report, asd " ASD_VERSION
          ". This file is complete: it loads nothing.</footer>\n</body>\n</html>\n",
          out);
    return ASD_OK;
}

asd_status asd_report_write(const asd_report_options *o, const char *path)
{
    asd_report  report;
    asd_outfile file   = {.stream = NULL};
    asd_sheets  sheets = {.n = 0};
    char        folder[PATH_MAX];
    asd_status  st = ASD_OK;
    ASD_GO(done, st, asd_report_gather(o, &report));
    if (o->figures)
        ASD_GO(done, st, asd_sheets_draw(&report, &sheets));
    ASD_GO(done, st, asd_path(folder, "%s", path));
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = 0;
        ASD_GO(done, st, asd_make_folders(folder));
    }
    ASD_GO(done, st, asd_outfile_open(&file, path));
    ASD_GO(done, st, put_page(file.stream, &report));
    ASD_GO(done, st, asd_outfile_commit(&file));
    if (o->figures)
        st = asd_sheets_write(&sheets, o->figures);
done:
    if (file.stream)
        asd_outfile_abandon(&file);
    asd_sheets_clear(&sheets);
    asd_report_clear(&report);
    return st;
}
