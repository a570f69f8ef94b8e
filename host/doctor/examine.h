/* What a child of the doctor does: with a device or driver that may crash, or never answer. */
#ifndef VKFT_DOCTOR_EXAMINE_H
#define VKFT_DOCTOR_EXAMINE_H

#include "host/doctor/line.h"

/* The loader, its layers, and the devices that a run could choose: all, or the one of the selector (NULL: all). */
bool vkft_doctor_probe(const char *selector, const vkft_doctor_listener *to);

/* The devices alone: what one driver offers. */
bool vkft_doctor_list(const vkft_doctor_listener *to);

/* One device, by its index: what it says of itself, every kernel, and unless `quick` a short training run. Ends with
 * "ready" or "unusable"; true: ready. Kernels that compute wrong results are refused on this device from now on, and
 * strategies of products with one are not used. */
bool vkft_doctor_examine(const char *selector, bool quick, const vkft_doctor_listener *to);

#endif
