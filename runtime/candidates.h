/* Internal to runtime: the physical devices, in the order in which they are listed. */
#ifndef VKFT_CANDIDATES_H
#define VKFT_CANDIDATES_H

#include "runtime/device.h"
#include "runtime/vulkan/instance.h"

typedef struct vkft_candidate {
    VkPhysicalDevice physical;
    vkft_device_info info;
    uint32_t queue_family;
    uint32_t copy_family; /* of a queue for copies alone, else queue_family */
} vkft_candidate;

/* All devices in listing order; *candidates is malloc'ed. */
bool vkft_candidates_list(const vkft_instance *instance, vkft_candidate **candidates, uint32_t *count, vkft_err *err);

/* The one that the selector of vkft_device_open means, if it can be used; NULL: error. */
const vkft_candidate *vkft_candidates_choose(const vkft_candidate *candidates, uint32_t count, const char *selector,
                                             vkft_err *err);

#endif
