/* report_theme.h - the colours of the report in light and dark, and its style sheet.
 *
 * Every colour is a CSS custom property with two values. Figures and tables name classes only, so
 * one copy of each figure serves both themes and paper.
 */
#ifndef ASD_SCORE_REPORT_THEME_H
#define ASD_SCORE_REPORT_THEME_H

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

/* The whole style sheet, without <style>. */
void asd_theme_css(FILE *out);

#endif
