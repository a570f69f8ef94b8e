/* Rotation, embedding, rows, columns, biases, dropout and the two trivial kernels at odd shapes; the checks are those
 * of host/doctor/checks/elementwise.c and rows.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/doctor/reference/ops.h"
#include "tests/support/kernels/lab_test.h"

static void test_rope(void **state)
{
    vkft_check_rope(*state, 1, 1, 2, 2);
    vkft_check_rope(*state, 31, 3, 10, 10);
    vkft_check_rope(*state, 31, 3, 10, 4);
    vkft_check_rope(*state, 7, 9, 64, 48);
    vkft_check_rope(*state, 333, 1, 6, 6);
}

static void test_embedding(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {31, 7}, {3, 333}, {333, 8}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
            vkft_check_embedding(*state, storage, shapes[i][0], shapes[i][1]);
}

static void test_round_bf16(void **state)
{
    static const uint32_t sizes[] = {2, 30, 334, 40002};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        vkft_check_round_bf16(*state, sizes[i]);
    static const uint32_t runs[] = {1, 31, 333, 4001};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        vkft_check_stochastic_bf16(*state, runs[i]);
}

static void test_noise(void **state)
{
    static const uint32_t shapes[][2] = {{1, 1}, {31, 7}, {3, 333}, {333, 8}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        vkft_check_noise(*state, shapes[i][0], shapes[i][1]);
}

static void test_rows(void **state)
{
    vkft_check_rows(*state, 1, 1, 1);
    vkft_check_rows(*state, 31, 37, 9);
    vkft_check_rows(*state, 333, 5, 333);
}

static void test_philox_reference(void **state)
{
    (void)state;
    /* Known answers published with Random123. */
    uint32_t zero[4] = {0, 0, 0, 0};
    vkft_reference_philox(zero, 0, 0);
    assert_int_equal(zero[0], 0x6627e8d5u);
    assert_int_equal(zero[1], 0xe169c58du);
    assert_int_equal(zero[2], 0xbc57ac4cu);
    assert_int_equal(zero[3], 0x9b00dbd8u);
    uint32_t kept = 0, n = 40001;
    for (uint32_t i = 0; i < n; i++)
        kept += vkft_reference_dropout_word(0x9abcdef012345678ull, 3, 5, i) >= 0x40000000u;
    assert_true(fabs((double)kept / n - 0.75) < 5 * sqrt(0.75 * 0.25 / n));
}

static void test_dropout(void **state)
{
    static const uint32_t sizes[] = {1, 31, 333, 40001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        vkft_check_dropout(*state, sizes[i]);
}

static void test_fill_and_add(void **state)
{
    vkft_check_fill_and_add(*state, 1);
    vkft_check_fill_and_add(*state, 1027);
    vkft_check_subgroup(*state);
}

static void test_columns(void **state)
{
    vkft_check_columns(*state, 2, 1, 1, 1, 0);
    vkft_check_columns(*state, 31, 7, 1, 7, 13);
    vkft_check_columns(*state, 33, 5, 3, 15, 5); /* one part of a projection that is fused head by head */
    vkft_check_columns(*state, 3, 333, 1, 401, 0);
}

static void test_dora_rows(void **state)
{
    vkft_check_dora_rows(*state, 1, 1);
    vkft_check_dora_rows(*state, 31, 37);
    vkft_check_dora_rows(*state, 3, 333);
}

static void test_bias_rows(void **state)
{
    vkft_check_bias_rows(*state, 1, 1);
    vkft_check_bias_rows(*state, 31, 37);
    vkft_check_bias_rows(*state, 3, 333);
}

static void test_rows_f16(void **state)
{
    if (!vkft_lab_can_run(*state, VKFT_KERNEL_rows_f16))
        vkft_lab_skip("the device has no 16-bit floats");
    vkft_check_rows_f16(*state, 1, 1);
    vkft_check_rows_f16(*state, 31, 37);
    vkft_check_rows_f16(*state, 9, 333);
    vkft_check_rows_f16(*state, 7, 32);
    vkft_check_rows_f16_in_place(*state, 1, 32);
    vkft_check_rows_f16_in_place(*state, 31, 352);
    vkft_check_rows_f16_in_place(*state, 3, 2080);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_rope, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_columns, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_bias_rows, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_dora_rows, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_rows_f16, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_embedding, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_noise, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_round_bf16, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_rows, vkft_lab_verdict),
        cmocka_unit_test(test_philox_reference),
        cmocka_unit_test_teardown(test_dropout, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_fill_and_add, vkft_lab_verdict),
    };
    return cmocka_run_group_tests_name("kernels: elementwise", tests, vkft_lab_setup, vkft_lab_teardown);
}
