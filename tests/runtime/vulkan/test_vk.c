/* How results of Vulkan are told: by their names, with advice for those that have one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/vulkan/vk.h"

static void test_names(void **state)
{
    (void)state;
#define NAMED(result) assert_string_equal(vk_result_name(result), #result)
    NAMED(VK_ERROR_OUT_OF_HOST_MEMORY);
    NAMED(VK_ERROR_OUT_OF_DEVICE_MEMORY);
    NAMED(VK_ERROR_INITIALIZATION_FAILED);
    NAMED(VK_ERROR_DEVICE_LOST);
    NAMED(VK_ERROR_MEMORY_MAP_FAILED);
    NAMED(VK_ERROR_LAYER_NOT_PRESENT);
    NAMED(VK_ERROR_EXTENSION_NOT_PRESENT);
    NAMED(VK_ERROR_FEATURE_NOT_PRESENT);
    NAMED(VK_ERROR_INCOMPATIBLE_DRIVER);
    NAMED(VK_ERROR_TOO_MANY_OBJECTS);
    NAMED(VK_TIMEOUT);
    assert_string_equal(vk_result_name((VkResult)12345), "an unexpected Vulkan result");
}

static void test_failures(void **state)
{
    (void)state;
    static const struct {
        VkResult result;
        vkft_err_kind kind;
        vkft_advice advice;
        const char *said;
    } cases[] = {
        {VK_ERROR_OUT_OF_DEVICE_MEMORY, VKFT_ERR_MEMORY, VKFT_ADVICE_LESS_MEMORY,
         "waiting: VK_ERROR_OUT_OF_DEVICE_MEMORY; close other programs that use the device"},
        {VK_ERROR_OUT_OF_HOST_MEMORY, VKFT_ERR_MEMORY, VKFT_ADVICE_LESS_MEMORY,
         "waiting: VK_ERROR_OUT_OF_HOST_MEMORY; close other programs that use the device"},
        {VK_ERROR_DEVICE_LOST, VKFT_ERR_DEVICE_LOST, VKFT_ADVICE_NONE,
         "waiting: VK_ERROR_DEVICE_LOST: the driver reset the device; resume from the last checkpoint"},
        {VK_TIMEOUT, VKFT_ERR_DEVICE, VKFT_ADVICE_NONE, "waiting: VK_TIMEOUT (2)"},
        {(VkResult)-1000, VKFT_ERR_DEVICE, VKFT_ADVICE_NONE, "waiting: an unexpected Vulkan result (-1000)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err = {0};
        assert_false(vk_fail(&err, cases[i].result, "waiting"));
        assert_int_equal(err.kind, cases[i].kind);
        assert_int_equal(err.advice, cases[i].advice);
        if (strncmp(err.message, cases[i].said, strlen(cases[i].said)) != 0)
            fail_msg("\"%s\", expected \"%s\"", err.message, cases[i].said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_failures)};
    return cmocka_run_group_tests_name("vk", tests, NULL, NULL);
}
