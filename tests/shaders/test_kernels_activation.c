/* Activations, gated and plain, and the soft cap at odd shapes; the checks are those of
 * host/doctor/checks/elementwise.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "shaders/elementwise/args.h"
#include "tests/support/kernels/lab_test.h"

_Static_assert(VKFT_ACT_SILU == ACTIVATION_SILU && VKFT_ACT_GELU == ACTIVATION_GELU &&
                   VKFT_ACT_GELU_TANH == ACTIVATION_GELU_TANH && VKFT_ACT_RELU == ACTIVATION_RELU,
               "C and GLSL number activations alike");

static const uint32_t sizes[] = {1, 31, 333, 4099};

static void check_f16(vkft_lab *lab)
{
    static const uint32_t shapes[][2] = {{1, 1}, {3, 31}, {31, 37}, {5, 333}, {2, 1025}};
    if (!vkft_lab_can_run(lab, VKFT_KERNEL_gated_f16))
        print_message("skipped: rows in f16, for which the device lacks 16-bit arithmetic\n");
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int both = 0; both < 2; both++)
            vkft_check_gated_f16(lab, shapes[i][0], shapes[i][1], (vkft_activation)(i % 4), both);
}

static void test_activations(void **state)
{
    static const vkft_activation all[] = {VKFT_ACT_SILU, VKFT_ACT_GELU, VKFT_ACT_GELU_TANH, VKFT_ACT_RELU};
    for (size_t a = 0; a < 4; a++)
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            vkft_check_gated(*state, sizes[k], all[a]);
            vkft_check_activation(*state, sizes[k], all[a]);
        }
    check_f16(*state);
}

static void test_softcap(void **state)
{
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
        vkft_check_softcap(*state, sizes[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(test_activations, vkft_lab_verdict),
                                       cmocka_unit_test_teardown(test_softcap, vkft_lab_verdict)};
    return cmocka_run_group_tests_name("kernels: activations", tests, vkft_lab_setup, vkft_lab_teardown);
}
