/* device.h - which device a program computes on: --device cpu|cuda[:N]|auto. */
#ifndef ASD_BASE_DEVICE_H
#define ASD_BASE_DEVICE_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct asd_device {
    int cuda;  /* 0: the CPU */
    int index; /* of the CUDA device, counted after CUDA_VISIBLE_DEVICES */
} asd_device;

/* "auto" takes the first CUDA device, or the CPU if there is none; "cuda" is "cuda:0" and never
 * falls back. ASD_E_USAGE: not of this form. ASD_E_DEVICE: no such device, or a program built
 * without CUDA. */
asd_status asd_device_choose(const char *text, asd_device *out);

/* CUDA devices that can be used now. With 0, *why says why, until the thread's next call: "this
 * program was built without CUDA". Defined beside the rest of the device's code, in cuda/. */
int asd_cuda_count(const char **why);

#ifdef __cplusplus
}
#endif
#endif
