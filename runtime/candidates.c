/* Listing and choosing devices. */
#include "runtime/candidates.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"
#include "runtime/memory_private.h"
#include "runtime/vulkan/read_caps.h"

static vkft_device_type device_type(VkPhysicalDeviceType type)
{
    switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return VKFT_DEVICE_DISCRETE;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return VKFT_DEVICE_INTEGRATED;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return VKFT_DEVICE_VIRTUAL;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return VKFT_DEVICE_CPU;
    default: return VKFT_DEVICE_OTHER;
    }
}

/* A family that computes, better one that does nothing else: the desktop, which has the other's queue, then stays alive
 * while a kernel runs. Where only the other has timestamps, profiles are worth more. UINT32_MAX: none computes. */
static uint32_t compute_queue(const vk_functions *vk, VkPhysicalDevice device, uint32_t *timestamp_bits)
{
    VkQueueFamilyProperties families[32];
    uint32_t count = 32, best = UINT32_MAX, best_rank = 0;
    vk->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    *timestamp_bits = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool alone = !(families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT), timed = families[i].timestampValidBits > 0;
        uint32_t rank = 1 + alone + 2 * timed;
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && rank > best_rank) {
            best = i;
            best_rank = rank;
            *timestamp_bits = families[i].timestampValidBits;
        }
    }
    return best;
}

/* The first queue family that only copies: its engine works beside the kernels. Without one, the family that computes.
 */
static uint32_t copy_queue(const vk_functions *vk, VkPhysicalDevice device, uint32_t compute)
{
    VkQueueFamilyProperties families[32];
    uint32_t count = 32;
    vk->GetPhysicalDeviceQueueFamilyProperties(device, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if ((families[i].queueFlags & (VK_QUEUE_TRANSFER_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_GRAPHICS_BIT)) ==
            VK_QUEUE_TRANSFER_BIT)
            return i;
    return compute;
}

/* Drivers of Vulkan 1.3 say it. */
static uint64_t max_buffer_bytes(const vk_functions *vk, VkPhysicalDevice device, const VkPhysicalDeviceProperties *p)
{
    VkPhysicalDeviceMaintenance4Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_4_PROPERTIES};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &maintenance};
    if (p->apiVersion < VK_API_VERSION_1_3)
        return UINT64_MAX;
    vk->GetPhysicalDeviceProperties2(device, &properties);
    return maintenance.maxBufferSize ? maintenance.maxBufferSize : UINT64_MAX;
}

static void read_device(const vk_functions *vk, vkft_candidate *c)
{
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
                                               .pNext = &maintenance};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &driver};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &id};
    vk->GetPhysicalDeviceProperties2(c->physical, &properties);
    const VkPhysicalDeviceProperties *p = &properties.properties;
    vkft_device_info *info = &c->info;
    snprintf(info->name, sizeof info->name, "%s", p->deviceName);
    snprintf(info->driver, sizeof info->driver, "%.120s%s%.120s", driver.driverName, driver.driverInfo[0] ? " " : "",
             driver.driverInfo);
    snprintf(info->api_version, sizeof info->api_version, "%u.%u.%u", VK_API_VERSION_MAJOR(p->apiVersion),
             VK_API_VERSION_MINOR(p->apiVersion), VK_API_VERSION_PATCH(p->apiVersion));
    memcpy(info->uuid, id.deviceUUID, sizeof info->uuid);
    info->type = device_type(p->deviceType);
    info->vendor_id = p->vendorID;
    info->max_allocation_bytes = min_u64(maintenance.maxMemoryAllocationSize, max_buffer_bytes(vk, c->physical, p));
    vkft_caps_read(vk, c->physical, &info->caps, info->why_not, sizeof info->why_not);
    c->queue_family = compute_queue(vk, c->physical, &info->caps.timestamp_bits);
    c->copy_family = copy_queue(vk, c->physical, c->queue_family);
    if (!info->caps.timestamp_bits)
        info->caps.timestamp_period_ns = 0;
    if (c->queue_family == UINT32_MAX && !info->why_not[0])
        snprintf(info->why_not, sizeof info->why_not, "it has no compute queue");
    info->usable = info->why_not[0] == 0;
    vkft_heap heap = vkft_heap_read(vk, c->physical, info->type, &info->caps);
    info->memory_bytes = heap.size_bytes;
    info->memory_free_bytes = heap.free_bytes;
    info->unified_memory = heap.unified;
}

