/* A short training run beside the losses that it must have. */
#ifndef VKFT_DOCTOR_GOLDEN_H
#define VKFT_DOCTOR_GOLDEN_H

#include "formats/tensors/dtype.h"
#include "host/doctor/line.h"

/* Trains a small random model for a few steps in each type of computation, in fp16 only where the device can (`f16`).
 * Error: a step fails, or its loss differs from the stored one by more than the arithmetic of that type explains. */
bool vkft_doctor_train(const char *device, bool f16, const vkft_doctor_listener *to, vkft_err *err);

#define VKFT_GOLDEN_STEPS 8u

/* One run; losses [VKFT_GOLDEN_STEPS]. */
bool vkft_golden_run(const char *device, vkft_dtype compute, const vkft_doctor_listener *to, double *losses,
                     vkft_err *err);

#endif
