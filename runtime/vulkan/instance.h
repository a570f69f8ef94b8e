/* Internal to runtime: opening and closing the Vulkan instance. */
#ifndef VKFT_INSTANCE_H
#define VKFT_INSTANCE_H

#include "runtime/vulkan/vk.h"

typedef struct vkft_instance {
    vk_functions vk;
    VkInstance handle;
    VkDebugUtilsMessengerEXT messenger;
} vkft_instance;

bool vkft_instance_open(vkft_instance *instance, vkft_err *err);
void vkft_instance_close(vkft_instance *instance);

#endif
