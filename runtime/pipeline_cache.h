/* Internal to runtime: the driver's compiled pipelines on disk. */
#ifndef VKFT_PIPELINE_CACHE_H
#define VKFT_PIPELINE_CACHE_H

#include <stddef.h>

#include "runtime/device.h"

/* The bytes for this device and driver; malloc'ed, NULL when there are none. */
void *vkft_pipeline_cache_read(const vkft_device *dev, size_t *size);
void vkft_pipeline_cache_write(const vkft_device *dev, const void *data, size_t size);

#endif
