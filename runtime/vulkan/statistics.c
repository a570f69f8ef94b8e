/* See statistics.h. */
#include "runtime/vulkan/statistics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REPRESENTATIONS 32 /* of the steps of a compiler, at most */

static bool wants_code(void)
{
    const char *value = getenv("VKFT_STATISTICS");
    return value && strcmp(value, "code") == 0;
}

VkPipelineCreateFlags vk_statistics_flags(const vkft_caps *caps)
{
    if (!vkft_caps_have(caps, VKFT_CAP_STATISTICS))
        return 0;
    return VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
           (wants_code() ? VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR : 0u);
}

static double value_of(const VkPipelineExecutableStatisticKHR *s)
{
    switch (s->format) {
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR: return s->value.b32;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR: return (double)s->value.i64;
    case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR: return (double)s->value.u64;
    default: return s->value.f64;
    }
}

/* The last text that the compiler kept, which is that of the instructions; NULL: none. */
static char *read_code(const vk_functions *vk, VkDevice device, const VkPipelineExecutableInfoKHR *executable)
{
    VkPipelineExecutableInternalRepresentationKHR r[REPRESENTATIONS] = {0};
    uint32_t count = REPRESENTATIONS;
    for (uint32_t i = 0; i < REPRESENTATIONS; i++)
        r[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    if (vk->GetPipelineExecutableInternalRepresentationsKHR(device, executable, &count, r) < 0)
        return NULL;
    while (count > 0 && !r[count - 1].isText)
        count--;
    if (!count)
        return NULL;
    size_t bytes = r[count - 1].dataSize;
    char *code = calloc(bytes + 1, 1);
    r[count - 1].pData = code; /* of the others only the sizes are asked for again */
    if (code && vk->GetPipelineExecutableInternalRepresentationsKHR(device, executable, &count, r) >= 0)
        return code;
    free(code);
    return NULL;
}

bool vk_read_statistics(const vk_functions *vk, VkDevice device, VkPipeline pipeline,
                        vkft_kernel_statistics *statistics, vkft_err *err)
{
    const VkPipelineInfoKHR info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
    VkPipelineExecutablePropertiesKHR properties = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
    uint32_t executables = 1; /* a compute pipeline has one */
    VkResult result = vk->GetPipelineExecutablePropertiesKHR(device, &info, &executables, &properties);
    if (result < 0)
        return vk_fail(err, result, "asking for a kernel's statistics");
    statistics->subgroup_size = properties.subgroupSize;
    const VkPipelineExecutableInfoKHR executable = {.sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR,
                                                    .pipeline = pipeline};
    VkPipelineExecutableStatisticKHR list[VKFT_KERNEL_STATISTICS] = {0};
    for (uint32_t i = 0; i < VKFT_KERNEL_STATISTICS; i++)
        list[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    statistics->count = VKFT_KERNEL_STATISTICS;
    result = vk->GetPipelineExecutableStatisticsKHR(device, &executable, &statistics->count, list);
    if (result < 0)
        return vk_fail(err, result, "asking for a kernel's statistics");
    for (uint32_t i = 0; i < statistics->count; i++) {
        vkft_kernel_statistic *s = &statistics->list[i];
        snprintf(s->name, sizeof s->name, "%.63s", list[i].name);
        s->value = value_of(&list[i]);
    }
    if (wants_code())
        statistics->code = read_code(vk, device, &executable);
    return true;
}
