/* See read_caps.h. */
#include "runtime/vulkan/read_caps.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Extensions that are enabled where they exist, and the capability that each is for. */
static const struct extension {
    const char *name;
    uint32_t cap;  /* 0: enabled wherever it is listed */
    uint32_t core; /* part of Vulkan from this version on; 0: never */
} extensions[] = {
    {"VK_KHR_portability_subset", 0, 0},
    {VK_EXT_MEMORY_BUDGET_EXTENSION_NAME, VKFT_CAP_MEMORY_BUDGET, 0},
    {VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME, VKFT_CAP_SUBGROUP_CONTROL, VK_API_VERSION_1_3},
    {VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, VKFT_CAP_INT_DOT, VK_API_VERSION_1_3},
    {VK_VALVE_SHADER_MIXED_FLOAT_DOT_PRODUCT_EXTENSION_NAME, VKFT_CAP_FLOAT_DOT, 0},
    {VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME, VKFT_CAP_BF16, 0},
    {VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, VKFT_CAP_COOPERATIVE_MATRIX, 0},
    {VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME, VKFT_CAP_COOPERATIVE_MATRIX2, 0},
    {VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME, VKFT_CAP_HOST_MEMORY, 0},
    {VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, VKFT_CAP_STATISTICS, 0},
};
#define EXTENSION_COUNT (sizeof extensions / sizeof *extensions)
_Static_assert(EXTENSION_COUNT <= VKFT_MAX_EXTENSIONS, "vkft_enabled has room for all extensions");

/* Which of the table's extensions the driver lists, as a set of bits by row. */
static uint32_t list_extensions(const vk_functions *vk, VkPhysicalDevice device)
{
    uint32_t count = 0, listed = 0;
    VkExtensionProperties *all = NULL;
    if (vk->EnumerateDeviceExtensionProperties(device, NULL, &count, NULL) == VK_SUCCESS)
        all = calloc(count + 1ull, sizeof *all);
    if (!all || vk->EnumerateDeviceExtensionProperties(device, NULL, &count, all) < 0)
        count = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t e = 0; e < EXTENSION_COUNT; e++)
            if (strcmp(all[i].extensionName, extensions[e].name) == 0)
                listed |= 1u << e;
    free(all);
    return listed;
}

/* Capabilities whose extension is listed or part of the version. */
static uint32_t reachable(uint32_t listed, uint32_t api_version)
{
    uint32_t set = 0;
    for (uint32_t e = 0; e < EXTENSION_COUNT; e++)
        if ((listed & 1u << e) || (extensions[e].core && api_version >= extensions[e].core))
            set |= extensions[e].cap;
    return set;
}

/* Chains the structures of the features that belong to `set`, all of them off. */
static void chain(vkft_enabled *e, uint32_t set)
{
    *e = (vkft_enabled){0};
    VkBaseOutStructure *last = (VkBaseOutStructure *)&e->features;
    e->features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
#define LINK(member, type)                                                                                             \
    do {                                                                                                               \
        e->member.sType = (type);                                                                                      \
        last->pNext = (VkBaseOutStructure *)&e->member;                                                                \
        last = last->pNext;                                                                                            \
    } while (0)
    LINK(vulkan11, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES);
    LINK(vulkan12, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES);
    if (set & VKFT_CAP_SUBGROUP_CONTROL)
        LINK(subgroup, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES);
    if (set & VKFT_CAP_INT_DOT)
        LINK(integer_dot, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES);
    if (set & VKFT_CAP_FLOAT_DOT)
        LINK(float_dot, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_MIXED_FLOAT_DOT_PRODUCT_FEATURES_VALVE);
    if (set & VKFT_CAP_BF16)
        LINK(bf16, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR);
    if (set & VKFT_CAP_COOPERATIVE_MATRIX)
        LINK(matrix, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR);
    if (set & VKFT_CAP_COOPERATIVE_MATRIX2)
        LINK(matrix2, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV);
    if (set & VKFT_CAP_STATISTICS)
        LINK(statistics, VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR);
#undef LINK
}

