/* Listing, choosing and opening devices. */
#include "runtime/device.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef _WIN32
#include <unistd.h>
#endif

#include "runtime/instance.h"
#include "runtime/runtime_private.h"

typedef struct candidate {
    VkPhysicalDevice physical;
    vkft_device_info info;
    bool subgroup_size_control, memory_budget, portability;
} candidate;

static bool has_extension(const VkExtensionProperties *extensions, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(extensions[i].extensionName, name) == 0)
            return true;
    return false;
}

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

/* Memory that the system could give to a program now; UINT64_MAX when it does not tell. */
static uint64_t available_host_bytes(void)
{
#if defined(_SC_AVPHYS_PAGES) && !defined(__linux__)
    return (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
#elif defined(__linux__)
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long long kib = 0;
    char line[128];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "MemAvailable: %llu kB", &kib) == 1;
    if (file)
        fclose(file);
    return found ? (uint64_t)kib * 1024 : UINT64_MAX;
#else
    return UINT64_MAX;
#endif
}

static void read_memory(const vk_functions *vk, candidate *c)
{
    VkPhysicalDeviceMemoryBudgetPropertiesEXT budget = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT};
    VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2,
                                                .pNext = c->memory_budget ? &budget : NULL};
    vk->GetPhysicalDeviceMemoryProperties2(c->physical, &memory);
    const VkPhysicalDeviceMemoryProperties *m = &memory.memoryProperties;
    uint32_t heap = 0;
    for (uint32_t i = 0; i < m->memoryHeapCount; i++) {
        bool local = m->memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT;
        if (local && m->memoryHeaps[i].size > c->info.memory_bytes) {
            c->info.memory_bytes = m->memoryHeaps[i].size;
            heap = i;
        }
    }
    c->info.memory_free_bytes = c->info.memory_bytes;
    if (c->memory_budget && budget.heapBudget[heap] > budget.heapUsage[heap])
        c->info.memory_free_bytes = budget.heapBudget[heap] - budget.heapUsage[heap];
    if (c->info.type == VKFT_DEVICE_CPU || c->info.type == VKFT_DEVICE_INTEGRATED) {
        uint64_t available = available_host_bytes();
        if (available < c->info.memory_free_bytes)
            c->info.memory_free_bytes = available;
    }
    bool visible = false;
    for (uint32_t i = 0; i < m->memoryTypeCount; i++) {
        const VkMemoryPropertyFlags wanted = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT |
                                             VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
        visible =
            visible || ((m->memoryTypes[i].propertyFlags & wanted) == wanted && m->memoryTypes[i].heapIndex == heap);
    }
    c->info.unified_memory = visible && (c->info.type == VKFT_DEVICE_CPU || c->info.type == VKFT_DEVICE_INTEGRATED);
}

static const char *missing_feature(const VkPhysicalDeviceVulkan12Features *f,
                                   const VkPhysicalDeviceSubgroupProperties *s, uint32_t push_constants)
{
    const VkSubgroupFeatureFlags subgroup = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    if (!f->bufferDeviceAddress)
        return "it has no bufferDeviceAddress";
    if (!f->scalarBlockLayout)
        return "it has no scalarBlockLayout";
    if ((s->supportedOperations & subgroup) != subgroup || !(s->supportedStages & VK_SHADER_STAGE_COMPUTE_BIT))
        return "it has no subgroup arithmetic in compute shaders";
    if (push_constants < 128)
        return "it has fewer than 128 bytes of push constants";
    return NULL;
}

