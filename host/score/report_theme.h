/* report_theme.h - how the report looks: colours in light and dark, inks, and the style sheet.
 *
 * Every colour is a CSS custom property with two values. Figures and tables of the page name
 * classes only, so one copy of each serves both themes and print. Figures for papers take the same
 * inks as numbers, in light colours.
 */
#ifndef ASD_SCORE_REPORT_THEME_H
#define ASD_SCORE_REPORT_THEME_H

#include "score/canvas.h"

#include <stdint.h>
#include <stdio.h>

#define ASD_THEME_SYSTEMS 16 /* system i is drawn in class s<i mod 16>: a colour and a dash */
#define ASD_THEME_HEAT 20 /* classes h0 .. h19: five points each, orange below 50 %, blue above */

typedef struct asd_theme_colour {
    const char *name; /* CSS custom property without "--" */
    uint32_t    light, dark;
} asd_theme_colour;

extern const asd_theme_colour asd_theme_colours[]; /* ends with name NULL */
/* Background of heat class `step` (0 .. 19), 0xRRGGBB. */
uint32_t asd_theme_heat(int step, int dark);
/* The class index of a cell value (0 .. 1; clamped). */
int asd_theme_heat_step(double value);
/* WCAG 2 contrast of two 0xRRGGBB colours, 1 .. 21. */
double asd_theme_contrast(uint32_t a, uint32_t b);

/* Colour and dash ("7 3", "" for none) of a system; both repeat beyond ASD_THEME_SYSTEMS. */
#define ASD_COLOUR_OF_SYSTEM "s"
const char *asd_theme_dash(int system);
/* The light colour of that name; ASD_COLOUR_OF_SYSTEM: of system `index`. */
uint32_t asd_theme_light(const char *name, int index);

/* How an ink looks, for both kinds of canvas. */
typedef struct asd_ink_style {
    const char *css_class;    /* "" for AXIS: what has no class */
    const char *stroke;       /* colour, NULL for none */
    double      width;        /* of the stroke, pixels */
    const char *dash;         /* "" for none */
    const char *fill;         /* colour, NULL for none; HEAT has a scale of its own */
    double      fill_opacity; /* 0 .. 1 */
    int         has_system_dash;
    int         is_round; /* corners of the stroke */
} asd_ink_style;

extern const asd_ink_style asd_ink_styles[ASD_NINKS];

typedef struct asd_frame_style {
    const char *css_class;
    int         is_fluid;
    double      text_px;
    double      narrow_px; /* in a narrow window, where panels are shown smaller; 0: the same */
} asd_frame_style;

extern const asd_frame_style asd_frame_styles[ASD_NFRAMES];

/* The whole style sheet, without <style>. */
void asd_theme_css(FILE *out);

#endif
