/* A driver that crashes at a kernel, never returns, or loses the device: the doctor says where, and ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "tests/faults/broken_kernel.h"

static void test_crash(void **state)
{
    const broken_kernel *f = *state;
    assert_int_equal(broken_kernel_run(f, "crash:none/adamw.comp", "doctor --device 0"), 1);
    broken_kernel_expect(f, "out",
                         ": not usable: the driver crashed: signal 11 (Segmentation fault), in: adamw, 1 parameters");
}

/* A device that is lost, or has no memory left, in the middle. */
static void test_lost(void **state)
{
    const broken_kernel *f = *state;
    assert_int_equal(broken_kernel_run(f, "lost:none/rope.comp", "doctor --device 0 --quick"), 1);
    broken_kernel_expect(f, "out", ": not usable: ");
    broken_kernel_expect(f, "out", "VK_ERROR_DEVICE_LOST");
    assert_int_equal(broken_kernel_run(f, "memory:none/rope.comp", "doctor --device 0 --quick"), 1);
    broken_kernel_expect(f, "out", "VK_ERROR_OUT_OF_DEVICE_MEMORY");
}

static void test_hang(void **state)
{
    const broken_kernel *f = *state;
    assert_int_equal(broken_kernel_run(f, "hang:none/softcap.comp", "doctor --device 0 --timeout 12"), 1);
    broken_kernel_expect(f, "out",
                         ": not usable: the driver did not answer for 12 s and was ended, in: softcap, 1 elements");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crash), cmocka_unit_test(test_lost),
                                       cmocka_unit_test(test_hang)};
    return cmocka_run_group_tests_name("broken devices", tests, broken_kernel_setup, broken_kernel_teardown);
}
