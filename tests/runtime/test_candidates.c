/* Devices as drivers describe them, by a Vulkan that is made up here: what is read from one, which queue is used, and
 * which one a selector means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/candidates.h"
#include "tests/support/expect.h"

static struct {
    uint32_t version; /* of Vulkan */
    bool lists_size_control;
    VkShaderStageFlags required_stages;
    uint32_t count; /* devices */
    uint8_t uuid[2][16];
    uint32_t family_count;
    VkQueueFamilyProperties families[4];
} made_up;

static VKAPI_ATTR VkResult VKAPI_CALL list(VkInstance instance, uint32_t *count, VkPhysicalDevice *devices)
{
    (void)instance;
    *count = made_up.count;
    for (uint32_t i = 0; devices && i < made_up.count; i++)
        devices[i] = (VkPhysicalDevice)(void *)made_up.uuid[i];
    return VK_SUCCESS;
}

static VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice device, VkPhysicalDeviceProperties2 *p)
{
    VkPhysicalDeviceLimits limits = {.maxPushConstantsSize = 128,
                                     .maxComputeWorkGroupInvocations = 1024,
                                     .maxComputeWorkGroupSize = {1024, 1024, 64},
                                     .maxComputeWorkGroupCount = {65535, 65535, 65535},
                                     .timestampComputeAndGraphics = VK_TRUE,
                                     .timestampPeriod = 10};
    p->properties.apiVersion = made_up.version;
    p->properties.deviceType = VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU;
    p->properties.limits = limits;
    snprintf(p->properties.deviceName, sizeof p->properties.deviceName, "Made Up 7900");
    for (VkBaseOutStructure *s = p->pNext; s; s = s->pNext) {
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES)
            memcpy(((VkPhysicalDeviceIDProperties *)s)->deviceUUID, (const void *)device, VK_UUID_SIZE);
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES)
            ((VkPhysicalDeviceMaintenance3Properties *)s)->maxMemoryAllocationSize = 1 << 30;
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES) {
            VkPhysicalDeviceSubgroupProperties *subgroup = (VkPhysicalDeviceSubgroupProperties *)s;
            subgroup->subgroupSize = 64;
            subgroup->supportedStages = VK_SHADER_STAGE_COMPUTE_BIT;
            subgroup->supportedOperations = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
        }
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES) {
            VkPhysicalDeviceSubgroupSizeControlProperties *sizes = (VkPhysicalDeviceSubgroupSizeControlProperties *)s;
            sizes->minSubgroupSize = 32;
            sizes->maxSubgroupSize = 64;
            sizes->maxComputeWorkgroupSubgroups = 32;
            sizes->requiredSubgroupSizeStages = made_up.required_stages;
        }
    }
}

static VKAPI_ATTR void VKAPI_CALL features(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *f)
{
    (void)device;
    for (VkBaseOutStructure *s = f->pNext; s; s = s->pNext) {
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES) {
            ((VkPhysicalDeviceVulkan12Features *)s)->bufferDeviceAddress = VK_TRUE;
            ((VkPhysicalDeviceVulkan12Features *)s)->scalarBlockLayout = VK_TRUE;
        }
        if (s->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES) {
            ((VkPhysicalDeviceSubgroupSizeControlFeatures *)s)->subgroupSizeControl = VK_TRUE;
            ((VkPhysicalDeviceSubgroupSizeControlFeatures *)s)->computeFullSubgroups = VK_TRUE;
        }
    }
}

