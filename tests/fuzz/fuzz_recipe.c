/* fuzz_recipe.c - a recipe: its YAML, then what its keys mean. */
#include "base/cfg.h"
#include "base/yaml.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    asd_yaml   y;
    asd_recipe r;
    char      *text = fuzz_text(data, size);
    for (int whole = 0; whole < 2; ++whole) {
        asd_status st = asd_yaml_parse(text, size, "fuzz", whole ? NULL : "train.lr", &y);
        MUST(!st || st == ASD_E_CONFIG);
        MUST(!st || y.n == 0);
        asd_yaml_clear(&y);
    }
    free(text);
    for (int smoke = 0; smoke < 2; ++smoke) {
        asd_status st = asd_recipe_load(fuzz_file(data, size), NULL, 0, smoke, &r);
        MUST(!st || asd_exit_code(st) == 2 || asd_exit_code(st) == 3);
        if (!st)
            MUST(strlen(r.hash) == 32);
        asd_recipe_clear(&r);
    }
    return 0;
}
