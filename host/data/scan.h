/* scan.h - what a data set folder holds: clips, labels, attributes, and the audio headers of all.
 *
 * A scan goes on past wrong files: everything wrong is collected in `problems` (exit 3), whatever
 * merely differs from DCASE 2026 (dcase2026 2.3, 2.6) in `warnings`. Scan reads the labels in test
 * names; nothing here is for training or scoring.
 */
#ifndef ASD_DATA_SCAN_H
#define ASD_DATA_SCAN_H

#include "audio/wav.h"
#include "data/dataset.h"

#include <stdio.h>

typedef enum asd_scan_depth {
    ASD_SCAN_NAMES,   /* file names alone */
    ASD_SCAN_HEADERS, /* and every header, checked against the file's length */
    ASD_SCAN_SAMPLES, /* and every sample */
} asd_scan_depth;

#define ASD_SCAN_VALUES 8
/* The distinct values of something that should have one, ascending; n counts past the array. */
typedef struct asd_value_set {
    int64_t value[ASD_SCAN_VALUES];
    int     n;
} asd_value_set;

typedef struct asd_scan_attribute {
    char    text[192];
    int64_t train[2]; /* by domain */
} asd_scan_attribute;

/* One machine. A test name may give domain and condition (2021-2026), the condition alone (2020),
 * or neither; `odd` of the latter follow no known grammar. */
typedef struct asd_scan_machine {
    int64_t             train[2];   /* by domain */
    int64_t             test[2][2]; /* by domain, condition */
    int64_t             test_no_domain[2];
    int64_t             test_unlabelled;
    int64_t             odd;
    const char         *first_odd; /* NULL when odd is 0 */
    asd_scan_attribute *attribute; /* (n_attributes) sorted; "" and "noAttribute" are not in it */
    int64_t             n_attributes;
    asd_value_set       section, rate_hz, channels, bits;
    double              seconds_min, seconds_max, seconds; /* 0 without audio */
    int64_t             n_audio;                           /* clips whose header was good */
    int                 has_float;
} asd_scan_machine;

typedef struct asd_scan {
    asd_dataset       data;
    asd_scan_machine *machine; /* (data.n), in the order of data.machine */
    asd_problems      problems, warnings;
    asd_scan_depth    depth;
} asd_scan;

/* Fails only where it cannot go on: no such folder, no machine, out of memory, or asked to stop. */
asd_status asd_scan_run(const char *root, char *const *only, int64_t n_only, asd_scan_depth depth,
                        asd_scan *out);
void       asd_scan_clear(asd_scan *s);
/* The part of asd_scan_run that fills `warnings` (scan_compare.c). */
asd_status asd_scan_compare(asd_scan *s);

/* At most 100 columns. verbose adds every attribute. Problems and warnings are not printed here. */
void asd_scan_print(const asd_scan *s, int verbose, FILE *out);

/* {"schema": "asd.scan/1", "root": "...",
 *  "machines": [{"machine": "fan", "folder": "...", "sections": [0],
 *    "train": {"source": 990, "target": 10},
 *    "test": {"source_normal": 50, "source_anomaly": 50, "target_normal": 50, "target_anomaly": 50,
 *             "normal": 0, "anomaly": 0, "unlabelled": 0},    (normal, anomaly: without a domain)
 *    "n_attributes": 3, "attributes": [{"attribute": "spd_1", "source": 330, "target": 4}],
 *    "audio": {"clips": 1200, "seconds": [10.0, 10.0], "hours": 3.3, "rate_hz": [16000],
 *              "channels": [2], "bits": [16], "float": false}}],      (null with --no-audio)
 *  "totals": {"machines": 7, "train": 7000, "test": 1400, "hours": 25.1},   (hours null likewise)
 *  "labels": 45, "labels_with_channel": 90,     (the latter null unless all clips have as many)
 *  "warnings": ["..."], "problems": ["..."]}
 * labels: distinct machine x attribute x domain of training clips. */
asd_status asd_scan_json(const asd_scan *s, FILE *out);

#endif
