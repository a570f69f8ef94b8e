/* Internal to runtime: what devices say of their memory, and what of it goes with an open device. */
#ifndef VKFT_MEMORY_PRIVATE_H
#define VKFT_MEMORY_PRIVATE_H

#include "runtime/device.h"
#include "runtime/vulkan/vk.h"

/* The largest device-local heap. */
typedef struct vkft_heap {
    uint64_t size_bytes;
    uint64_t free_bytes; /* now; where the memory is the system's, of all heaps, and at most what the system has */
    bool unified;        /* the host sees all of it */
} vkft_heap;
vkft_heap vkft_heap_read(const vk_functions *vk, VkPhysicalDevice device, vkft_device_type type, const vkft_caps *caps);

bool vkft_memory_open(vkft_device *dev, vkft_err *err);
void vkft_memory_close(vkft_device *dev); /* a device that was not opened to the end is fine */

#endif
