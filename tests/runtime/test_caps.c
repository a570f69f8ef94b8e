/* What devices can do, and what quirks take away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

/* A device with everything, of this driver and version, after quirks.def. */
static vkft_caps after_quirks(vkft_driver driver, uint32_t version)
{
    vkft_caps caps = {.set = (1u << VKFT_CAP_COUNT) - 1, .driver = driver, .driver_version = version};
    vkft_caps_apply(&caps, vkft_quirks, vkft_quirk_count);
    return caps;
}

static void test_quirks(void **state)
{
    (void)state;
    const uint32_t all = (1u << VKFT_CAP_COUNT) - 1;
    vkft_caps old = after_quirks(VKFT_DRIVER_LLVMPIPE, VKFT_DRIVER_VERSION(24, 3));
    assert_int_equal(old.set, all & ~(uint32_t)VKFT_CAP_UNIFORM_LOADS);
    assert_int_equal(old.loop_limit, 65535);
    vkft_caps new = after_quirks(VKFT_DRIVER_LLVMPIPE, VKFT_DRIVER_VERSION(25, 0));
    assert_int_equal(new.set, all);
    assert_int_equal(new.loop_limit, 65535);
    vkft_caps amd = after_quirks(VKFT_DRIVER_AMD_PROPRIETARY, VKFT_DRIVER_VERSION(2, 0));
    assert_int_equal(amd.set, all & ~(uint32_t)(VKFT_CAP_COOPERATIVE_MATRIX | VKFT_CAP_INT_DOT));
    vkft_caps adreno = {
        .driver = VKFT_DRIVER_TURNIP, .subgroup_size = 128, .subgroup_min = 64, .subgroup_size_choice = true};
    vkft_caps_apply(&adreno, vkft_quirks, vkft_quirk_count);
    assert_int_equal(adreno.subgroup_size, 64);
    adreno = (vkft_caps){.driver = VKFT_DRIVER_TURNIP, .subgroup_size = 128, .subgroup_min = 64};
    vkft_caps_apply(&adreno, vkft_quirks, vkft_quirk_count);
    assert_int_equal(adreno.subgroup_size, 128); /* it cannot be asked for */
    vkft_caps other = after_quirks(VKFT_DRIVER_OTHER, VKFT_DRIVER_VERSION(22, 3));
    assert_int_equal(other.set, all);
    assert_int_equal(other.loop_limit, 0);
    for (size_t i = 0; i < vkft_quirk_count; i++)
        assert_true(vkft_quirks[i].source[0] != 0 && vkft_quirks[i].from < vkft_quirks[i].to);
}

static void test_forbidden_strategies(void **state)
{
    (void)state;
    static const vkft_quirk quirks[] = {
        {.driver = VKFT_DRIVER_OTHER,
         .from = VKFT_DRIVER_VERSION(1, 2),
         .to = VKFT_DRIVER_VERSION(1, 3),
         .skips = "panel"},
        {.driver = VKFT_DRIVER_OTHER, .from = 0, .to = UINT32_MAX, .skips = "matrix"},
    };
    vkft_caps caps = {.driver_version = VKFT_DRIVER_VERSION(1, 2)},
              later = {.driver_version = VKFT_DRIVER_VERSION(1, 3)};
    vkft_caps_apply(&caps, quirks, 2);
    vkft_caps_apply(&later, quirks, 2);
    assert_false(vkft_caps_allow_strategy(&caps, "panel"));
    assert_false(vkft_caps_allow_strategy(&caps, "matrix"));
    assert_true(vkft_caps_allow_strategy(&caps, "direct"));
    assert_true(vkft_caps_allow_strategy(&later, "panel"));
    assert_false(vkft_caps_allow_strategy(&later, "matrix"));
}

static void test_names(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(vkft_caps_names(VKFT_CAP_FP16 | VKFT_CAP_INT8, text, sizeof text), "fp16, int8");
    assert_string_equal(vkft_caps_names(0, text, sizeof text), "");
    assert_string_equal(vkft_caps_names(VKFT_CAP_FP16 | VKFT_CAP_INT8, text, 8), "fp16, i");
}

