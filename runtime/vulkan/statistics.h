/* Statistics of pipelines (VK_KHR_pipeline_executable_properties). Internal to runtime. */
#ifndef VKFT_VULKAN_STATISTICS_H
#define VKFT_VULKAN_STATISTICS_H

#include "runtime/caps.h"
#include "runtime/vulkan/kernel_statistics.h"
#include "runtime/vulkan/vk.h"

/* What a pipeline is to keep for vk_read_statistics: nothing without VKFT_CAP_STATISTICS. */
VkPipelineCreateFlags vk_statistics_flags(const vkft_caps *caps);
bool vk_read_statistics(const vk_functions *vk, VkDevice device, VkPipeline pipeline,
                        vkft_kernel_statistics *statistics, vkft_err *err);

#endif
