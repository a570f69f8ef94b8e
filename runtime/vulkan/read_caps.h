/* Reading a device's capabilities and enabling them. Internal to runtime. */
#ifndef VKFT_READ_CAPS_H
#define VKFT_READ_CAPS_H

#include "runtime/caps.h"
#include "runtime/vulkan/vk.h"

/* Fills caps with everything but timestamps, which belong to a queue (see vkft_caps_read_queue). why_not: the reason
 * why the device is below vkft's floor, or "". */
void vkft_caps_read(const vk_functions *vk, VkPhysicalDevice device, vkft_caps *caps, char *why_not,
                    size_t why_not_size);

/* What vkCreateDevice takes to enable exactly what caps has. Must not be moved once filled: it points into itself. */
#define VKFT_MAX_EXTENSIONS 16
typedef struct vkft_enabled {
    const char *extensions[VKFT_MAX_EXTENSIONS];
    uint32_t extension_count;
    VkPhysicalDeviceFeatures2 features; /* the head of the chain */
    VkPhysicalDeviceVulkan11Features vulkan11;
    VkPhysicalDeviceVulkan12Features vulkan12;
    VkPhysicalDeviceSubgroupSizeControlFeatures subgroup;
    VkPhysicalDeviceShaderIntegerDotProductFeatures integer_dot;
    VkPhysicalDeviceShaderMixedFloatDotProductFeaturesVALVE float_dot;
    VkPhysicalDeviceShaderBfloat16FeaturesKHR bf16;
    VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrix;
    VkPhysicalDeviceCooperativeMatrix2FeaturesNV matrix2;
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics;
} vkft_enabled;
void vkft_caps_enable(const vk_functions *vk, VkPhysicalDevice device, const vkft_caps *caps, vkft_enabled *enabled);

#endif
