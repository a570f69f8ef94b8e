/* NVIDIA's management library, as much as telemetry needs. */
#ifndef VKFT_BENCH_NVML_H
#define VKFT_BENCH_NVML_H

#include <stdint.h>

#include "host/bench/telemetry/sample.h"

typedef struct vkft_nvml vkft_nvml;

/* The card with this UUID, which is Vulkan's too. names: see vkft_telemetry_open. NULL: no library, no such card. */
vkft_nvml *vkft_nvml_open(const uint8_t uuid[16], const char *const *names);
void vkft_nvml_close(vkft_nvml *nvml); /* NULL is fine */
vkft_telemetry_sample vkft_nvml_read(const vkft_nvml *nvml);

#endif
