/* See inject_smaller.h. */
#include "tests/faults/inject_smaller.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATIONS 4096u

static PFN_vkAllocateMemory next_allocate;
static PFN_vkFreeMemory next_free;
static PFN_vkGetPhysicalDeviceProperties2 next_properties;

static struct {
    VkDeviceMemory memory;
    uint64_t bytes;
} allocations[ALLOCATIONS];
static uint64_t held;

static uint64_t number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : UINT64_MAX;
}

bool vkft_fault_call(const char *name, VkResult *result)
{
    static unsigned calls;
    char wanted[64];
    unsigned first, count;
    int ends;
    const char *fault = getenv("VKFT_FAULT_CALL");
    if (!fault || sscanf(fault, "%63[^:]:%u:%u:%d", wanted, &first, &count, &ends) != 4 || strcmp(wanted, name) != 0)
        return false;
    calls++;
    *result = (VkResult)ends;
    return calls >= first && calls - first < count;
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice device, const VkMemoryAllocateInfo *info,
                                               const VkAllocationCallbacks *callbacks, VkDeviceMemory *memory)
{
    uint32_t i = 0;
    if (info->allocationSize > number("VKFT_FAULT_LARGEST"))
        abort(); /* against what the device has said */
    if (held + info->allocationSize > number("VKFT_FAULT_MEMORY"))
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    VkResult result = next_allocate(device, info, callbacks, memory);
    if (result != VK_SUCCESS)
        return result;
    while (i < ALLOCATIONS && allocations[i].memory)
        i++;
    if (i == ALLOCATIONS)
        abort();
    allocations[i].memory = *memory;
    allocations[i].bytes = info->allocationSize;
    held += info->allocationSize;
    return result;
}

static VKAPI_ATTR void VKAPI_CALL release(VkDevice device, VkDeviceMemory memory,
                                          const VkAllocationCallbacks *callbacks)
{
    for (uint32_t i = 0; memory && i < ALLOCATIONS; i++)
        if (allocations[i].memory == memory) {
            held -= allocations[i].bytes;
            allocations[i].memory = VK_NULL_HANDLE;
            break;
        }
    next_free(device, memory, callbacks);
}

static VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *found)
{
    uint64_t largest = number("VKFT_FAULT_LARGEST");
    next_properties(device, found);
    for (VkBaseOutStructure *s = found->pNext; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES) {
            VkPhysicalDeviceMaintenance3Properties *p = (void *)s;
            if (p->maxMemoryAllocationSize > largest)
                p->maxMemoryAllocationSize = largest;
        }
}

PFN_vkVoidFunction vkft_fault_smaller(const char *name, PFN_vkVoidFunction function)
{
    if (!function)
        return NULL;
    if (strcmp(name, "vkAllocateMemory") == 0) {
        next_allocate = (PFN_vkAllocateMemory)function;
        return (PFN_vkVoidFunction)allocate;
    }
    if (strcmp(name, "vkFreeMemory") == 0) {
        next_free = (PFN_vkFreeMemory)function;
        return (PFN_vkVoidFunction)release;
    }
    if (strcmp(name, "vkGetPhysicalDeviceProperties2") == 0) {
        next_properties = (PFN_vkGetPhysicalDeviceProperties2)function;
        return (PFN_vkVoidFunction)properties;
    }
    return function;
}
