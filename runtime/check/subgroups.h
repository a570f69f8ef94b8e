/* Kernels of the shape ROW sum with subgroupAdd, so their workgroups must run as one subgroup: a driver that splits
 * them would give wrong sums without a word. Internal to runtime. */
#ifndef VKFT_SUBGROUPS_H
#define VKFT_SUBGROUPS_H

#include "runtime/device.h"

/* Runs a small kernel that looks, once for each device, driver and build; what was right is remembered on disk.
 * Error: the workgroup was split. */
bool vkft_subgroups_check(vkft_device *dev, vkft_err *err);

#endif
