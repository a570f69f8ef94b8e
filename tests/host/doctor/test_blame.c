/* The kernels that are named for wrong runs are those that did it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/doctor/blame.h"

#define NONE UINT32_MAX

static vkft_verdict verdict(bool right, uint32_t a, uint32_t b)
{
    vkft_verdict v = {.right = right};
    vkft_kernel_set_add(&v.kernels, a);
    if (b != NONE)
        vkft_kernel_set_add(&v.kernels, b);
    return v;
}

static void expect_blamed(const vkft_verdict *verdicts, uint32_t count, const uint32_t *kernels, uint32_t blamed)
{
    const vkft_verdict *wrong[VKFT_KERNEL_COUNT];
    uint32_t found = 0;
    vkft_blame(verdicts, count, wrong);
    for (uint32_t k = 0; k < VKFT_KERNEL_COUNT; k++)
        found += wrong[k] != NULL;
    assert_int_equal(found, blamed);
    for (uint32_t i = 0; i < blamed; i++)
        assert_non_null(wrong[kernels[i]]);
}

static void test_blame(void **state)
{
    (void)state;
    const vkft_verdict right[] = {verdict(true, 0, 1), verdict(true, 2, NONE)};
    expect_blamed(right, 2, NULL, 0);
    expect_blamed(NULL, 0, NULL, 0);
    const vkft_verdict one[] = {verdict(true, 0, NONE), verdict(false, 1, NONE), verdict(true, 2, NONE)};
    expect_blamed(one, 3, (uint32_t[]){1}, 1);
    /* Decoders 1, 2, 3, each with the multiplication 70: it is wrong, or one decoder is. */
    const vkft_verdict all[] = {verdict(false, 1, 70), verdict(false, 2, 70), verdict(false, 3, 70)};
    expect_blamed(all, 3, (uint32_t[]){70}, 1);
    const vkft_verdict decoder[] = {verdict(true, 1, 70), verdict(false, 2, 70), verdict(true, 3, 70)};
    expect_blamed(decoder, 3, (uint32_t[]){2}, 1);
    /* Two that nothing tells apart, and one that is wrong at one shape only. */
    const vkft_verdict both[] = {verdict(false, 1, 2), verdict(true, 3, NONE)};
    expect_blamed(both, 2, (uint32_t[]){1, 2}, 2);
    const vkft_verdict shape[] = {verdict(true, 5, NONE), verdict(false, 5, NONE)};
    expect_blamed(shape, 2, (uint32_t[]){5}, 1);
    /* The first verdict is the one that is told. */
    const vkft_verdict *wrong[VKFT_KERNEL_COUNT];
    const vkft_verdict twice[] = {verdict(false, 5, NONE), verdict(false, 5, NONE)};
    vkft_blame(twice, 2, wrong);
    assert_ptr_equal(wrong[5], &twice[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blame)};
    return cmocka_run_group_tests_name("blame", tests, NULL, NULL);
}
