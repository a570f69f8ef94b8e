/* The Vulkan functions that vkft calls, loaded at run time, so that the program starts without a Vulkan loader and can
 * say so. Internal to runtime. */
#ifndef VKFT_VK_H
#define VKFT_VK_H

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#include "runtime/vulkan/recent.h"

#include <stdbool.h>

#include "runtime/base/error.h"

/* What all buffers are for. */
#define VKFT_BUFFER_USAGE                                                                                              \
    (VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_SHADER_DEVICE_ADDRESS_BIT |                                  \
     VK_BUFFER_USAGE_TRANSFER_SRC_BIT | VK_BUFFER_USAGE_TRANSFER_DST_BIT)

#define VK_GLOBAL_FUNCTIONS(X)                                                                                         \
    X(CreateInstance)                                                                                                  \
    X(EnumerateInstanceExtensionProperties) X(EnumerateInstanceLayerProperties) X(EnumerateInstanceVersion)
#define VK_INSTANCE_FUNCTIONS(X)                                                                                       \
    X(DestroyInstance)                                                                                                 \
    X(EnumeratePhysicalDevices)                                                                                        \
    X(GetPhysicalDeviceProperties2)                                                                                    \
    X(GetPhysicalDeviceFeatures2)                                                                                      \
    X(GetPhysicalDeviceMemoryProperties2)                                                                              \
    X(GetPhysicalDeviceQueueFamilyProperties)                                                                          \
    X(GetPhysicalDeviceExternalBufferProperties)                                                                       \
    X(GetPhysicalDeviceCooperativeMatrixPropertiesKHR) /* NULL unless a driver has the extension */                    \
    X(EnumerateDeviceExtensionProperties) X(CreateDevice) X(GetDeviceProcAddr)
#define VK_DEVICE_FUNCTIONS(X)                                                                                         \
    X(DestroyDevice)                                                                                                   \
    X(GetDeviceQueue)                                                                                                  \
    X(CreateBuffer)                                                                                                    \
    X(DestroyBuffer)                                                                                                   \
    X(GetBufferMemoryRequirements)                                                                                     \
    X(AllocateMemory)                                                                                                  \
    X(FreeMemory)                                                                                                      \
    X(BindBufferMemory)                                                                                                \
    X(MapMemory)                                                                                                       \
    X(GetBufferDeviceAddress)                                                                                          \
    X(CreateCommandPool)                                                                                               \
    X(DestroyCommandPool)                                                                                              \
    X(ResetCommandPool)                                                                                                \
    X(AllocateCommandBuffers)                                                                                          \
    X(FreeCommandBuffers)                                                                                              \
    X(BeginCommandBuffer)                                                                                              \
    X(EndCommandBuffer)                                                                                                \
    X(CmdBindPipeline)                                                                                                 \
    X(CmdPushConstants)                                                                                                \
    X(CmdDispatchBase)                                                                                                 \
    X(CmdPipelineBarrier)                                                                                              \
    X(CmdCopyBuffer)                                                                                                   \
    X(CmdFillBuffer)                                                                                                   \
    X(CmdWriteTimestamp)                                                                                               \
    X(CmdResetQueryPool)                                                                                               \
    X(CreateQueryPool)                                                                                                 \
    X(DestroyQueryPool)                                                                                                \
    X(GetQueryPoolResults)                                                                                             \
    X(QueueSubmit)                                                                                                     \
    X(CreateFence)                                                                                                     \
    X(DestroyFence)                                                                                                    \
    X(ResetFences)                                                                                                     \
    X(WaitForFences)                                                                                                   \
    X(CreateShaderModule)                                                                                              \
    X(DestroyShaderModule)                                                                                             \
    X(CreateComputePipelines)                                                                                          \
    X(DestroyPipeline)                                                                                                 \
    X(CreatePipelineLayout)                                                                                            \
    X(DestroyPipelineLayout)                                                                                           \
    X(CreatePipelineCache)                                                                                             \
    X(DestroyPipelineCache)                                                                                            \
    X(GetPipelineCacheData)                                                                                            \
    X(GetPipelineExecutablePropertiesKHR) /* these three: NULL without VKFT_CAP_STATISTICS */                          \
    X(GetPipelineExecutableStatisticsKHR)                                                                              \
    X(GetPipelineExecutableInternalRepresentationsKHR)                                                                 \
    X(GetMemoryHostPointerPropertiesEXT) /* NULL without VKFT_CAP_HOST_MEMORY */                                       \
    X(DeviceWaitIdle)

/* Functions by name without "vk": vk->QueueSubmit(...). */
typedef struct vk_functions {
    void *library;
    PFN_vkGetInstanceProcAddr GetInstanceProcAddr;
    PFN_vkCreateDebugUtilsMessengerEXT CreateDebugUtilsMessengerEXT;   /* NULL unless validating */
    PFN_vkDestroyDebugUtilsMessengerEXT DestroyDebugUtilsMessengerEXT; /* the same */
#define X(name) PFN_vk##name name;
    VK_GLOBAL_FUNCTIONS(X) VK_INSTANCE_FUNCTIONS(X) VK_DEVICE_FUNCTIONS(X)
#undef X
} vk_functions;

/* Error: no loader on this system, with what to install. */
bool vk_load(vk_functions *vk, vkft_err *err);
void vk_load_instance(vk_functions *vk, VkInstance instance);
void vk_load_device(vk_functions *vk, VkDevice device);
void vk_unload(vk_functions *vk);

const char *vk_result_name(VkResult result);
/* Fills err by the result: out of memory, device lost, or a failed call, with what was done; returns false. */
bool vk_fail(vkft_err *err, VkResult result, const char *doing);

#endif
