/* Calls of Vulkan that fail. The program finds Vulkan's functions through vkGetInstanceProcAddr, which it finds through
 * dlsym; from there on it gets the wrappers below. */
#include <stdio.h>
#include <string.h>

#include <vulkan/vulkan.h>

#include "tests/faults/inject.h"

#define WRAPPED(WRAP)                                                                                                  \
    WRAP(CreateInstance, (const VkInstanceCreateInfo *a, const VkAllocationCallbacks *b, VkInstance *c), (a, b, c))    \
    WRAP(EnumerateInstanceVersion, (uint32_t * a), (a))                                                                \
    WRAP(EnumeratePhysicalDevices, (VkInstance a, uint32_t * b, VkPhysicalDevice * c), (a, b, c))                      \
    WRAP(EnumerateDeviceExtensionProperties,                                                                           \
         (VkPhysicalDevice a, const char *b, uint32_t *c, VkExtensionProperties *d), (a, b, c, d))                     \
    WRAP(CreateDevice, (VkPhysicalDevice a, const VkDeviceCreateInfo *b, const VkAllocationCallbacks *c, VkDevice *d), \
         (a, b, c, d))                                                                                                 \
    WRAP(CreateBuffer, (VkDevice a, const VkBufferCreateInfo *b, const VkAllocationCallbacks *c, VkBuffer *d),         \
         (a, b, c, d))                                                                                                 \
    WRAP(AllocateMemory,                                                                                               \
         (VkDevice a, const VkMemoryAllocateInfo *b, const VkAllocationCallbacks *c, VkDeviceMemory *d), (a, b, c, d)) \
    WRAP(BindBufferMemory, (VkDevice a, VkBuffer b, VkDeviceMemory c, VkDeviceSize d), (a, b, c, d))                   \
    WRAP(MapMemory, (VkDevice a, VkDeviceMemory b, VkDeviceSize c, VkDeviceSize d, VkMemoryMapFlags e, void **f),      \
         (a, b, c, d, e, f))                                                                                           \
    WRAP(CreateCommandPool,                                                                                            \
         (VkDevice a, const VkCommandPoolCreateInfo *b, const VkAllocationCallbacks *c, VkCommandPool *d),             \
         (a, b, c, d))                                                                                                 \
    WRAP(ResetCommandPool, (VkDevice a, VkCommandPool b, VkCommandPoolResetFlags c), (a, b, c))                        \
    WRAP(AllocateCommandBuffers, (VkDevice a, const VkCommandBufferAllocateInfo *b, VkCommandBuffer *c), (a, b, c))    \
    WRAP(BeginCommandBuffer, (VkCommandBuffer a, const VkCommandBufferBeginInfo *b), (a, b))                           \
    WRAP(EndCommandBuffer, (VkCommandBuffer a), (a))                                                                   \
    WRAP(QueueSubmit, (VkQueue a, uint32_t b, const VkSubmitInfo *c, VkFence d), (a, b, c, d))                         \
    WRAP(CreateFence, (VkDevice a, const VkFenceCreateInfo *b, const VkAllocationCallbacks *c, VkFence *d),            \
         (a, b, c, d))                                                                                                 \
    WRAP(ResetFences, (VkDevice a, uint32_t b, const VkFence *c), (a, b, c))                                           \
    WRAP(WaitForFences, (VkDevice a, uint32_t b, const VkFence *c, VkBool32 d, uint64_t e), (a, b, c, d, e))           \
    WRAP(DeviceWaitIdle, (VkDevice a), (a))                                                                            \
    WRAP(CreateQueryPool,                                                                                              \
         (VkDevice a, const VkQueryPoolCreateInfo *b, const VkAllocationCallbacks *c, VkQueryPool *d), (a, b, c, d))   \
    WRAP(GetQueryPoolResults,                                                                                          \
         (VkDevice a, VkQueryPool b, uint32_t c, uint32_t d, size_t e, void *f, VkDeviceSize g, VkQueryResultFlags h), \
         (a, b, c, d, e, f, g, h))                                                                                     \
    WRAP(CreateShaderModule,                                                                                           \
         (VkDevice a, const VkShaderModuleCreateInfo *b, const VkAllocationCallbacks *c, VkShaderModule *d),           \
         (a, b, c, d))                                                                                                 \
    WRAP(CreatePipelineLayout,                                                                                         \
         (VkDevice a, const VkPipelineLayoutCreateInfo *b, const VkAllocationCallbacks *c, VkPipelineLayout *d),       \
         (a, b, c, d))                                                                                                 \
    WRAP(CreatePipelineCache,                                                                                          \
         (VkDevice a, const VkPipelineCacheCreateInfo *b, const VkAllocationCallbacks *c, VkPipelineCache *d),         \
         (a, b, c, d))                                                                                                 \
    WRAP(GetPipelineCacheData, (VkDevice a, VkPipelineCache b, size_t * c, void *d), (a, b, c, d))                     \
    WRAP(CreateComputePipelines,                                                                                       \
         (VkDevice a, VkPipelineCache b, uint32_t c, const VkComputePipelineCreateInfo *d,                             \
          const VkAllocationCallbacks *e, VkPipeline *f),                                                              \
         (a, b, c, d, e, f))

#define DEFINE(name, parameters, arguments)                                                                            \
    static PFN_vk##name next_##name;                                                                                   \
    static VKAPI_ATTR VkResult VKAPI_CALL wrap_##name parameters                                                       \
    {                                                                                                                  \
        if (vkft_fault_hits(FAULT_VULKAN, #name, __builtin_return_address(0)))                                         \
            return (VkResult)vkft_fault_error();                                                                       \
        return next_##name arguments;                                                                                  \
    }
WRAPPED(DEFINE)
#undef DEFINE

static PFN_vkGetInstanceProcAddr next_instance_address;
static PFN_vkGetDeviceProcAddr next_device_address;

void *dlsym(void *restrict handle, const char *restrict name);

static PFN_vkVoidFunction wrapped(const char *name, PFN_vkVoidFunction function)
{
#define CHOOSE(known, parameters, arguments)                                                                           \
    if (function && strcmp(name, "vk" #known) == 0) {                                                                  \
        next_##known = (PFN_vk##known)function;                                                                        \
        return (PFN_vkVoidFunction)wrap_##known;                                                                       \
    }
    WRAPPED(CHOOSE)
#undef CHOOSE
    return function;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_address(VkDevice device, const char *name)
{
    return wrapped(name, next_device_address(device, name));
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_address(VkInstance instance, const char *name)
{
    PFN_vkVoidFunction function = next_instance_address(instance, name);
    if (function && strcmp(name, "vkGetDeviceProcAddr") == 0) {
        next_device_address = (PFN_vkGetDeviceProcAddr)function;
        return (PFN_vkVoidFunction)device_address;
    }
    return wrapped(name, function);
}

void *dlsym(void *restrict handle, const char *restrict name)
{
    static void *(*next)(void *, const char *);
    if (!next)
        *(void **)&next = vkft_fault_next("dlsym");
    void *function = next(handle, name);
    if (!function || strcmp(name, "vkGetInstanceProcAddr") != 0 || !vkft_fault_is_program(__builtin_return_address(0)))
        return function;
    next_instance_address = (PFN_vkGetInstanceProcAddr)function;
    return (void *)instance_address;
}
