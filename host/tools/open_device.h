/* open_device.h - the device that --device chose, opened. */
#ifndef ASD_TOOLS_OPEN_DEVICE_H
#define ASD_TOOLS_OPEN_DEVICE_H

#include "base/device.h"
#include "cuda/gpu.h"

#include <jansson.h>

/* typed: the option's text. *gpu: NULL for the CPU; closed by the caller. When "auto" found no
 * CUDA device, one line says why the CPU computes. */
asd_status asd_device_open(const char *typed, const asd_device *d, asd_gpu **gpu);
/* For a program that opens it more than once: "auto" in *typed, which free takes, becomes what that
 * chose, and the line that says why is said here. */
asd_status asd_device_settle(char **typed, const asd_device *d);
/* "cpu", or "cuda:N NAME", for what a program leaves behind. Never NULL but without memory. */
json_t *asd_device_json(const asd_device *d, const asd_gpu *gpu);

#endif
