/* cfg_args.c - the options that all programs with a recipe have. */
#include "base/cfg.h"

#include <string.h>

asd_status asd_recipe_from_args(const asd_recipe_args *args, const char *path, asd_recipe *out,
                                asd_device *device, int *exit_now)
{
    *exit_now = 0;
    *device   = (asd_device){0, 0};
    ASD_TRY(asd_recipe_load(path, args->sets.item, args->sets.n, args->smoke, out));
    if (args->seed)
        ASD_TRY(asd_recipe_set(out, "seed", args->seed, "--seed", ASD_E_USAGE));
    if (args->print_config) {
        *exit_now = 1;
        return asd_recipe_print(out, 1, stdout);
    }
    return asd_device_choose(args->device, device);
}
