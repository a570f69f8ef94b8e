/* The inside of a device, shared by the files of runtime. */
#ifndef VKFT_RUNTIME_PRIVATE_H
#define VKFT_RUNTIME_PRIVATE_H

#include "runtime/device.h"
#include "runtime/kernels.h"
#include "runtime/memory.h"
#include "runtime/vk.h"

#define VKFT_MAX_CONSTANTS 8 /* width and seven of the kernel's own */

typedef struct vkft_kernel_state {
    VkPipeline pipeline;
    uint32_t constants[VKFT_MAX_CONSTANTS]; /* [0] is the width */
    uint32_t constant_count;
    double ns_per_flop; /* measured, 0 until known: see commands.c */
} vkft_kernel_state;

typedef struct vkft_instance {
    vk_functions vk;
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
} vkft_instance;

struct vkft_device {
    vkft_instance instance;
    vkft_device_info info;
    VkPhysicalDevice physical;
    VkDevice handle;
    VkQueue queue;
    uint32_t queue_family;
    bool subgroup_size_control;
    bool memory_budget;
    VkPhysicalDeviceMemoryProperties memory;
    VkPipelineLayout layout;
    VkPipelineCache cache;
    size_t cache_bytes; /* as read from disk */
    vkft_kernel_state kernels[VKFT_KERNEL_COUNT];
    vkft_memory_stats stats;
    vkft_buffer staging;
    VkCommandPool transfer_pool;
    VkFence transfer_fence;
};

/* Names of the highest-level things for messages. */
VkPipeline vkft_kernel_pipeline(vkft_device *dev, vkft_kernel kernel, vkft_err *err); /* builds it at first use */
uint32_t vkft_kernel_args_bytes(vkft_kernel kernel);
bool vkft_kernels_init(vkft_device *dev, vkft_err *err);
void vkft_kernels_free(vkft_device *dev);
vkft_tier vkft_kernels_best_tier(void);
void vkft_memory_free(vkft_device *dev);

/* pipeline_cache.c: the cache's bytes for this device and driver; malloc'ed, NULL when there is none. */
void *vkft_pipeline_cache_read(const vkft_device *dev, size_t *size);
void vkft_pipeline_cache_write(const vkft_device *dev, const void *data, size_t size);

/* Free bytes of the main heap now. */
uint64_t vkft_device_free_bytes(const vkft_device *dev);

#endif
