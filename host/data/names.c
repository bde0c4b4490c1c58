/* names.c - the file name grammar of DCASE Task 2, 2020 to 2026.
 *
 *   2021-2026  section_SS_DOMAIN_SPLIT_COND_NNNN[_ATTR]
 *   2024       section_SS_DOMAIN_COND_NNNN[_ATTR]         RoboticArm's ground truth lacks the split
 *   2021       section_SS_DOMAIN_SPLIT_NNNN               unlabelled, the folder says the domain
 * too 2022-2026  section_SS_NNNN                            unlabelled 2020 COND_id_NN_NNNNNNNN,
 * id_NN_NNNNNNNN        no domains; the id is the section
 *
 * The words come in this order and nowhere else, so one pass from left to right decides. ATTR is
 * all that follows the number and may hold dots, hyphens, underscores, or nothing.
 */
#include "data/dataset.h"

#include "base/utf8.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const GRAMMAR = "section_SS_DOMAIN_SPLIT_COND_NNNN_ATTR.wav";

enum { MIN_NUMBER_DIGITS = 4, MAX_NUMBER_DIGITS = 9, MAX_NAME = 250 };

/* If the text at *p is one of the two words and an underscore follows, steps over both. */
static int take_word(const char **p, const char *first, const char *second)
{
    const char *const words[] = {first, second};
    for (int i = 0; i < 2; ++i) {
        size_t n = strlen(words[i]);
        if (!strncmp(*p, words[i], n) && (*p)[n] == '_') {
            *p += n + 1;
            return i;
        }
    }
    return -1;
}

static int count_digits(const char *p)
{
    int n = 0;
    while (isdigit((unsigned char)p[n]))
        ++n;
    return n;
}

/* "section_SS_" or, with id, "id_NN_". Returns the number, -1 without stepping when absent. */
static int take_section(const char **p, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(*p, prefix, n) || count_digits(*p + n) != 2 || (*p)[n + 2] != '_')
        return -1;
    int section = ((*p)[n] - '0') * 10 + (*p)[n + 1] - '0';
    *p += n + 3;
    return section;
}

/* Bytes that would break a two-column CSV, a terminal or JSON. Returns a description or NULL. */
static const char *bad_bytes(const char *name)
{
    for (const unsigned char *p = (const unsigned char *)name; *p; ++p) {
        if (*p < 0x20 || *p == 0x7F)
            return "a control character";
        if (*p == ',' || *p == '"' || *p == '/')
            return "a comma, quote or slash";
    }
    return asd_utf8_valid(name) ? NULL : "bytes that are not UTF-8";
}

/* Copies name without ".wav" (any case). */
static asd_status take_stem(const char *name, char stem[MAX_NAME + 1])
{
    size_t      n   = strlen(name);
    const char *bad = bad_bytes(name);
    if (bad)
        return ASD_FAIL(ASD_E_DATA, "name \"%.200s\" holds %s", name, bad);
    if (n >= 4 && !strcasecmp(name + n - 4, ".wav"))
        n -= 4;
    if (n > MAX_NAME)
        return ASD_FAIL(ASD_E_DATA, "name \"%.60s...\" has %zu characters; want at most %d", name,
                        n, MAX_NAME);
    memcpy(stem, name, n);
    stem[n] = 0;
    return ASD_OK;
}

static asd_status take_number(const char *name, const char **p, int64_t *number)
{
    int n = count_digits(*p);
    if (n < MIN_NUMBER_DIGITS || n > MAX_NUMBER_DIGITS || ((*p)[n] && (*p)[n] != '_'))
        return ASD_FAIL(ASD_E_DATA,
                        "clip name \"%s\": found \"%s\" where the number (%d to %d digits) "
                        "belongs; want %s",
                        name, *p, MIN_NUMBER_DIGITS, MAX_NUMBER_DIGITS, GRAMMAR);
    *number = 0;
    for (int i = 0; i < n; ++i)
        *number = 10 * *number + ((*p)[i] - '0');
    *p += n;
    return ASD_OK;
}

asd_status asd_clip_name_parse(const char *name, asd_clip_name *out)
{
    char        stem[MAX_NAME + 1];
    const char *p = stem;
    *out          = (asd_clip_name){.section   = -1,
                                    .domain    = ASD_DOMAIN_UNKNOWN,
                                    .split     = ASD_SPLIT_UNKNOWN,
                                    .condition = ASD_COND_UNKNOWN};
    ASD_TRY(take_stem(name, stem));
    out->section = take_section(&p, "section_");
    if (out->section >= 0) {
        out->domain = (asd_domain)take_word(&p, "source", "target");
        if (out->domain != ASD_DOMAIN_UNKNOWN) {
            out->split     = (asd_split)take_word(&p, "train", "test");
            out->condition = (asd_condition)take_word(&p, "normal", "anomaly");
        }
    } else {
        out->condition = (asd_condition)take_word(&p, "normal", "anomaly");
        out->section   = take_section(&p, "id_");
        if (out->section < 0)
            return ASD_FAIL(ASD_E_DATA,
                            "clip name \"%s\" does not begin with section_SS_ (or id_NN_, "
                            "normal_id_NN_, anomaly_id_NN_ as in 2020); want %s",
                            name, GRAMMAR);
    }
    if (out->domain != ASD_DOMAIN_UNKNOWN && out->condition == ASD_COND_UNKNOWN &&
        out->split != ASD_TEST)
        return ASD_FAIL(ASD_E_DATA,
                        "clip name \"%s\": found \"%s\" where normal or anomaly belongs; want %s",
                        name, p, GRAMMAR);
    ASD_TRY(take_number(name, &p, &out->number));
    if (!*p)
        return ASD_OK;
    if (out->condition == ASD_COND_UNKNOWN)
        return ASD_FAIL(ASD_E_DATA,
                        "clip name \"%s\": found \"%s\" after the number of an unlabelled name; "
                        "want section_SS_NNNN.wav or %s",
                        name, p, GRAMMAR);
    if (strlen(++p) >= sizeof out->attribute)
        return ASD_FAIL(ASD_E_DATA,
                        "clip name \"%s\": attribute of %zu characters; want at most %zu", name,
                        strlen(p), sizeof out->attribute - 1);
    memcpy(out->attribute, p, strlen(p) + 1);
    return ASD_OK;
}

int asd_clip_name_section(const char *name)
{
    int section = take_section(&name, "section_");
    if (section >= 0)
        return section;
    take_word(&name, "normal", "anomaly");
    return take_section(&name, "id_");
}

asd_status asd_clip_name_check(const char *name)
{
    char stem[MAX_NAME + 1];
    return take_stem(name, stem);
}
