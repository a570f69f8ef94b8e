/* Gradients of parameters: sums over the tokens that used them, against double references, added to what is there. That
 * each is the gradient of the loss shows in the golden runs of full fine-tuning.
 *
 * Tolerance: sums of up to 333 products of order 1 in f32, in order: 333 * 6e-8 relative to the sum of magnitudes, 2e-5
 * at most.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "shaders/elementwise/args.h"
#include "shaders/embedding/args.h"
#include "shaders/norm/args.h"
#include "tests/support/kernel_test.h"

#define TOLERANCE 2e-5

static const uint32_t shapes[][2] = {{1, 1}, {1, 7}, {31, 8}, {333, 37}, {5, 333}, {2, 1025}};
#define SHAPES (sizeof shapes / sizeof *shapes)

static void check_column_sum(const vkft_kernel_fixture *f, uint32_t T, uint32_t C)
{
    float *x = vkft_random_array(1, T * C), *before = vkft_random_array(2, C), *got = malloc(C * sizeof *got);
    double *want = vkft_widen(before, C);
    for (uint32_t i = 0; i < T * C; i++)
        want[i % C] += 0.5 * (double)x[i];
    vkft_guarded bx = vkft_guarded_floats(f, x, T * C), by = vkft_guarded_floats(f, before, C);
    struct column_sum_args args = {.x = bx.address, .y = by.address, .T = T, .C = C, .scale = 0.5f};
    vkft_kernel_run(f, VKFT_KERNEL_column_sum, &args, sizeof args, C, 1);
    vkft_guarded_read(f, &by, got);
    vkft_assert_close("column_sum", got, want, C, TOLERANCE);
    vkft_guarded_free(f, &bx), vkft_guarded_free(f, &by);
    free(x), free(before), free(got), free(want);
}

static void test_column_sum(void **state)
{
    for (size_t i = 0; i < SHAPES; i++)
        check_column_sum(*state, shapes[i][0], shapes[i][1]);
}

static void check_gain(const vkft_kernel_fixture *f, uint32_t T, uint32_t C, bool layernorm)
{
    const float eps = 1e-3f;
    float *x = vkft_random_array(3, T * C), *dy = vkft_random_array(4, T * C), *before = vkft_random_array(5, C);
    float *got = malloc((2 * T + C) * sizeof *got);
    double *want = vkft_widen(before, C), *stats = malloc(2 * T * sizeof *stats);
    for (uint32_t t = 0; t < T; t++) {
        double mean = 0, squares = 0;
        for (uint32_t c = 0; layernorm && c < C; c++)
            mean += (double)x[t * C + c] / C;
        for (uint32_t c = 0; c < C; c++)
            squares += ((double)x[t * C + c] - mean) * ((double)x[t * C + c] - mean);
        stats[2 * t] = mean;
        stats[2 * t + 1] = 1 / sqrt(squares / C + (double)eps);
        for (uint32_t c = 0; c < C; c++)
            want[c] += (double)dy[t * C + c] * ((double)x[t * C + c] - mean) * stats[2 * t + 1];
    }
    vkft_guarded bx = vkft_guarded_floats(f, x, T * C), bdy = vkft_guarded_floats(f, dy, T * C),
                 bs = vkft_guarded_floats(f, NULL, 2 * T);
    vkft_guarded bg = vkft_guarded_floats(f, before, C);
    struct norm_stats_args first = {
        .x = bx.address, .stats = bs.address, .T = T, .C = C, .eps = eps, .layernorm = layernorm};
    vkft_kernel_run(f, VKFT_KERNEL_norm_stats, &first, sizeof first, T, 1);
    vkft_guarded_read(f, &bs, got);
    vkft_assert_close("norm_stats", got, stats, 2 * T, TOLERANCE);
    struct norm_gain_backward_args args = {
        .dy = bdy.address, .x = bx.address, .stats = bs.address, .dg = bg.address, .T = T, .C = C};
    vkft_kernel_run(f, VKFT_KERNEL_norm_gain_backward, &args, sizeof args, C, 1);
    vkft_guarded_read(f, &bg, got);
    vkft_assert_close("norm_gain_backward", got, want, C, TOLERANCE);
    vkft_guarded *all[] = {&bx, &bdy, &bs, &bg};
    for (size_t i = 0; i < 4; i++)
        vkft_guarded_free(f, all[i]);
    free(x), free(dy), free(before), free(got), free(want), free(stats);
}

static void test_norm_gain(void **state)
{
    for (size_t i = 0; i < SHAPES; i++) {
        check_gain(*state, shapes[i][0], shapes[i][1], false);
        check_gain(*state, shapes[i][0], shapes[i][1], true);
    }
}

/* Ids repeat, so that a row's gradient has several parts, and most rows have none. */
static void check_embedding(const vkft_kernel_fixture *f, uint32_t T, uint32_t C, uint32_t offset)
{
    enum { V = 29 };
    uint32_t *ids = malloc(T * sizeof *ids), rows = V + offset;
    float *dy = vkft_random_array(6, T * C), *before = vkft_random_array(7, rows * C),
          *got = malloc(rows * C * sizeof *got);
    double *want = vkft_widen(before, rows * C);
    for (uint32_t t = 0; t < T; t++) {
        ids[t] = (t * t + 3 * t / 5) % V;
        for (uint32_t c = 0; c < C; c++)
            want[(ids[t] + offset) * C + c] += 1.5 * (double)dy[t * C + c];
    }
    vkft_guarded bi = vkft_guarded_words(f, ids, T), bd = vkft_guarded_floats(f, dy, T * C),
                 bt = vkft_guarded_floats(f, before, rows * C);
    struct embedding_backward_args args = {
        .ids = bi.address, .dy = bd.address, .dtable = bt.address, .T = T, .C = C, .offset = offset, .scale = 1.5f};
    vkft_kernel_run(f, VKFT_KERNEL_embedding_backward, &args, sizeof args, C, 1);
    vkft_guarded_read(f, &bt, got);
    vkft_assert_close("embedding_backward", got, want, rows * C, TOLERANCE);
    vkft_guarded_free(f, &bi), vkft_guarded_free(f, &bd), vkft_guarded_free(f, &bt);
    free(ids), free(dy), free(before), free(got), free(want);
}

static void test_embedding(void **state)
{
    for (size_t i = 0; i < SHAPES; i++)
        check_embedding(*state, shapes[i][0], shapes[i][1], (uint32_t)i % 3);
    check_embedding(*state, 1500, 768, 2); /* llvmpipe stops an invocation after 65535 loop iterations in total */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_column_sum),
        cmocka_unit_test(test_norm_gain),
        cmocka_unit_test(test_embedding),
    };
    return cmocka_run_group_tests_name("kernels: gradients of parameters", tests, vkft_kernel_setup,
                                       vkft_kernel_teardown);
}