static int better_first(const void *pa, const void *pb)
{
    const vkft_device_info *a = &((const vkft_candidate *)pa)->info, *b = &((const vkft_candidate *)pb)->info;
    if (a->usable != b->usable)
        return a->usable ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->memory_bytes != b->memory_bytes)
        return a->memory_bytes > b->memory_bytes ? -1 : 1;
    return memcmp(a->uuid, b->uuid, sizeof a->uuid);
}

bool vkft_candidates_list(const vkft_instance *instance, vkft_candidate **candidates, uint32_t *count, vkft_err *err)
{
    const vk_functions *vk = &instance->vk;
    *candidates = NULL;
    *count = 0;
    VkResult result = vk->EnumeratePhysicalDevices(instance->handle, count, NULL);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, "listing the Vulkan devices");
    VkPhysicalDevice *devices = calloc(*count + 1ull, sizeof *devices);
    *candidates = calloc(*count + 1ull, sizeof **candidates);
    if (!devices || !*candidates) {
        free(devices);
        return vkft_fail_memory(err, "while listing devices");
    }
    result = vk->EnumeratePhysicalDevices(instance->handle, count, devices);
    for (uint32_t i = 0; result >= 0 && i < *count; i++) {
        (*candidates)[i].physical = devices[i];
        read_device(vk, &(*candidates)[i]);
    }
    free(devices);
    if (result < 0)
        return vk_fail(err, result, "listing the Vulkan devices");
    qsort(*candidates, *count, sizeof **candidates, better_first);
    for (uint32_t i = 0; i < *count; i++)
        (*candidates)[i].info.index = i;
    return true;
}

static bool contains(const char *text, const char *part)
{
    size_t n = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* The UUID as 32 hex digits; dashes in what the user typed are skipped. */
static bool is_uuid(const uint8_t uuid[16], const char *text)
{
    char hex[33] = "", typed[33] = "";
    size_t n = 0;
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", uuid[i]);
    for (; *text && n < 32; text++)
        if (*text != '-')
            typed[n++] = (char)tolower((unsigned char)*text);
    return *text == 0 && strcmp(hex, typed) == 0;
}

static bool selects(const vkft_candidate *c, const char *selector)
{
    size_t digits = strspn(selector, "0123456789");
    if (is_uuid(c->info.uuid, selector)) /* which may have no letters, as that of a card on RADV */
        return true;
    return selector[digits] == 0 ? digits < 10 && strtoul(selector, NULL, 10) == c->info.index
                                 : contains(c->info.name, selector);
}

static void list_names(const vkft_candidate *candidates, uint32_t count, bool reasons, char *text, size_t size)
{
    text[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t at = strlen(text);
        snprintf(text + at, size - at, "%s%u: %s%s%s", i ? "; " : "", i, candidates[i].info.name, reasons ? ", " : "",
                 reasons ? candidates[i].info.why_not : "");
    }
}

const vkft_candidate *vkft_candidates_choose(const vkft_candidate *candidates, uint32_t count, const char *selector,
                                             vkft_err *err)
{
    char names[1500];
    const vkft_candidate *found = NULL;
    if (count == 0) {
        vkft_fail(err, VKFT_ERR_DEVICE,
                  "no Vulkan device found; install the GPU's driver (Debian and Ubuntu: "
                  "mesa-vulkan-drivers, which also has a software device)");
        return NULL;
    }
    if (!selector || strcmp(selector, "auto") == 0 || !*selector) {
        if (candidates[0].info.usable)
            return &candidates[0];
        list_names(candidates, count, true, names, sizeof names);
        vkft_fail(err, VKFT_ERR_DEVICE, "no usable Vulkan device: %s", names);
        return NULL;
    }
    list_names(candidates, count, false, names, sizeof names);
    for (uint32_t i = 0; i < count; i++) {
        if (!selects(&candidates[i], selector))
            continue;
        if (found) {
            vkft_fail(err, VKFT_ERR_DEVICE, "device \"%s\" matches more than one device: %s; use the number", selector,
                      names);
            return NULL;
        }
        found = &candidates[i];
    }
    if (!found)
        vkft_fail(err, VKFT_ERR_DEVICE, "device \"%s\" matches no device; there are: %s", selector, names);
    else if (!found->info.usable)
        vkft_fail(err, VKFT_ERR_DEVICE, "%s cannot be used: %s", found->info.name, found->info.why_not);
    return found && found->info.usable ? found : NULL;
}