static void read_device(const vk_functions *vk, candidate *c)
{
    uint32_t count = 0;
    VkExtensionProperties *extensions = NULL;
    if (vk->EnumerateDeviceExtensionProperties(c->physical, NULL, &count, NULL) == VK_SUCCESS)
        extensions = calloc(count + 1ull, sizeof *extensions);
    if (!extensions || vk->EnumerateDeviceExtensionProperties(c->physical, NULL, &count, extensions) < 0)
        count = 0;
    c->memory_budget = has_extension(extensions, count, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
    c->portability = has_extension(extensions, count, "VK_KHR_portability_subset");
    c->info.bf16 = has_extension(extensions, count, "VK_KHR_shader_bfloat16");
    c->info.cooperative_matrix = has_extension(extensions, count, "VK_KHR_cooperative_matrix");
    c->info.cooperative_matrix2 = has_extension(extensions, count, "VK_NV_cooperative_matrix2");

    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceMaintenance3Properties maintenance = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES, .pNext = &subgroup};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
                                               .pNext = &maintenance};
    VkPhysicalDeviceIDProperties id = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES, .pNext = &driver};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &id};
    vk->GetPhysicalDeviceProperties2(c->physical, &properties);
    const VkPhysicalDeviceProperties *p = &properties.properties;
    vkft_device_info *info = &c->info;
    snprintf(info->name, sizeof info->name, "%s", p->deviceName);
    snprintf(info->driver, sizeof info->driver, "%.120s %.120s", driver.driverName, driver.driverInfo);
    snprintf(info->api_version, sizeof info->api_version, "%u.%u.%u", VK_API_VERSION_MAJOR(p->apiVersion),
             VK_API_VERSION_MINOR(p->apiVersion), VK_API_VERSION_PATCH(p->apiVersion));
    memcpy(info->uuid, id.deviceUUID, sizeof info->uuid);
    info->type = device_type(p->deviceType);
    info->vendor_id = p->vendorID;
    info->max_allocation_bytes = maintenance.maxMemoryAllocationSize;
    info->subgroup_size = subgroup.subgroupSize;
    info->shared_memory_bytes = p->limits.maxComputeSharedMemorySize;
    info->timestamp_period_ns = p->limits.timestampComputeAndGraphics ? p->limits.timestampPeriod : 0;

    if (p->apiVersion < VK_API_VERSION_1_2) {
        snprintf(info->why_not, sizeof info->why_not, "it speaks Vulkan %s and 1.2 is needed", info->api_version);
    } else {
        VkPhysicalDeviceSubgroupSizeControlFeatures control = {
            .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
        VkPhysicalDeviceVulkan12Features features12 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES};
        VkPhysicalDeviceVulkan11Features features11 = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES,
                                                       .pNext = &features12};
        VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2,
                                              .pNext = &features11};
        if (p->apiVersion >= VK_API_VERSION_1_3)
            features12.pNext = &control;
        vk->GetPhysicalDeviceFeatures2(c->physical, &features);
        c->subgroup_size_control = control.subgroupSizeControl && control.computeFullSubgroups;
        info->fp16 = features12.shaderFloat16 && features11.storageBuffer16BitAccess;
        const char *missing = missing_feature(&features12, &subgroup, p->limits.maxPushConstantsSize);
        if (missing)
            snprintf(info->why_not, sizeof info->why_not, "%s", missing);
    }
    info->usable = info->why_not[0] == 0;
    info->tier = vkft_kernels_best_tier();
    free(extensions);
    read_memory(vk, c);
}

static int better_first(const void *pa, const void *pb)
{
    const vkft_device_info *a = &((const candidate *)pa)->info, *b = &((const candidate *)pb)->info;
    if (a->usable != b->usable)
        return a->usable ? -1 : 1;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->memory_bytes != b->memory_bytes)
        return a->memory_bytes > b->memory_bytes ? -1 : 1;
    return memcmp(a->uuid, b->uuid, sizeof a->uuid);
}

/* All devices in listing order; *candidates is malloc'ed. */
static bool enumerate(const vkft_instance *instance, candidate **candidates, uint32_t *count, vkft_err *err)
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

bool vkft_device_list(vkft_device_info **infos, uint32_t *count, vkft_err *err)
{
    vkft_instance instance;
    candidate *candidates = NULL;
    *infos = NULL;
    if (!vkft_instance_open(&instance, err))
        return false;
    bool ok = enumerate(&instance, &candidates, count, err);
    if (ok) {
        *infos = calloc(*count + 1ull, sizeof **infos);
        ok = *infos || vkft_fail_memory(err, "while listing devices");
        for (uint32_t i = 0; ok && i < *count; i++)
            (*infos)[i] = candidates[i].info;
    }
    free(candidates);
    vkft_instance_close(&instance);
    return ok;
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

static bool selects(const candidate *c, const char *selector)
{
    if (selector[strspn(selector, "0123456789")] == 0)
        return strtoul(selector, NULL, 10) == c->info.index;
    return is_uuid(c->info.uuid, selector) || contains(c->info.name, selector);
}

static void list_names(const candidate *candidates, uint32_t count, bool reasons, char *text, size_t size)
{
    text[0] = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t at = strlen(text);
        snprintf(text + at, size - at, "%s%u: %s%s%s", i ? "; " : "", i, candidates[i].info.name, reasons ? ", " : "",
                 reasons ? candidates[i].info.why_not : "");
    }
}

static const candidate *choose(const candidate *candidates, uint32_t count, const char *selector, vkft_err *err)
{
    char names[1500];
    const candidate *found = NULL;
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
            vkft_fail(err, VKFT_ERR_DEVICE, "--device \"%s\" matches more than one device: %s; use the number",
                      selector, names);
            return NULL;
        }
        found = &candidates[i];
    }
    if (!found)
        vkft_fail(err, VKFT_ERR_DEVICE, "--device \"%s\" matches no device; there are: %s", selector, names);
    else if (!found->info.usable)
        vkft_fail(err, VKFT_ERR_DEVICE, "%s cannot be used: %s", found->info.name, found->info.why_not);
    return found && found->info.usable ? found : NULL;
}

