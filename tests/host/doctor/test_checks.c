/* The doctor's checks of kernels: they pass on a device that computes right, and reach every kernel of the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "host/doctor/checks/attention.h"
#include "host/engine/matmul/gemm.h"
#include "shaders/elementwise/args.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/lab_test.h"
#include "tests/support/system/system.h"

/* Kernels that compute nothing for a run: of measurements, and of the opening of a device. */
static bool is_elsewhere(const char *name)
{
    return strncmp(name, "peak_", 5) == 0 || strcmp(name, "stream_copy") == 0 || strcmp(name, "subgroup") == 0;
}

/* Kernels of a strategy that suits other devices, whatever VKFT_STRATEGY names. */
static bool is_for_others(const vkft_caps *caps, const char *name)
{
    if (strstr(name, "lookup"))
        return !(caps->software && caps->subgroup_size == 8);
    return strstr(name, "panel64") && !(caps->software && vkft_caps_have(caps, VKFT_CAP_UNIFORM_LOADS));
}

/* Products with types of GGUF files, of which a software device checks a part. */
static bool is_sampled(const vkft_caps *caps, const char *name)
{
    const size_t length = strlen(name);
    for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT && caps->software; storage++) {
        const vkft_storage_type *type = vkft_storage_get(storage);
        const size_t ending = strlen(type->name);
        if (type->codec->whole_blocks && length > ending && name[length - ending - 1] == '_' &&
            strcmp(name + length - ending, type->name) == 0)
            return strncmp(name, "embedding", 9) != 0;
    }
    return false;
}

/* A software device computes it there for this test alone, and compiles small heads alone in reasonable time. */
static void check_attention_on_matrix_cores(vkft_lab *lab)
{
    static const vkft_attention_check shapes[] = {
        {.T = 50, .Hq = 4, .Hk = 2, .D = 8, .sequence = 50, .f16 = true},
        {.T = 77, .Hq = 2, .Hk = 1, .D = 16, .sequence = 40, .window = 9, .softcap = 1.5f, .holes = true, .f16 = true},
    };
    const vkft_kernel kernel = VKFT_KERNEL_attention_coop;
    if (!vkft_kernel_is_built(kernel) || !vkft_caps_have(vkft_device_get_caps(lab->dev), vkft_kernel_needs(kernel)))
        return;
    vkft_test_environment("VKFT_ATTENTION", "coop");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        vkft_check_attention(lab, &shapes[i]);
}

/* What is used on this kind of device, and by the switches for tests what is used on others: every kernel of the table
 * that can run here has a check, and passes it. */
static void test_every_kernel(void **state)
{
    static const char all[] = ""
#define X(name) "," #name
        VKFT_STRATEGIES(X)
#undef X
        ;
    vkft_lab *lab = *state;
    vkft_err err;
    vkft_test_environment("VKFT_STRATEGY", NULL);
    expect_ok(vkft_checks(lab, &err));
    vkft_test_environment("VKFT_STRATEGY", all + 1);
    vkft_checks_products(lab);
    vkft_test_environment("VKFT_STRATEGY", NULL);
    static const char *const attention[] = {"plain", "lanes:2"};
    for (size_t i = 0; i < sizeof attention / sizeof *attention; i++) {
        vkft_test_environment("VKFT_ATTENTION", attention[i]);
        vkft_checks_attention(lab);
    }
    check_attention_on_matrix_cores(lab);
    vkft_test_environment("VKFT_ATTENTION", NULL);
    if (vkft_lab_failure(lab))
        fail_msg("%s", vkft_lab_failure(lab)->what);
    assert_false(lab->lost);
    uint32_t missing = 0;
    for (uint32_t k = 0; k < VKFT_KERNEL_COUNT; k++) {
        const vkft_kernel kernel = (vkft_kernel)k;
        bool launched = is_elsewhere(vkft_kernel_name(kernel));
        for (uint32_t i = 0; i < lab->count; i++)
            launched |= vkft_kernel_set_has(&lab->verdicts[i].kernels, k);
        if (launched)
            continue;
        const vkft_caps *caps = vkft_device_get_caps(lab->dev);
        bool possible = vkft_kernel_is_built(kernel) && vkft_caps_have(caps, vkft_kernel_needs(kernel)) &&
                        !is_for_others(caps, vkft_kernel_name(kernel)) && !is_sampled(caps, vkft_kernel_name(kernel));
        if (possible)
            print_error("kernel %s has no check: add one in host/doctor/checks, and call it in vkft_checks\n",
                        vkft_kernel_name(kernel));
        else if (!is_sampled(caps, vkft_kernel_name(kernel)))
            print_message("kernel %s is beyond this device or build\n", vkft_kernel_name(kernel));
        missing += possible;
    }
    assert_int_equal(missing, 0);
}

/* One launch of fill, of which something else is expected than it does; its verdict. */
static bool fills(vkft_lab *lab, uint32_t n, double value, uint32_t expected)
{
    double want[3] = {value, value, value};
    vkft_lab_begin(lab, "fill");
    vkft_lab_array y = vkft_lab_output(lab, 3), part = {.address = y.address, .f = y.f, .count = expected};
    struct fill_args args = {.y = y.address, .n = n, .value = 2};
    vkft_lab_run(lab, VKFT_KERNEL_fill, &args, sizeof args, n, 1);
    vkft_lab_expect(lab, "y", part, want, 1e-6);
    vkft_lab_end(lab);
    bool right = !vkft_lab_failure(lab);
    assert_int_equal(lab->count, 1);
    lab->count = 0;
    return right;
}

static void test_wrong_results(void **state)
{
    vkft_lab *lab = *state;
    assert_true(fills(lab, 3, 2, 3));
    assert_false(fills(lab, 3, 2.1, 3));
    assert_false(fills(lab, 2, 2, 3)); /* NaN where nothing was written */
    assert_false(fills(lab, 3, 2, 2)); /* an element that nobody spoke of */
    assert_false(fills(lab, 4, 2, 3)); /* past the array */
    /* A wrong result is put right before the next kernel reads it. */
    vkft_lab_begin(lab, "fill and add");
    vkft_lab_array x = vkft_lab_output(lab, 3);
    const double three[3] = {3, 3, 3}, six[3] = {6, 6, 6};
    struct fill_args fill = {.y = x.address, .n = 3, .value = 2};
    vkft_lab_run(lab, VKFT_KERNEL_fill, &fill, sizeof fill, 3, 1);
    vkft_lab_expect(lab, "x", x, three, 0);
    struct add_args add = {.a = x.address, .b = x.address, .y = x.address, .n = 3};
    vkft_lab_run(lab, VKFT_KERNEL_add, &add, sizeof add, 3, 1);
    vkft_lab_expect(lab, "x", x, six, 0);
    vkft_lab_end(lab);
    assert_int_equal(lab->count, 2);
    assert_false(lab->verdicts[0].right);
    assert_true(lab->verdicts[1].right);
    assert_non_null(strstr(lab->verdicts[0].what, "fill and add: x[0] is 2, expected 3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wrong_results, vkft_lab_setup, vkft_lab_teardown),
        cmocka_unit_test_setup_teardown(test_every_kernel, vkft_lab_setup, vkft_lab_teardown),
    };
    return cmocka_run_group_tests_name("checks", tests, NULL, NULL);
}
