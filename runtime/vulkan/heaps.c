/* See heaps.h. */
#include "runtime/vulkan/heaps.h"

void vkft_heaps_read(const vk_functions *vk, VkPhysicalDevice device, const vkft_caps *caps, vkft_heaps *heaps)
{
    bool budgeted = vkft_caps_have(caps, VKFT_CAP_MEMORY_BUDGET);
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                                .pNext = budgeted ? &budget : NULL};
    vk->GetPhysicalDeviceMemoryProperties2(device, &memory);
    heaps->properties = memory.memoryProperties;
    for (uint32_t i = 0; i < heaps->properties.memoryHeapCount; i++) {
        heaps->free_bytes[i] = heaps->properties.memoryHeaps[i].size;
        if (budgeted && budget.heapBudget[i] > budget.heapUsage[i])
            heaps->free_bytes[i] = budget.heapBudget[i] - budget.heapUsage[i];
    }
}

/* The first allowed type with all wanted properties; UINT32_MAX: none. */
static uint32_t find(const VkPhysicalDeviceMemoryProperties *m, uint32_t allowed, VkMemoryPropertyFlags wanted)
{
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        if ((allowed & (1u << i)) && (m->memoryTypes[i].propertyFlags & wanted) == wanted)
            return i;
    return UINT32_MAX;
}

/* The types of a heap, as a set of bits. */
static uint32_t types_of_heap(const VkPhysicalDeviceMemoryProperties *m, uint32_t heap)
{
    uint32_t types = 0;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++)
        if (m->memoryTypes[i].heapIndex == heap)
            types |= 1u << i;
    return types;
}

uint32_t vkft_heaps_types(const vkft_heaps *heaps, uint32_t allowed, bool on_host, bool unified, uint64_t size_bytes,
                          uint32_t types[VK_MAX_MEMORY_TYPES])
{
    const VkPhysicalDeviceMemoryProperties *m = &heaps->properties;
    const VkMemoryPropertyFlags local = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT,
                                host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT,
                                cached = host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT;
    const VkMemoryPropertyFlags shared[] = {local | host, local, host}, card[] = {local}, hosts[] = {cached, host};
    const VkMemoryPropertyFlags *suits = on_host ? hosts : unified ? shared : card;
    const uint32_t suit_count = on_host ? 2 : unified ? 3 : 1;
    uint32_t count = 0;
    for (int full = 0; full < 2; full++)
        for (uint32_t s = 0, type; s < suit_count; s++)
            for (uint32_t left = allowed; (type = find(m, left, suits[s])) != UINT32_MAX;) {
                const uint32_t heap = m->memoryTypes[type].heapIndex;
                left &= ~types_of_heap(m, heap);
                if ((heaps->free_bytes[heap] < size_bytes) == full) {
                    types[count++] = type;
                    allowed &= ~types_of_heap(m, heap);
                }
            }
    return count;
}
