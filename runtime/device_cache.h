/* Files of vkft's cache directory that belong to one device and driver: compiled pipelines, results of self-tests,
 * speeds of kernels.
 *
 * They only save time, so every failure is silent: a file that is missing, foreign or damaged is as good as none.
 */
#ifndef VKFT_DEVICE_CACHE_H
#define VKFT_DEVICE_CACHE_H

#include <stddef.h>

#include "runtime/device.h"

/* The bytes of the file of this kind ("pipelines") for this device and driver, malloc'ed, with a zero byte after the
 * last one; NULL when there are none. */
void *vkft_device_cache_read(const vkft_device *dev, const char *kind, size_t *size);
void vkft_device_cache_write(const vkft_device *dev, const char *kind, const void *data, size_t size);

#endif
