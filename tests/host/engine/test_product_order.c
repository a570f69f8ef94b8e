/* A product waits for those that write what it reads, its matrix too, and runs beside others. Nothing is run here: a
 * software device computes one launch after the other, and would be right without any barrier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/system/system.h"

#define SIZE 8u
#define PLACE(number) ((1ull << 40) + (number)*0x10000ull) /* of a matrix */
enum { X, W, MADE, OTHER, RESULT };

/* Of Y = X W^T at MADE, and then of RESULT = x w^T. */
static uint32_t barriers(const vkft_kernel_fixture *f, uint64_t x, uint64_t w)
{
    const vkft_weight first = {.storage = VKFT_STORAGE_f32, .rows = SIZE, .cols = SIZE, .part = {PLACE(W)}},
                      second = {.storage = VKFT_STORAGE_f32, .rows = SIZE, .cols = SIZE, .part = {w}};
    const vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = f->cmds, .scratch = PLACE(100), .scratch_bytes = 1 << 20};
    vkft_commands_reset(f->cmds);
    vkft_multiply(
        &ctx, &(vkft_product){.w = &first, .transposed = true, .M = SIZE, .X = PLACE(X), .Y = PLACE(MADE), .scale = 1});
    vkft_multiply(&ctx,
                  &(vkft_product){.w = &second, .transposed = true, .M = SIZE, .X = x, .Y = PLACE(RESULT), .scale = 1});
    uint32_t count = vkft_commands_barrier_count(f->cmds);
    vkft_commands_reset(f->cmds);
    return count;
}

static void test_order(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_test_environment("VKFT_STRATEGY", "direct"); /* which needs no scratch for few rows */
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
    vkft_test_environment("VKFT_STRATEGY", NULL);
    assert_int_equal(barriers(f, PLACE(X), PLACE(OTHER)), 1);
    assert_int_equal(barriers(f, PLACE(MADE), PLACE(OTHER)), 2);
    assert_int_equal(barriers(f, PLACE(X), PLACE(MADE)), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
    return cmocka_run_group_tests_name("product order", tests, vkft_kernel_setup, vkft_kernel_teardown);
}
