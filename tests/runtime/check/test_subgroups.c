/* A driver that splits the workgroups of rows into several subgroups is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/check/subgroups.h"
#include "runtime/device_cache.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"

/* Opening has passed, and left what it found. */
static void test_passed(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    size_t size;
    char *stored = vkft_device_cache_read(f->dev, "subgroups", &size);
    expect_ok(vkft_subgroups_check(f->dev, &err));
    if (stored)
        assert_non_null(strstr(stored, " width "));
    free(stored);
}

/* Kernels twice as wide as a subgroup, as where a driver compiles them narrower than it says. */
static void test_split(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_caps *caps = (vkft_caps *)(uintptr_t)vkft_device_get_caps(f->dev);
    const vkft_caps as_read = *caps;
    if (caps->subgroup_max > caps->subgroup_size) {
        print_message("skipped: the device may run the wider workgroup as one subgroup, too\n");
        skip();
    }
    caps->subgroup_size *= 2;
    caps->set &= ~(uint32_t)VKFT_CAP_SUBGROUP_CONTROL;
    expect_failure(vkft_subgroups_check(f->dev, &err), "as 2 subgroups of ");
    expect_failure(vkft_subgroups_check(f->dev, &err), "as 2 subgroups of "); /* it is not taken for passed */
    *caps = as_read;
    expect_ok(vkft_subgroups_check(f->dev, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passed), cmocka_unit_test(test_split)};
    return cmocka_run_group_tests_name("subgroups", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
