/* fuzz_names.c - the grammars of clip names and of score files' names. */
#include "data/dataset.h"
#include "fuzz.h"
#include "score/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    asd_clip_name n;
    char         *text    = fuzz_text(data, size), machine[256];
    int           section = -2;
    asd_status    st      = asd_clip_name_parse(text, &n);
    MUST(!st || st == ASD_E_DATA);
    if (!st) {
        MUST(n.section >= -1 && n.number >= -1);
        MUST(n.domain >= ASD_DOMAIN_UNKNOWN && n.domain <= ASD_TARGET);
        MUST(n.split >= ASD_SPLIT_UNKNOWN && n.split <= ASD_TEST);
        MUST(n.condition >= ASD_COND_UNKNOWN && n.condition <= ASD_ANOMALY);
        MUST(strlen(n.attribute) < sizeof n.attribute);
        MUST(asd_clip_name_section(text) == n.section);
    }
    MUST(asd_clip_name_section(text) >= -1);
    st = asd_clip_name_check(text);
    MUST(!st || st == ASD_E_DATA);
    if (asd_score_file_name(text, "anomaly_score_", machine, &section))
        MUST(section >= 0 && strlen(machine) < sizeof machine);
    free(text);
    return 0;
}
