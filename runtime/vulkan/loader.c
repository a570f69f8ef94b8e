/* See loader.h. */
#include "runtime/vulkan/loader.h"

#include <stdio.h>
#include <string.h>

#include "runtime/vulkan/vk.h"

bool vkft_loader_read(vkft_loader_info *info, vkft_err *err)
{
    vk_functions vk;
    VkLayerProperties layers[VKFT_MAX_LAYERS];
    uint32_t version = VK_API_VERSION_1_0, count = VKFT_MAX_LAYERS;
    *info = (vkft_loader_info){0};
    if (!vk_load(&vk, err))
        return false;
    if (vk.EnumerateInstanceVersion)
        vk.EnumerateInstanceVersion(&version);
    snprintf(info->version, sizeof info->version, "%u.%u.%u", VK_API_VERSION_MAJOR(version),
             VK_API_VERSION_MINOR(version), VK_API_VERSION_PATCH(version));
    if (vk.EnumerateInstanceLayerProperties(&count, layers) < 0)
        count = 0;
    for (uint32_t i = 0; i < count; i++)
        memcpy(info->layers[i], layers[i].layerName, sizeof info->layers[i]);
    info->layer_count = count;
    vk_unload(&vk);
    return true;
}