static VKAPI_ATTR void VKAPI_CALL memory(VkPhysicalDevice device, VkPhysicalDeviceMemoryProperties2 *m)
{
    (void)device;
    m->memoryProperties.memoryHeapCount = 1;
    m->memoryProperties.memoryHeaps[0] = (VkMemoryHeap){.size = 8ull << 30, .flags = VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
}

static VKAPI_ATTR void VKAPI_CALL queues(VkPhysicalDevice device, uint32_t *count, VkQueueFamilyProperties *families)
{
    (void)device;
    *count = made_up.family_count;
    memcpy(families, made_up.families, *count * sizeof *families);
}

static VKAPI_ATTR VkResult VKAPI_CALL extensions(VkPhysicalDevice device, const char *layer, uint32_t *count,
                                                 VkExtensionProperties *all)
{
    (void)device, (void)layer;
    *count = made_up.lists_size_control;
    if (all && *count)
        *all = (VkExtensionProperties){.extensionName = VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME};
    return VK_SUCCESS;
}

#define FAMILY(flags, bits)                                                                                            \
    (VkQueueFamilyProperties)                                                                                          \
    {                                                                                                                  \
        .queueFlags = (flags), .queueCount = 1, .timestampValidBits = (bits)                                           \
    }
#define GRAPHICS (VK_QUEUE_GRAPHICS_BIT | VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT)
#define COMPUTE (VK_QUEUE_COMPUTE_BIT | VK_QUEUE_TRANSFER_BIT)

static int make_up(void **state)
{
    (void)state;
    memset(&made_up, 0, sizeof made_up);
    made_up.version = VK_API_VERSION_1_3;
    made_up.required_stages = VK_SHADER_STAGE_COMPUTE_BIT;
    made_up.count = 1;
    made_up.families[made_up.family_count++] = FAMILY(GRAPHICS, 64);
    return 0;
}

static vkft_candidate *candidates(void)
{
    const vkft_instance instance = {.vk = {.EnumeratePhysicalDevices = list,
                                           .GetPhysicalDeviceProperties2 = properties,
                                           .GetPhysicalDeviceFeatures2 = features,
                                           .GetPhysicalDeviceMemoryProperties2 = memory,
                                           .GetPhysicalDeviceQueueFamilyProperties = queues,
                                           .EnumerateDeviceExtensionProperties = extensions}};
    vkft_candidate *found;
    uint32_t count;
    vkft_err err;
    expect_ok(vkft_candidates_list(&instance, &found, &count, &err));
    assert_int_equal(count, made_up.count);
    return found;
}

static vkft_caps caps_now(void)
{
    vkft_candidate *found = candidates();
    vkft_caps caps = found->info.caps;
    if (!found->info.usable)
        fail_msg("%s", found->info.why_not);
    free(found);
    return caps;
}

/* A size of subgroups may be asked for where the driver can give one in compute shaders. */
static void test_subgroup_size(void **state)
{
    (void)state;
    vkft_caps caps = caps_now();
    assert_true(caps.subgroup_size_choice && vkft_caps_have(&caps, VKFT_CAP_SUBGROUP_CONTROL));
    assert_true(vkft_caps_subgroup_size(&caps, 128, 32) && !vkft_caps_subgroup_size(&caps, 128, 16));
    made_up.required_stages = VK_SHADER_STAGE_FRAGMENT_BIT;
    caps = caps_now();
    assert_true(!caps.subgroup_size_choice && vkft_caps_have(&caps, VKFT_CAP_SUBGROUP_CONTROL));
    assert_false(vkft_caps_subgroup_size(&caps, 128, 32));
}

/* Vulkan 1.2 has it as an extension. */
static void test_extension_of_1_2(void **state)
{
    (void)state;
    made_up.version = VK_API_VERSION_1_2;
    vkft_caps caps = caps_now();
    assert_false(vkft_caps_have(&caps, VKFT_CAP_SUBGROUP_CONTROL) || caps.subgroup_size_choice);
    assert_int_equal(caps.subgroup_min, 64);
    made_up.lists_size_control = true;
    caps = caps_now();
    assert_true(vkft_caps_have(&caps, VKFT_CAP_SUBGROUP_CONTROL) && caps.subgroup_size_choice);
    assert_int_equal(caps.subgroup_min, 32);
}

static void expect_queue(uint32_t family, uint32_t timestamp_bits)
{
    vkft_candidate *found = candidates();
    assert_int_equal(found->queue_family, family);
    assert_int_equal(found->info.caps.timestamp_bits, timestamp_bits);
    assert_int_equal(found->info.caps.timestamp_period_ns > 0, timestamp_bits > 0);
    assert_int_equal(found->info.usable, family != UINT32_MAX);
    free(found);
}

static void test_queue(void **state)
{
    (void)state;
    expect_queue(0, 64);
    made_up.families[1] = FAMILY(VK_QUEUE_TRANSFER_BIT, 64);
    made_up.families[2] = FAMILY(COMPUTE, 36);
    made_up.families[3] = FAMILY(COMPUTE, 64);
    made_up.family_count = 4;
    expect_queue(2, 36);
    made_up.families[2].timestampValidBits = 0;
    expect_queue(3, 64);
    made_up.family_count = 3; /* the only one for computing alone has no timestamps */
    expect_queue(0, 64);
    made_up.families[0].timestampValidBits = 0;
    expect_queue(2, 0);
    made_up.family_count = 0;
    expect_queue(UINT32_MAX, 0);
}

static const vkft_candidate *choose(const vkft_candidate *found, const char *selector)
{
    vkft_err err;
    const vkft_candidate *one = vkft_candidates_choose(found, made_up.count, selector, &err);
    if (!one)
        fail_msg("%s: %s", selector, err.message);
    return one;
}

/* The UUID of a card is its PCI address on RADV: often decimal digits alone. */
static void test_uuid_of_digits(void **state)
{
    (void)state;
    vkft_err err;
    made_up.count = 2;
    made_up.uuid[0][3] = 0x04;
    made_up.uuid[1][15] = 0x01;
    vkft_candidate *found = candidates(); /* those of one size in the order of their UUIDs */
    assert_int_equal(found[0].info.uuid[15], 1);
    assert_ptr_equal(choose(found, "00000000000000000000000000000001"), &found[0]);
    assert_ptr_equal(choose(found, "00000004000000000000000000000000"), &found[1]);
    assert_ptr_equal(choose(found, "00000004-0000-0000-0000-000000000000"), &found[1]);
    assert_ptr_equal(choose(found, "0"), &found[0]);
    assert_ptr_equal(choose(found, "1"), &found[1]);
    assert_ptr_equal(choose(found, "auto"), &found[0]);
    static const char *const nobody[] = {"00000000000000000000000000000000", "2", "4294967296", "18446744073709551617",
                                         "made down"};
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++)
        expect_failure(vkft_candidates_choose(found, 2, nobody[i], &err), "matches no device");
    expect_failure(vkft_candidates_choose(found, 2, "made up", &err), "matches more than one device");
    free(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_subgroup_size, make_up),
        cmocka_unit_test_setup(test_extension_of_1_2, make_up),
        cmocka_unit_test_setup(test_queue, make_up),
        cmocka_unit_test_setup(test_uuid_of_digits, make_up),
    };
    return cmocka_run_group_tests_name("candidates", tests, NULL, NULL);
}
