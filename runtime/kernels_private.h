/* Internal to runtime: pipelines, for what records and runs them. */
#ifndef VKFT_KERNELS_PRIVATE_H
#define VKFT_KERNELS_PRIVATE_H

#include "runtime/kernels.h"
#include "runtime/vulkan/vk.h"

VkPipelineLayout vkft_kernel_layout(const vkft_device *dev);                          /* of all kernels */
VkPipeline vkft_kernel_pipeline(vkft_device *dev, vkft_kernel kernel, vkft_err *err); /* built at first use */
/* Measured nanoseconds per operation, which commands.c keeps; 0 until known. */
double *vkft_kernel_ns_per_flop(vkft_device *dev, vkft_kernel kernel);

/* What goes with an open device. Closing writes the pipeline cache; a device that was not opened to the end is fine. */
bool vkft_kernels_open(vkft_device *dev, vkft_err *err);
void vkft_kernels_close(vkft_device *dev);

#endif