/* Each capability and the features that it stands for. */
#define FEATURES(X)                                                                                                    \
    X(FP16, vulkan12.shaderFloat16)                                                                                    \
    X(INT8, vulkan12.shaderInt8)                                                                                       \
    X(INT64, features.features.shaderInt64)                                                                            \
    X(STORAGE_8, vulkan12.storageBuffer8BitAccess)                                                                     \
    X(STORAGE_16, vulkan11.storageBuffer16BitAccess)                                                                   \
    X(TIMELINE, vulkan12.timelineSemaphore)                                                                            \
    X(SUBGROUP_CONTROL, subgroup.subgroupSizeControl)                                                                  \
    X(SUBGROUP_CONTROL, subgroup.computeFullSubgroups)                                                                 \
    X(INT_DOT, integer_dot.shaderIntegerDotProduct)                                                                    \
    X(FLOAT_DOT, float_dot.shaderMixedFloatDotProductFloat16AccFloat32)                                                \
    X(BF16, bf16.shaderBFloat16Type)                                                                                   \
    X(COOPERATIVE_MATRIX, matrix.cooperativeMatrix)                                                                    \
    X(COOPERATIVE_MATRIX, vulkan12.vulkanMemoryModel)                                                                  \
    X(COOPERATIVE_MATRIX2, matrix2.cooperativeMatrixWorkgroupScope)                                                    \
    X(COOPERATIVE_MATRIX2, matrix2.cooperativeMatrixFlexibleDimensions)                                                \
    X(COOPERATIVE_MATRIX2, matrix2.cooperativeMatrixReductions)                                                        \
    X(COOPERATIVE_MATRIX2, matrix2.cooperativeMatrixConversions)                                                       \
    X(COOPERATIVE_MATRIX2, matrix2.cooperativeMatrixPerElementOperations)                                              \
    X(COOPERATIVE_MATRIX2, matrix2.cooperativeMatrixTensorAddressing)                                                  \
    X(COOPERATIVE_MATRIX2, matrix2.cooperativeMatrixBlockLoads)                                                        \
    X(STATISTICS, statistics.pipelineExecutableInfo)

/* Capabilities that no extension stands for: the version's own, and what every driver has unless a quirk says
 * otherwise. */
#define OF_EVERY_DRIVER                                                                                                \
    (VKFT_CAP_FP16 | VKFT_CAP_INT8 | VKFT_CAP_INT64 | VKFT_CAP_STORAGE_8 | VKFT_CAP_STORAGE_16 | VKFT_CAP_TIMELINE |   \
     VKFT_CAP_UNIFORM_LOADS | VKFT_CAP_SUBGROUP_SHUFFLE)

static const char *missing_feature(const vkft_enabled *has, const VkPhysicalDeviceSubgroupProperties *s,
                                   uint32_t push_constants)
{
    const VkSubgroupFeatureFlags subgroup = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    if (!has->vulkan12.bufferDeviceAddress)
        return "it has no bufferDeviceAddress";
    if (!has->vulkan12.scalarBlockLayout)
        return "it has no scalarBlockLayout";
    if ((s->supportedOperations & subgroup) != subgroup || !(s->supportedStages & VK_SHADER_STAGE_COMPUTE_BIT))
        return "it has no subgroup arithmetic in compute shaders";
    if (push_constants < 128)
        return "it has fewer than 128 bytes of push constants";
    return NULL;
}

static vkft_component component(VkComponentTypeKHR type)
{
    switch ((uint32_t)type) {
    case VK_COMPONENT_TYPE_FLOAT16_KHR: return VKFT_COMPONENT_F16;
    case VK_COMPONENT_TYPE_BFLOAT16_KHR: return VKFT_COMPONENT_BF16;
    case VK_COMPONENT_TYPE_FLOAT32_KHR: return VKFT_COMPONENT_F32;
    case VK_COMPONENT_TYPE_SINT8_KHR: return VKFT_COMPONENT_S8;
    case VK_COMPONENT_TYPE_UINT8_KHR: return VKFT_COMPONENT_U8;
    case VK_COMPONENT_TYPE_SINT32_KHR: return VKFT_COMPONENT_S32;
    case VK_COMPONENT_TYPE_UINT32_KHR: return VKFT_COMPONENT_U32;
    default: return VKFT_COMPONENT_OTHER;
    }
}

