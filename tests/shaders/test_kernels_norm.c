/* RMSNorm and LayerNorm, forward and backward, at odd shapes; the checks are those of host/doctor/checks/norm.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/kernels/lab_test.h"

static void check_shapes(vkft_lab *lab, bool layer, float offset)
{
    static const uint32_t shapes[][2] = {{1, 1}, {1, 7}, {31, 8}, {3, 64}, {333, 37}, {5, 333}, {2, 1025}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        vkft_check_norm(lab, shapes[i][0], shapes[i][1], layer, offset, false);
        vkft_check_norm(lab, shapes[i][0], shapes[i][1], layer, offset, true);
    }
}

static void check_f16(vkft_lab *lab)
{
    static const uint32_t shapes[][2] = {{1, 1}, {3, 31}, {31, 8}, {9, 37}, {5, 333}, {2, 1025}};
    if (!vkft_lab_can_run(lab, VKFT_KERNEL_rmsnorm_f16))
        print_message("skipped: rows in f16, for which the device lacks 16-bit arithmetic\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int k = 0; k < 4; k++)
            vkft_check_norm_f16(lab, shapes[i][0], shapes[i][1], (float)(i % 2), k % 2, k / 2);
}

static void test_rmsnorm(void **state)
{
    check_shapes(*state, false, 0);
    check_shapes(*state, false, 1); /* gains stored less 1 */
    check_f16(*state);
}

static void test_layernorm(void **state)
{
    check_shapes(*state, true, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_rmsnorm, vkft_lab_verdict),
                                       cmocka_unit_test_teardown(test_layernorm, vkft_lab_verdict)};
    return cmocka_run_group_tests_name("kernels: norms", tests, vkft_lab_setup, vkft_lab_teardown);
}
