/* The inside of a device. Memory and kernels keep what is theirs in structures of their own files. */
#ifndef VKFT_DEVICE_PRIVATE_H
#define VKFT_DEVICE_PRIVATE_H

#include "runtime/device.h"
#include "runtime/vulkan/instance.h"

struct vkft_device {
    vkft_instance instance;
    vkft_device_info info;
    VkPhysicalDevice physical;
    VkDevice handle;
    VkQueue queue;
    uint32_t queue_family;
    VkQueue copy_queue; /* one that copies beside the kernels; where the device has none, `queue` */
    uint32_t copy_family;
    double submission_ms;         /* how long a submission should be */
    struct vkft_memory *memory;   /* memory.c */
    struct vkft_kernels *kernels; /* kernels.c */
    void *attached;
    void (*release_attached)(void *);
};

/* After a failed submission or wait: waits until the device works no more, so that what its work uses can be freed. */
void vkft_device_settle(vkft_device *dev);

#endif