/* The shapes of one subgroup, as the driver lists them; without any the capability goes. */
static void read_matrix_shapes(const vk_functions *vk, VkPhysicalDevice device, vkft_caps *caps)
{
    uint32_t count = 0;
    VkCooperativeMatrixPropertiesKHR *list = NULL;
    if (!(caps->set & VKFT_CAP_COOPERATIVE_MATRIX) || !vk->GetPhysicalDeviceCooperativeMatrixPropertiesKHR)
        goto done;
    if (vk->GetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, NULL) == VK_SUCCESS)
        list = calloc(count + 1ull, sizeof *list);
    for (uint32_t i = 0; list && i < count; i++)
        list[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    if (!list || vk->GetPhysicalDeviceCooperativeMatrixPropertiesKHR(device, &count, list) < 0)
        count = 0;
    for (uint32_t i = 0; i < count && caps->matrix_shape_count < VKFT_MAX_MATRIX_SHAPES; i++) {
        const VkCooperativeMatrixPropertiesKHR *p = &list[i];
        if (p->scope == VK_SCOPE_SUBGROUP_KHR)
            caps->matrix_shapes[caps->matrix_shape_count++] = (vkft_matrix_shape){
                p->MSize,
                p->NSize,
                p->KSize,
                component(p->AType),
                component(p->BType),
                component(p->CType),
                component(p->ResultType),
                p->saturatingAccumulation,
            };
    }
    free(list);
done:
    if (!caps->matrix_shape_count)
        caps->set &= ~(uint32_t)(VKFT_CAP_COOPERATIVE_MATRIX | VKFT_CAP_COOPERATIVE_MATRIX2);
}

/* Mesa's drivers number driverVersion each in its own way, and Mesa's version is what their bugs go by. */
static uint32_t driver_version(const VkPhysicalDeviceDriverProperties *driver, uint32_t number)
{
    if (strncmp(driver->driverInfo, "Mesa ", 5) == 0) {
        char *end;
        unsigned long major = strtoul(driver->driverInfo + 5, &end, 10);
        return VKFT_DRIVER_VERSION(major, *end == '.' ? strtoul(end + 1, NULL, 10) : 0);
    }
    if (driver->driverID == VK_DRIVER_ID_NVIDIA_PROPRIETARY)
        return VKFT_DRIVER_VERSION(number >> 22, number >> 14 & 0xff);
    return VKFT_DRIVER_VERSION(VK_API_VERSION_MAJOR(number), VK_API_VERSION_MINOR(number));
}

static vkft_driver driver_of(VkDriverId id)
{
    switch ((uint32_t)id) {
    case VK_DRIVER_ID_MESA_LLVMPIPE: return VKFT_DRIVER_LLVMPIPE;
    case VK_DRIVER_ID_AMD_PROPRIETARY: return VKFT_DRIVER_AMD_PROPRIETARY;
    case VK_DRIVER_ID_MESA_TURNIP: return VKFT_DRIVER_TURNIP;
    default: return VKFT_DRIVER_OTHER;
    }
}

/* Limits, and the driver; returns the version of Vulkan. */
static uint32_t read_properties(const vk_functions *vk, VkPhysicalDevice device, uint32_t set, vkft_caps *caps,
                                VkPhysicalDeviceSubgroupProperties *subgroup, uint32_t *push_constants)
{
    VkPhysicalDeviceSubgroupSizeControlProperties sizes = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES, .pNext = subgroup};
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host = {
        .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT,
        .pNext = set & VKFT_CAP_SUBGROUP_CONTROL ? (void *)&sizes : (void *)subgroup};
    VkPhysicalDeviceDriverProperties driver = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES,
                                               .pNext = set & VKFT_CAP_HOST_MEMORY ? &host : host.pNext};
    VkPhysicalDeviceProperties2 properties = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                              .pNext = &driver};
    vk->GetPhysicalDeviceProperties2(device, &properties);
    const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
    caps->driver = driver_of(driver.driverID);
    caps->driver_version = driver_version(&driver, properties.properties.driverVersion);
    caps->vendor_id = properties.properties.vendorID;
    caps->software = properties.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    caps->subgroup_size = subgroup->subgroupSize;
    caps->subgroup_min = sizes.minSubgroupSize ? sizes.minSubgroupSize : subgroup->subgroupSize;
    caps->subgroup_max = sizes.maxSubgroupSize ? sizes.maxSubgroupSize : subgroup->subgroupSize;
    caps->subgroup_size_choice = sizes.requiredSubgroupSizeStages & VK_SHADER_STAGE_COMPUTE_BIT;
    caps->workgroup_subgroups = sizes.maxComputeWorkgroupSubgroups;
    caps->shared_memory_bytes = limits->maxComputeSharedMemorySize;
    caps->workgroup_invocations = limits->maxComputeWorkGroupInvocations < limits->maxComputeWorkGroupSize[0]
                                      ? limits->maxComputeWorkGroupInvocations
                                      : limits->maxComputeWorkGroupSize[0];
    memcpy(caps->workgroups, limits->maxComputeWorkGroupCount, sizeof caps->workgroups);
    caps->timestamp_period_ns = limits->timestampComputeAndGraphics ? limits->timestampPeriod : 0;
    caps->host_memory_alignment = host.minImportedHostPointerAlignment;
    *push_constants = limits->maxPushConstantsSize;
    return properties.properties.apiVersion;
}

