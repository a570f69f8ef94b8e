/* What is read of drivers that are not here: the test is the driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/vulkan/read_caps.h"
#include "tests/support/system/system.h"

static struct driver {
    uint32_t api;
    VkDriverId id;
    const char *info;
    uint32_t version, push_constants;
    const char *extensions[12];
    VkBool32 features; /* all that are asked for, or none */
    VkBool32 address, scalar;
    VkSubgroupFeatureFlags operations;
    VkCooperativeMatrixPropertiesKHR matrices[12];
    uint32_t matrix_count;
    VkResult listing, matrix_listing;
    VkExternalMemoryProperties host_buffers;
} driver;

static VKAPI_ATTR VkResult VKAPI_CALL list_extensions(VkPhysicalDevice device, const char *layer, uint32_t *count,
                                                      VkExtensionProperties *list)
{
    (void)device, (void)layer;
    uint32_t n = 0;
    for (; driver.extensions[n]; n++)
        if (list)
            snprintf(list[n].extensionName, sizeof list[n].extensionName, "%s", driver.extensions[n]);
    *count = n;
    return driver.listing;
}

static VKAPI_ATTR void VKAPI_CALL get_properties(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *properties)
{
    (void)device;
    VkPhysicalDeviceProperties *p = &properties->properties;
    p->apiVersion = driver.api;
    p->driverVersion = driver.version;
    p->limits.maxPushConstantsSize = driver.push_constants;
    p->limits.maxComputeWorkGroupInvocations = 1024;
    p->limits.maxComputeWorkGroupSize[0] = 512;
    for (VkBaseOutStructure *s = properties->pNext; s; s = s->pNext)
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES) {
            VkPhysicalDeviceDriverProperties *d = (VkPhysicalDeviceDriverProperties *)s;
            d->driverID = driver.id;
            snprintf(d->driverInfo, sizeof d->driverInfo, "%s", driver.info);
        } else if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES) {
            VkPhysicalDeviceSubgroupProperties *g = (VkPhysicalDeviceSubgroupProperties *)s;
            g->subgroupSize = 32;
            g->supportedStages = VK_SHADER_STAGE_COMPUTE_BIT;
            g->supportedOperations = driver.operations;
        }
}

/* A structure of features is its header and then nothing but VkBool32. */
static void set_all(VkBaseOutStructure *s, size_t size)
{
    for (size_t at = sizeof *s; at < size; at += sizeof(VkBool32))
        memcpy((char *)s + at, &driver.features, sizeof(VkBool32));
}

static VKAPI_ATTR void VKAPI_CALL get_features(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *features)
{
    (void)device;
    for (VkBaseOutStructure *s = features->pNext; s; s = s->pNext)
        switch ((uint32_t)s->sType) {
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES:
            set_all(s, sizeof(VkPhysicalDeviceVulkan11Features));
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES:
            set_all(s, sizeof(VkPhysicalDeviceVulkan12Features));
            ((VkPhysicalDeviceVulkan12Features *)s)->bufferDeviceAddress = driver.address;
            ((VkPhysicalDeviceVulkan12Features *)s)->scalarBlockLayout = driver.scalar;
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR:
            set_all(s, sizeof(VkPhysicalDeviceCooperativeMatrixFeaturesKHR));
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_2_FEATURES_NV:
            set_all(s, sizeof(VkPhysicalDeviceCooperativeMatrix2FeaturesNV));
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_BFLOAT16_FEATURES_KHR:
            set_all(s, sizeof(VkPhysicalDeviceShaderBfloat16FeaturesKHR));
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_MIXED_FLOAT_DOT_PRODUCT_FEATURES_VALVE:
            set_all(s, sizeof(VkPhysicalDeviceShaderMixedFloatDotProductFeaturesVALVE));
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR:
            set_all(s, sizeof(VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR));
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES:
            set_all(s, sizeof(VkPhysicalDeviceSubgroupSizeControlFeatures));
            break;
        case VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES:
            set_all(s, sizeof(VkPhysicalDeviceShaderIntegerDotProductFeatures));
            break;
        default: fail_msg("features of an unknown kind, %d", s->sType);
        }
}

