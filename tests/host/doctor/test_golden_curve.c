/* The doctor's training run has the losses that are stored; VKFT_GOLDEN=print prints those of this device. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/doctor/golden.h"
#include "host/engine/matmul/gemm.h"
#include "tests/support/expect.h"

static void ignore(void *context, const vkft_doctor_line *line)
{
    (void)context;
    if (getenv("VKFT_GOLDEN"))
        print_message("%s %s %s\n", line->kind, line->a, line->b);
}

static void print(vkft_dtype compute, const vkft_doctor_listener *to)
{
    vkft_err err;
    double losses[VKFT_GOLDEN_STEPS];
    expect_ok(vkft_golden_run(getenv("VKFT_DEVICE"), compute, to, losses, &err));
    printf("%s", vkft_dtype_name(compute));
    for (uint32_t i = 0; i < VKFT_GOLDEN_STEPS; i++)
        printf(", %.9f", losses[i]);
    printf("\n");
}

static void test_curve(void **state)
{
    (void)state;
    vkft_err err;
    const vkft_doctor_listener to = {.line = ignore};
    const char *mode = getenv("VKFT_GOLDEN");
    if (mode && strcmp(mode, "print") == 0) {
        print(VKFT_F32, &to);
        print(VKFT_BF16, &to);
        print(VKFT_F16, &to);
        return;
    }
    vkft_device *dev = vkft_device_open(getenv("VKFT_DEVICE"), &err);
    if (!dev)
        fail_msg("%s", err.message);
    bool f16 = vkft_gemm_has_f16(vkft_device_get_caps(dev));
    vkft_device_close(dev);
    expect_ok(vkft_doctor_train(getenv("VKFT_DEVICE"), f16, &to, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_curve)};
    return cmocka_run_group_tests_name("golden curve", tests, NULL, NULL);
}