static void test_needs(void **state)
{
    (void)state;
    vkft_err err;
    const vkft_caps caps = {.set = VKFT_CAP_FP16 | VKFT_CAP_STORAGE_16};
    expect_ok(vkft_caps_meet(&caps, 0, "add", "card", &err));
    expect_ok(vkft_caps_meet(&caps, VKFT_CAP_FP16, "add", "card", &err));
    expect_failure(vkft_caps_meet(&caps, VKFT_CAP_FP16 | VKFT_CAP_COOPERATIVE_MATRIX, "matrix_nt", "card", &err),
                   "kernel matrix_nt needs cooperative_matrix, which card does not have");
}

/* A counter of 36 bits wraps every hour. */
static void test_ticks(void **state)
{
    (void)state;
    vkft_caps caps = {.timestamp_bits = 36, .timestamp_period_ns = 50};
    assert_true(vkft_caps_ticks_ms(&caps, 1000, 21000) == 1);
    assert_true(vkft_caps_ticks_ms(&caps, (UINT64_C(1) << 36) - 5000, 15000) == 1);
    caps.timestamp_bits = 64;
    assert_true(vkft_caps_ticks_ms(&caps, UINT64_MAX - 4999, 15000) == 1);
}

/* What every device must say of itself once it is open. */
static void test_open_device(void **state)
{
    const vkft_kernel_fixture *f = *state;
    const vkft_caps *caps = vkft_device_get_caps(f->dev);
    assert_true(caps->subgroup_size >= 1 && (caps->subgroup_size & (caps->subgroup_size - 1)) == 0);
    assert_true(caps->subgroup_min <= caps->subgroup_size && caps->subgroup_size <= caps->subgroup_max);
    assert_true(caps->workgroup_invocations >= 128 && caps->shared_memory_bytes >= 16384);
    assert_true(caps->workgroups[0] >= 65535);
    assert_int_equal(caps->timestamp_bits > 0, caps->timestamp_period_ns > 0);
    assert_true(getenv("VKFT_STATISTICS") || !vkft_caps_have(caps, VKFT_CAP_STATISTICS)); /* only when asked for */
    assert_int_equal(caps->matrix_shape_count > 0, vkft_caps_have(caps, VKFT_CAP_COOPERATIVE_MATRIX));
    if (caps->driver == VKFT_DRIVER_LLVMPIPE) {
        assert_true(caps->software && caps->loop_limit == 65535);
        assert_true(caps->driver_version >= VKFT_DRIVER_VERSION(20, 0) &&
                    caps->driver_version < VKFT_DRIVER_VERSION(100, 0));
        assert_int_equal(vkft_caps_have(caps, VKFT_CAP_UNIFORM_LOADS),
                         caps->driver_version >= VKFT_DRIVER_VERSION(25, 0));
    }
}

/* Which subgroups a pipeline can have. */
static void test_subgroup_size(void **state)
{
    (void)state;
    vkft_caps caps = {.set = VKFT_CAP_SUBGROUP_CONTROL,
                      .subgroup_size = 64,
                      .subgroup_min = 32,
                      .subgroup_max = 64,
                      .subgroup_size_choice = true,
                      .workgroup_subgroups = 8,
                      .workgroup_invocations = 1024};
    assert_true(vkft_caps_subgroup_size(&caps, 256, 32));
    assert_true(vkft_caps_subgroup_size(&caps, 512, 64));
    assert_false(vkft_caps_subgroup_size(&caps, 256, 16));
    assert_false(vkft_caps_subgroup_size(&caps, 512, 32)); /* 16 subgroups */
    assert_false(vkft_caps_subgroup_size(&caps, 96, 64));
    assert_false(vkft_caps_subgroup_size(&caps, 2048, 64));
    caps.subgroup_size_choice = false; /* nothing can be asked: only a device with one size is sure of it */
    assert_false(vkft_caps_subgroup_size(&caps, 256, 64));
    caps.subgroup_min = 64;
    assert_true(vkft_caps_subgroup_size(&caps, 256, 64));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quirks),      cmocka_unit_test(test_forbidden_strategies),
        cmocka_unit_test(test_names),       cmocka_unit_test(test_needs),
        cmocka_unit_test(test_ticks),       cmocka_unit_test(test_subgroup_size),
        cmocka_unit_test(test_open_device),
    };
    return cmocka_run_group_tests_name("caps", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
