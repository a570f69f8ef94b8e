/* What the system tells of a card while it works: power, clock, temperature, how busy it is. On Linux from sysfs
 * (amdgpu, i915, xe), of NVIDIA's driver from NVML, which is opened at run time; elsewhere nothing. */
#ifndef VKFT_BENCH_TELEMETRY_H
#define VKFT_BENCH_TELEMETRY_H

#include <stdbool.h>

#include "host/bench/telemetry/sample.h"
#include "runtime/device.h"

typedef struct vkft_telemetry vkft_telemetry;

/* root: the directory that holds sys/ ("" usually); nvml: names of the library, a list that ends with NULL; NULL: the
 * usual ones. NULL: nothing is told of this device, or which card it is cannot be found out. */
vkft_telemetry *vkft_telemetry_open(const vkft_device_info *info, const char *root, const char *const *nvml);
void vkft_telemetry_close(vkft_telemetry *telemetry);                       /* NULL is fine */
vkft_telemetry_sample vkft_telemetry_read(const vkft_telemetry *telemetry); /* of NULL: nothing */

#endif
