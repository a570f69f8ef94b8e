/* Gradients of parameters, sums over the tokens that used them and added to what is there, at odd shapes; the checks
 * are those of host/doctor/checks. That each is the gradient of the loss shows in the golden runs of full fine-tuning.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/kernels/lab_test.h"

static const uint32_t shapes[][2] = {{1, 1}, {1, 7}, {31, 8}, {333, 37}, {5, 333}, {2, 1025}};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void test_column_sum(void **state)
{
    for (size_t i = 0; i < SHAPES; i++)
        vkft_check_column_sum(*state, shapes[i][0], shapes[i][1]);
}

/* With each shape as that of W's rows and the rank, and as tokens and columns. */
static void test_dora(void **state)
{
    for (size_t i = 0; i < SHAPES; i++) {
        vkft_check_dora_factors(*state, shapes[i][0], shapes[i][1]);
        vkft_check_dora_factors(*state, shapes[i][1], shapes[i][0]);
        vkft_check_dora_magnitude(*state, shapes[i][0], shapes[i][1]);
    }
}

static void test_norm_gain(void **state)
{
    for (size_t i = 0; i < SHAPES; i++) {
        vkft_check_norm_gain(*state, shapes[i][0], shapes[i][1], false);
        vkft_check_norm_gain(*state, shapes[i][0], shapes[i][1], true);
    }
}

static void test_embedding(void **state)
{
    for (size_t i = 0; i < SHAPES; i++) {
        vkft_check_embedding_backward(*state, shapes[i][0], shapes[i][1], (uint32_t)i % 3);
        vkft_check_embedding_lora(*state, shapes[i][0], shapes[i][1]);
        vkft_check_token_rows(*state, shapes[i][0], shapes[i][1]);
        vkft_check_token_columns(*state, shapes[i][0], shapes[i][1]);
    }
    /* llvmpipe stops an invocation after 65535 loop iterations in total */
    vkft_check_embedding_backward(*state, 1500, 768, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_column_sum, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_dora, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_norm_gain, vkft_lab_verdict),
        cmocka_unit_test_teardown(test_embedding, vkft_lab_verdict),
    };
    return cmocka_run_group_tests_name("kernels: gradients of parameters", tests, vkft_lab_setup, vkft_lab_teardown);
}
