/* The system's watchdog of GPUs, which resets one that is busy with a single submission for too long. */
#ifndef VKFT_WATCHDOG_H
#define VKFT_WATCHDOG_H

#include <stdint.h>

/* Its time in milliseconds, the shortest of the GPUs of this PCI vendor; 0 where it is off, or the system does not say.
 * Linux: module parameters and settings of the drivers amdgpu, i915 and xe below `root` (NULL: "", tests have a tree of
 * their own). Windows: the registry's TdrDelay, 2 s without it. */
uint32_t vkft_watchdog_ms(uint32_t vendor_id, const char *root);

/* amdgpu's parameter lockup_timeout: milliseconds for graphics, compute and others, or one number for all of them; 0
 * and nothing stand for the driver's own. */
uint32_t vkft_watchdog_amdgpu(const char *text);

#endif
