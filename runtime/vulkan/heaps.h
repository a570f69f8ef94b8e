/* A device's heaps: how much of each is free, and in which one a buffer is better placed. Internal to runtime. */
#ifndef VKFT_HEAPS_H
#define VKFT_HEAPS_H

#include "runtime/caps.h"
#include "runtime/vulkan/vk.h"

typedef struct vkft_heaps {
    VkPhysicalDeviceMemoryProperties properties;
    uint64_t free_bytes[VK_MAX_MEMORY_HEAPS]; /* by VK_EXT_memory_budget; the heap's size where it is not known */
} vkft_heaps;
void vkft_heaps_read(const vk_functions *vk, VkPhysicalDevice device, const vkft_caps *caps, vkft_heaps *heaps);

/* The memory types of the allowed ones in which a buffer may lie, the first one first; at most one of a heap. Types
 * that suit better come first, but those whose heap has no room by its budget come last: a driver that goes beyond it
 * moves memory to and fro. on_host: the host must see it. unified: all of the device's memory is the host's, so a heap
 * that is not called local is as good.
 */
uint32_t vkft_heaps_types(const vkft_heaps *heaps, uint32_t allowed, bool on_host, bool unified, uint64_t size_bytes,
                          uint32_t types[VK_MAX_MEMORY_TYPES]);

#endif
