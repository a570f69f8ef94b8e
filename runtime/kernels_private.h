/* Internal to runtime: pipelines, for what records and runs them. */
#ifndef VKFT_KERNELS_PRIVATE_H
#define VKFT_KERNELS_PRIVATE_H

#include "runtime/kernels.h"
#include "runtime/pacing/rate.h"
#include "runtime/vulkan/vk.h"

VkPipelineLayout vkft_kernel_layout(const vkft_device *dev);                          /* of all kernels */
VkPipeline vkft_kernel_pipeline(vkft_device *dev, vkft_kernel kernel, vkft_err *err); /* built at first use */
/* Builds those that are not built, several at a time; each is in the list once. */
bool vkft_kernels_build(vkft_device *dev, const vkft_kernel *kernels, uint32_t count, vkft_err *err);
/* Its speed with its present constants, which commands.c measures. */
vkft_rate *vkft_kernel_rate(vkft_device *dev, vkft_kernel kernel);

/* What goes with an open device. Closing writes the pipeline cache and the rates; a device that was not opened to the
 * end is fine. */
bool vkft_kernels_open(vkft_device *dev, vkft_err *err);
void vkft_kernels_close(vkft_device *dev);

#endif