/* A driver may list the extension and import host memory for images alone. */
static bool imports_buffers(const vk_functions *vk, VkPhysicalDevice device)
{
    const VkPhysicalDeviceExternalBufferInfo info = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_BUFFER_INFO,
                                                     .usage = VKFT_BUFFER_USAGE,
                                                     .handleType =
                                                         VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT};
    VkExternalBufferProperties may = {.sType = VK_STRUCTURE_TYPE_EXTERNAL_BUFFER_PROPERTIES};
    vk->GetPhysicalDeviceExternalBufferProperties(device, &info, &may);
    return (may.externalMemoryProperties.compatibleHandleTypes & info.handleType) &&
           (may.externalMemoryProperties.externalMemoryFeatures & VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT);
}

void vkft_caps_read(const vk_functions *vk, VkPhysicalDevice device, vkft_caps *caps, char *why_not,
                    size_t why_not_size)
{
    VkPhysicalDeviceSubgroupProperties subgroup = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES};
    VkPhysicalDeviceProperties2 version = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2};
    uint32_t push_constants;
    *caps = (vkft_caps){0};
    why_not[0] = 0;
    vk->GetPhysicalDeviceProperties2(device, &version);
    caps->set = reachable(list_extensions(vk, device), version.properties.apiVersion);
    uint32_t api = read_properties(vk, device, caps->set, caps, &subgroup, &push_constants);
    caps->set |= OF_EVERY_DRIVER;
    if (!getenv("VKFT_STATISTICS")) /* drivers may keep more of a pipeline for it */
        caps->set &= ~(uint32_t)VKFT_CAP_STATISTICS;
    vkft_caps_apply(caps, vkft_quirks, vkft_quirk_count);
    if (api < VK_API_VERSION_1_2) {
        caps->set = 0;
        snprintf(why_not, why_not_size, "it speaks Vulkan %u.%u and 1.2 is needed", VK_API_VERSION_MAJOR(api),
                 VK_API_VERSION_MINOR(api));
        return;
    }
    vkft_enabled has;
    chain(&has, caps->set);
    vk->GetPhysicalDeviceFeatures2(device, &has.features);
#define X(cap, feature)                                                                                                \
    if (!has.feature)                                                                                                  \
        caps->set &= ~(uint32_t)VKFT_CAP_##cap;
    FEATURES(X)
#undef X
    if (!(subgroup.supportedOperations & VK_SUBGROUP_FEATURE_SHUFFLE_BIT))
        caps->set &= ~(uint32_t)VKFT_CAP_SUBGROUP_SHUFFLE;
    read_matrix_shapes(vk, device, caps);
    if ((caps->set & VKFT_CAP_HOST_MEMORY) && !imports_buffers(vk, device))
        caps->set &= ~(uint32_t)VKFT_CAP_HOST_MEMORY;
    const char *missing = missing_feature(&has, &subgroup, push_constants);
    if (missing)
        snprintf(why_not, why_not_size, "%s", missing);
}

void vkft_caps_enable(const vk_functions *vk, VkPhysicalDevice device, const vkft_caps *caps, vkft_enabled *enabled)
{
    chain(enabled, caps->set);
    enabled->vulkan12.bufferDeviceAddress = VK_TRUE;
    enabled->vulkan12.scalarBlockLayout = VK_TRUE;
#define X(cap, feature)                                                                                                \
    if (caps->set & VKFT_CAP_##cap)                                                                                    \
        enabled->feature = VK_TRUE;
    FEATURES(X)
#undef X
    uint32_t listed = list_extensions(vk, device);
    for (uint32_t e = 0; e < EXTENSION_COUNT; e++)
        if ((listed & 1u << e) && (!extensions[e].cap || (caps->set & extensions[e].cap))) {
            assert(enabled->extension_count < VKFT_MAX_EXTENSIONS);
            enabled->extensions[enabled->extension_count++] = extensions[e].name;
        }
}
