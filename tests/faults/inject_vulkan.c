/* Calls of Vulkan that fail, and a kernel that is miscompiled. The program finds Vulkan's functions through
 * vkGetInstanceProcAddr, which it finds through dlsym; from there on it gets the wrappers below. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <vulkan/vulkan.h>

#include "tests/faults/inject.h"
#include "tests/faults/inject_smaller.h"

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
        VkResult result;                                                                                               \
        if (vkft_fault_call(#name, &result))                                                                           \
            return result;                                                                                             \
        if (vkft_fault_hits(FAULT_VULKAN, #name, __builtin_return_address(0)))                                         \
            return (VkResult)vkft_fault_error();                                                                       \
        return next_##name arguments;                                                                                  \
    }
WRAPPED(DEFINE)
#undef DEFINE

static PFN_vkGetInstanceProcAddr next_instance_address;
static PFN_vkGetDeviceProcAddr next_device_address;

/* VKFT_FAULT_KERNEL=EFFECT:FILE picks the kernel whose words the build has written to FILE, as numbers. EFFECT is what
 * its driver does with it: "wrong" adds where it should multiply, "crash" crashes, "hang" never returns; after "lost"
 * and "memory" every submission fails so. */
static PFN_vkCreateShaderModule next_shader_module;
static PFN_vkQueueSubmit next_queue_submit;
static VkResult submission; /* what submissions end with, unless it is a success */

#define OP_FADD 129u
#define OP_FSUB 131u
#define OP_FMUL 133u
#define HEADER_WORDS 5u

/* Whether the code is that of the file. */
static bool is_kernel(const char *path, const VkShaderModuleCreateInfo *info)
{
    FILE *file = fopen(path, "r");
    if (!file)
        abort();
    unsigned word;
    size_t count = 0, words = info->codeSize / 4;
    bool same = true;
    while (same && fscanf(file, " %x ,", &word) == 1)
        same = count < words && info->pCode[count++] == word;
    fclose(file);
    return same && count == words;
}

/* Turns the first multiplication into an addition, or else the first addition into a subtraction; their operands are
 * alike. */
static void spoil(uint32_t *code, size_t words)
{
    const uint32_t from[] = {OP_FMUL, OP_FADD}, to[] = {OP_FADD, OP_FSUB};
    for (int i = 0; i < 2; i++)
        for (size_t at = HEADER_WORDS; at < words; at += code[at] >> 16)
            if ((code[at] & 0xffff) == from[i]) {
                code[at] = (code[at] & 0xffff0000u) | to[i];
                return;
            }
    abort();
}

static VKAPI_ATTR VkResult VKAPI_CALL create_shader_module(VkDevice device, const VkShaderModuleCreateInfo *info,
                                                           const VkAllocationCallbacks *callbacks,
                                                           VkShaderModule *module)
{
    const char *fault = getenv("VKFT_FAULT_KERNEL"), *path = fault ? strchr(fault, ':') : NULL;
    if (!path || !is_kernel(path + 1, info))
        return next_shader_module(device, info, callbacks, module);
    if (strncmp(fault, "crash", 5) == 0)
        raise(SIGSEGV);
    while (strncmp(fault, "hang", 4) == 0)
        pause();
    if (strncmp(fault, "wrong", 5) != 0) {
        submission = strncmp(fault, "lost", 4) == 0 ? VK_ERROR_DEVICE_LOST : VK_ERROR_OUT_OF_DEVICE_MEMORY;
        return next_shader_module(device, info, callbacks, module);
    }
    VkShaderModuleCreateInfo other = *info;
    uint32_t *code = malloc(info->codeSize);
    if (!code)
        abort();
    memcpy(code, info->pCode, info->codeSize);
    spoil(code, info->codeSize / 4);
    other.pCode = code;
    VkResult result = next_shader_module(device, &other, callbacks, module);
    free(code);
    return result;
}

void *dlsym(void *restrict handle, const char *restrict name);

static VKAPI_ATTR VkResult VKAPI_CALL queue_submit(VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                                                   VkFence fence)
{
    return submission != VK_SUCCESS ? submission : next_queue_submit(queue, count, infos, fence);
}

static PFN_vkVoidFunction wrapped(const char *name, PFN_vkVoidFunction function)
{
#define CHOOSE(known, parameters, arguments)                                                                           \
    if (function && strcmp(name, "vk" #known) == 0) {                                                                  \
        next_##known = (PFN_vk##known)function;                                                                        \
        return (PFN_vkVoidFunction)wrap_##known;                                                                       \
    }
    if (function && strcmp(name, "vkCreateShaderModule") == 0) {
        next_shader_module = (PFN_vkCreateShaderModule)function;
        function = (PFN_vkVoidFunction)create_shader_module;
    }
    if (function && strcmp(name, "vkQueueSubmit") == 0) {
        next_queue_submit = (PFN_vkQueueSubmit)function;
        function = (PFN_vkVoidFunction)queue_submit;
    }
    function = vkft_fault_smaller(name, function);
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