static bool find_queue(vkft_device *dev, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    VkQueueFamilyProperties families[32];
    uint32_t count = 32, best = UINT32_MAX;
    vk->GetPhysicalDeviceQueueFamilyProperties(dev->physical, &count, families);
    for (uint32_t i = 0; i < count; i++)
        if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) && best == UINT32_MAX)
            best = i;
    if (best == UINT32_MAX)
        return vkft_fail(err, VKFT_ERR_DEVICE, "%s has no compute queue", dev->info.name);
    dev->queue_family = best;
    if (families[best].timestampValidBits == 0)
        dev->info.timestamp_period_ns = 0;
    return true;
}

static bool create_device(vkft_device *dev, const candidate *c, vkft_err *err)
{
    const vk_functions *vk = &dev->instance.vk;
    const float priority = 1;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
                                           .queueFamilyIndex = dev->queue_family,
                                           .queueCount = 1,
                                           .pQueuePriorities = &priority};
    VkPhysicalDeviceSubgroupSizeControlFeatures control = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES,
        .subgroupSizeControl = VK_TRUE,
        .computeFullSubgroups = VK_TRUE};
    VkPhysicalDeviceVulkan12Features features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES,
                                                 .pNext = c->subgroup_size_control ? &control : NULL,
                                                 .bufferDeviceAddress = VK_TRUE,
                                                 .scalarBlockLayout = VK_TRUE};
    const char *extensions[2];
    uint32_t extension_count = 0;
    if (c->portability)
        extensions[extension_count++] = "VK_KHR_portability_subset";
    if (c->memory_budget)
        extensions[extension_count++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
    const VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO,
                                     .pNext = &features,
                                     .queueCreateInfoCount = 1,
                                     .pQueueCreateInfos = &queue,
                                     .enabledExtensionCount = extension_count,
                                     .ppEnabledExtensionNames = extensions};
    VkResult result = vk->CreateDevice(dev->physical, &info, NULL, &dev->handle);
    if (result != VK_SUCCESS)
        return vk_fail(err, result, "opening the device");
    vk_load_device(&dev->instance.vk, dev->handle);
    vk->GetDeviceQueue(dev->handle, dev->queue_family, 0, &dev->queue);
    return true;
}

static bool open_device(vkft_device *dev, const char *selector, vkft_err *err)
{
    candidate *candidates = NULL;
    uint32_t count;
    if (!vkft_instance_open(&dev->instance, err))
        return false;
    const candidate *c = NULL;
    if (enumerate(&dev->instance, &candidates, &count, err))
        c = choose(candidates, count, selector, err);
    bool ok = c != NULL;
    if (ok) {
        const vk_functions *vk = &dev->instance.vk;
        dev->physical = c->physical;
        dev->info = c->info;
        dev->subgroup_size_control = c->subgroup_size_control;
        dev->memory_budget = c->memory_budget;
        VkPhysicalDeviceMemoryProperties2 memory = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2};
        vk->GetPhysicalDeviceMemoryProperties2(dev->physical, &memory);
        dev->memory = memory.memoryProperties;
        ok = find_queue(dev, err) && create_device(dev, c, err) && vkft_kernels_init(dev, err);
    }
    free(candidates);
    return ok;
}

vkft_device *vkft_device_open(const char *selector, vkft_err *err)
{
    vkft_device *dev = calloc(1, sizeof *dev);
    if (!dev) {
        vkft_fail_memory(err, "while opening the device");
        return NULL;
    }
    if (open_device(dev, selector, err))
        return dev;
    vkft_device_close(dev);
    return NULL;
}

void vkft_device_close(vkft_device *dev)
{
    if (!dev)
        return;
    const vk_functions *vk = &dev->instance.vk;
    if (dev->handle) {
        vk->DeviceWaitIdle(dev->handle);
        vkft_memory_free(dev);
        vkft_kernels_free(dev);
        vk->DestroyDevice(dev->handle, NULL);
    }
    vkft_instance_close(&dev->instance);
    free(dev);
}

const vkft_device_info *vkft_device_get_info(const vkft_device *dev)
{
    return &dev->info;
}

uint64_t vkft_device_free_bytes(const vkft_device *dev)
{
    candidate c = {.physical = dev->physical, .info = {.type = dev->info.type}, .memory_budget = dev->memory_budget};
    read_memory(&dev->instance.vk, &c);
    return c.info.memory_free_bytes;
}
