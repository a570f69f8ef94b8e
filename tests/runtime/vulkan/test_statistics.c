/* What is read of a compiled kernel, from a driver that says what a test wants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/vulkan/statistics.h"
#include "tests/support/system/system.h"

static struct {
    VkResult executables, statistics, representations;
    uint32_t texts; /* of the representations; the last one is binary */
} driver;

static VKAPI_ATTR VkResult VKAPI_CALL get_executables(VkDevice device, const VkPipelineInfoKHR *pipeline,
                                                      uint32_t *count, VkPipelineExecutablePropertiesKHR *properties)
{
    (void)device, (void)pipeline;
    assert_int_equal(*count, 1);
    properties->subgroupSize = 32;
    return driver.executables;
}

static VKAPI_ATTR VkResult VKAPI_CALL get_statistics(VkDevice device, const VkPipelineExecutableInfoKHR *executable,
                                                     uint32_t *count, VkPipelineExecutableStatisticKHR *list)
{
    (void)device, (void)executable;
    static const struct {
        const char *name;
        VkPipelineExecutableStatisticFormatKHR format;
        VkPipelineExecutableStatisticValueKHR value;
    } rows[] = {{"Spills", VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR, {.i64 = -3}},
                {"Registers", VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR, {.u64 = 96}},
                {"Divergent", VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR, {.b32 = VK_TRUE}},
                {"Throughput", VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR, {.f64 = 0.5}}};
    assert_true(*count >= sizeof rows / sizeof *rows);
    *count = sizeof rows / sizeof *rows;
    for (uint32_t i = 0; i < *count; i++) {
        assert_int_equal(list[i].sType, VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR);
        snprintf(list[i].name, sizeof list[i].name, "%s", rows[i].name);
        list[i].format = rows[i].format;
        list[i].value = rows[i].value;
    }
    return driver.statistics;
}

static VKAPI_ATTR VkResult VKAPI_CALL get_representations(VkDevice device,
                                                          const VkPipelineExecutableInfoKHR *executable,
                                                          uint32_t *count,
                                                          VkPipelineExecutableInternalRepresentationKHR *list)
{
    (void)device, (void)executable;
    if (*count > driver.texts + 1)
        *count = driver.texts + 1;
    for (uint32_t i = 0; i < *count; i++) {
        char text[16];
        snprintf(text, sizeof text, "step %u", i);
        list[i].isText = i < driver.texts;
        list[i].dataSize = strlen(text) + 1;
        if (list[i].pData)
            memcpy(list[i].pData, text, list[i].dataSize);
    }
    return driver.representations;
}

static const vk_functions vk = {.GetPipelineExecutablePropertiesKHR = get_executables,
                                .GetPipelineExecutableStatisticsKHR = get_statistics,
                                .GetPipelineExecutableInternalRepresentationsKHR = get_representations};

static int reset(void **state)
{
    (void)state;
    memset(&driver, 0, sizeof driver);
    driver.texts = 2;
    vkft_test_environment("VKFT_STATISTICS", "1");
    return 0;
}

static void test_values(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_kernel_statistics s = {0};
    assert_true(vk_read_statistics(&vk, VK_NULL_HANDLE, VK_NULL_HANDLE, &s, &err));
    assert_int_equal(s.subgroup_size, 32);
    assert_int_equal(s.count, 4);
    assert_string_equal(s.list[0].name, "Spills");
    assert_true(s.list[0].value == -3 && s.list[1].value == 96 && s.list[2].value == 1 && s.list[3].value == 0.5);
    assert_null(s.code);
}

static void test_code(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_kernel_statistics s = {0};
    vkft_test_environment("VKFT_STATISTICS", "code");
    assert_true(vk_read_statistics(&vk, VK_NULL_HANDLE, VK_NULL_HANDLE, &s, &err));
    assert_string_equal(s.code, "step 1"); /* the last text */
    free(s.code);
    driver.texts = 0;
    assert_true(vk_read_statistics(&vk, VK_NULL_HANDLE, VK_NULL_HANDLE, &s, &err));
    assert_null(s.code);
    driver.texts = 1;
    driver.representations = VK_ERROR_OUT_OF_HOST_MEMORY; /* the numbers are still good */
    assert_true(vk_read_statistics(&vk, VK_NULL_HANDLE, VK_NULL_HANDLE, &s, &err));
    assert_null(s.code);
    assert_int_equal(s.count, 4);
}

static void test_failures(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_kernel_statistics s = {0};
    driver.executables = VK_ERROR_OUT_OF_HOST_MEMORY;
    assert_false(vk_read_statistics(&vk, VK_NULL_HANDLE, VK_NULL_HANDLE, &s, &err));
    assert_int_equal(err.kind, VKFT_ERR_MEMORY);
    driver.executables = VK_SUCCESS;
    driver.statistics = VK_ERROR_DEVICE_LOST;
    assert_false(vk_read_statistics(&vk, VK_NULL_HANDLE, VK_NULL_HANDLE, &s, &err));
    assert_non_null(strstr(err.message, "a kernel's statistics"));
}

/* Pipelines keep nothing unless they are asked to, and code only for those who read it. */
static void test_flags(void **state)
{
    (void)state;
    vkft_caps caps = {0};
    assert_int_equal(vk_statistics_flags(&caps), 0);
    caps.set = VKFT_CAP_STATISTICS;
    assert_int_equal(vk_statistics_flags(&caps), VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR);
    vkft_test_environment("VKFT_STATISTICS", "code");
    assert_int_equal(vk_statistics_flags(&caps), VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR |
                                                     VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_values, reset), cmocka_unit_test_setup(test_code, reset),
        cmocka_unit_test_setup(test_failures, reset), cmocka_unit_test_setup(test_flags, reset)};
    return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