static VKAPI_ATTR VkResult VKAPI_CALL list_matrices(VkPhysicalDevice device, uint32_t *count,
                                                    VkCooperativeMatrixPropertiesKHR *list)
{
    (void)device;
    *count = driver.matrix_count;
    for (uint32_t i = 0; list && i < *count; i++) {
        assert_int_equal(list[i].sType, VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR);
        list[i] = driver.matrices[i];
    }
    return list ? driver.matrix_listing : VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL get_external_buffers(VkPhysicalDevice device,
                                                       const VkPhysicalDeviceExternalBufferInfo *info,
                                                       VkExternalBufferProperties *properties)
{
    (void)device;
    assert_int_equal(info->handleType, VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT);
    assert_true(info->usage & VK_BUFFER_USAGE_STORAGE_BUFFER_BIT);
    properties->externalMemoryProperties = driver.host_buffers;
}

static const vk_functions vk = {.EnumerateDeviceExtensionProperties = list_extensions,
                                .GetPhysicalDeviceProperties2 = get_properties,
                                .GetPhysicalDeviceFeatures2 = get_features,
                                .GetPhysicalDeviceExternalBufferProperties = get_external_buffers,
                                .GetPhysicalDeviceCooperativeMatrixPropertiesKHR = list_matrices};

static void list_matrix(VkComponentTypeKHR operand, VkComponentTypeKHR sum, VkScopeKHR scope)
{
    driver.matrices[driver.matrix_count++] = (VkCooperativeMatrixPropertiesKHR){.MSize = 16,
                                                                                .NSize = 16,
                                                                                .KSize = 32,
                                                                                .AType = operand,
                                                                                .BType = operand,
                                                                                .CType = sum,
                                                                                .ResultType = sum,
                                                                                .scope = scope};
}

/* A card that has everything. */
static int set_up(void **state)
{
    (void)state;
    vkft_test_environment("VKFT_STATISTICS", "1");
    driver = (struct driver){
        .api = VK_API_VERSION_1_3,
        .id = VK_DRIVER_ID_NVIDIA_PROPRIETARY,
        .info = "580.65.06",
        .version = 580u << 22 | 65u << 14 | 6u << 6,
        .push_constants = 256,
        .extensions = {VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME, VK_NV_COOPERATIVE_MATRIX_2_EXTENSION_NAME,
                       VK_KHR_SHADER_BFLOAT16_EXTENSION_NAME, VK_VALVE_SHADER_MIXED_FLOAT_DOT_PRODUCT_EXTENSION_NAME,
                       VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME,
                       "VK_EXT_something_else"},
        .features = VK_TRUE,
        .address = VK_TRUE,
        .scalar = VK_TRUE,
        .operations =
            VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT | VK_SUBGROUP_FEATURE_SHUFFLE_BIT};
    list_matrix(VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT32_KHR, VK_SCOPE_SUBGROUP_KHR);
    return 0;
}

static vkft_caps read_caps(const char *why_not)
{
    vkft_caps caps;
    char said[120];
    vkft_caps_read(&vk, VK_NULL_HANDLE, &caps, said, sizeof said);
    assert_string_equal(said, why_not);
    return caps;
}

static void test_all(void **state)
{
    (void)state;
    vkft_caps caps = read_caps("");
    const uint32_t all = VKFT_CAP_FP16 | VKFT_CAP_BF16 | VKFT_CAP_FLOAT_DOT | VKFT_CAP_INT_DOT | VKFT_CAP_STATISTICS |
                         VKFT_CAP_COOPERATIVE_MATRIX | VKFT_CAP_COOPERATIVE_MATRIX2 | VKFT_CAP_MEMORY_BUDGET |
                         VKFT_CAP_SUBGROUP_CONTROL | VKFT_CAP_SUBGROUP_SHUFFLE;
    assert_int_equal(caps.set & all, all);
    assert_int_equal(caps.set & VKFT_CAP_HOST_MEMORY, 0); /* its extension is not listed */
    assert_int_equal(caps.driver_version, VKFT_DRIVER_VERSION(580, 65));
    assert_int_equal(caps.workgroup_invocations, 512);
    vkft_enabled enabled;
    vkft_caps_enable(&vk, VK_NULL_HANDLE, &caps, &enabled);
    assert_int_equal(enabled.extension_count, 6);
    assert_true(enabled.matrix.cooperativeMatrix && enabled.bf16.shaderBFloat16Type);
    assert_true(enabled.matrix2.cooperativeMatrixReductions && enabled.statistics.pipelineExecutableInfo);
    assert_false(enabled.vulkan12.descriptorIndexing); /* which nobody needs */
    vkft_test_environment("VKFT_STATISTICS", NULL);
    assert_int_equal(read_caps("").set & VKFT_CAP_STATISTICS, 0);
}

/* The extension is nothing where the driver imports no buffers with it. */
static void test_host_memory(void **state)
{
    (void)state;
    const VkExternalMemoryProperties none = {0},
                                     exported = {.externalMemoryFeatures = VK_EXTERNAL_MEMORY_FEATURE_EXPORTABLE_BIT,
                                                 .compatibleHandleTypes =
                                                     VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT},
                                     imported = {.externalMemoryFeatures = VK_EXTERNAL_MEMORY_FEATURE_IMPORTABLE_BIT,
                                                 .compatibleHandleTypes =
                                                     VK_EXTERNAL_MEMORY_HANDLE_TYPE_HOST_ALLOCATION_BIT_EXT};
    driver.extensions[0] = VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME;
    driver.host_buffers = none;
    assert_int_equal(read_caps("").set & VKFT_CAP_HOST_MEMORY, 0);
    driver.host_buffers = exported;
    assert_int_equal(read_caps("").set & VKFT_CAP_HOST_MEMORY, 0);
    driver.host_buffers = imported;
    assert_int_not_equal(read_caps("").set & VKFT_CAP_HOST_MEMORY, 0);
}

/* Without the features that they stand for, extensions are nothing. */
static void test_no_features(void **state)
{
    (void)state;
    driver.features = VK_FALSE;
    vkft_caps caps = read_caps("");
    assert_int_equal(caps.set & ~(uint32_t)(VKFT_CAP_MEMORY_BUDGET | VKFT_CAP_UNIFORM_LOADS),
                     VKFT_CAP_SUBGROUP_SHUFFLE);
    driver.listing = VK_ERROR_OUT_OF_HOST_MEMORY;
    driver.operations &= ~(VkSubgroupFeatureFlags)VK_SUBGROUP_FEATURE_SHUFFLE_BIT;
    assert_int_equal(read_caps("").set, VKFT_CAP_UNIFORM_LOADS);
}

static void test_matrices(void **state)
{
    (void)state;
    static const VkComponentTypeKHR types[] = {VK_COMPONENT_TYPE_BFLOAT16_KHR, VK_COMPONENT_TYPE_SINT8_KHR,
                                               VK_COMPONENT_TYPE_UINT8_KHR,    VK_COMPONENT_TYPE_SINT32_KHR,
                                               VK_COMPONENT_TYPE_UINT32_KHR,   (VkComponentTypeKHR)2 /* f64 */};
    static const char *const names[] = {"f16", "bf16", "s8", "u8", "s32", "u32", "other"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        list_matrix(types[i], VK_COMPONENT_TYPE_SINT32_KHR, VK_SCOPE_SUBGROUP_KHR);
    list_matrix(VK_COMPONENT_TYPE_FLOAT16_KHR, VK_COMPONENT_TYPE_FLOAT16_KHR, (VkScopeKHR)2 /* a workgroup */);
    vkft_caps caps = read_caps("");
    assert_int_equal(caps.matrix_shape_count, 7); /* those of one subgroup */
    for (uint32_t i = 0; i < 7; i++) {
        assert_string_equal(vkft_component_name(caps.matrix_shapes[i].a), names[i]);
        assert_string_equal(vkft_component_name(caps.matrix_shapes[i].result), i ? "s32" : "f32");
        assert_int_equal(caps.matrix_shapes[i].K, 32);
    }
    driver.matrix_listing = VK_ERROR_OUT_OF_HOST_MEMORY;
    assert_int_equal(read_caps("").set & (VKFT_CAP_COOPERATIVE_MATRIX | VKFT_CAP_COOPERATIVE_MATRIX2), 0);
}

static void test_below_the_floor(void **state)
{
    (void)state;
    driver.api = VK_API_VERSION_1_1;
    assert_int_equal(read_caps("it speaks Vulkan 1.1 and 1.2 is needed").set, 0);
    driver.api = VK_API_VERSION_1_2;
    driver.push_constants = 64;
    read_caps("it has fewer than 128 bytes of push constants");
    driver.operations = VK_SUBGROUP_FEATURE_BASIC_BIT;
    read_caps("it has no subgroup arithmetic in compute shaders");
    driver.scalar = VK_FALSE;
    read_caps("it has no scalarBlockLayout");
    driver.address = VK_FALSE;
    read_caps("it has no bufferDeviceAddress");
}

static void test_drivers(void **state)
{
    (void)state;
    static const struct {
        VkDriverId id;
        const char *info;
        uint32_t version;
        vkft_driver driver;
        uint32_t read;
    } rows[] = {
        {VK_DRIVER_ID_MESA_TURNIP, "Mesa 25.2.8-1", VK_MAKE_API_VERSION(0, 25, 2, 8), VKFT_DRIVER_TURNIP,
         VKFT_DRIVER_VERSION(25, 2)},
        {VK_DRIVER_ID_MESA_LLVMPIPE, "Mesa 26", 1, VKFT_DRIVER_LLVMPIPE, VKFT_DRIVER_VERSION(26, 0)},
        {VK_DRIVER_ID_AMD_PROPRIETARY, "24.9.1", VK_MAKE_API_VERSION(0, 2, 0, 313), VKFT_DRIVER_AMD_PROPRIETARY,
         VKFT_DRIVER_VERSION(2, 0)},
        {VK_DRIVER_ID_MOLTENVK, "1.2.9", VK_MAKE_API_VERSION(0, 0, 2, 2021), VKFT_DRIVER_OTHER,
         VKFT_DRIVER_VERSION(0, 2)},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        driver.id = rows[i].id, driver.info = rows[i].info, driver.version = rows[i].version;
        vkft_caps caps = read_caps("");
        assert_int_equal(caps.driver, rows[i].driver);
        assert_int_equal(caps.driver_version, rows[i].read);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_all, set_up),
                                       cmocka_unit_test_setup(test_host_memory, set_up),
                                       cmocka_unit_test_setup(test_no_features, set_up),
                                       cmocka_unit_test_setup(test_matrices, set_up),
                                       cmocka_unit_test_setup(test_below_the_floor, set_up),
                                       cmocka_unit_test_setup(test_drivers, set_up)};
    return cmocka_run_group_tests_name("read_caps", tests, NULL, NULL);
}
