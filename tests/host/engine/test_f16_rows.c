/* When rows in f16 are made: if something reads them, and where. What products read of them where something else lies
 * between. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "host/engine/matmul/gemm.h"
#include "host/engine/ops/f16_rows.h"
#include "host/engine/ops/ops.h"
#include "tests/support/expect.h"
#include "tests/support/kernels/kernel_test.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define COLUMNS 37u

/* Plans and records two tensors of which the second is read; returns where it is made, relative to the arena's tensors.
 */
static vkft_f16_rows trace_pass(const vkft_kernel_fixture *f, vkft_graph *g, uint32_t rows, bool read, bool taping,
                                vkft_f16_rows *unread)
{
    vkft_f16_rows made = {0};
    for (int recording = 0; recording < 2; recording++) {
        if (recording)
            vkft_graph_begin_record(g, f->cmds, VKFT_PLACEHOLDER_ADDRESS);
        else
            vkft_graph_begin_plan(g);
        g->pass.taping = taping;
        vkft_tensor *x = vkft_tensor_new(g, VKFT_F32, rows, COLUMNS), *y = vkft_tensor_new(g, VKFT_F32, rows, COLUMNS);
        vkft_f16_rows_new(g, x);
        vkft_f16_rows_new(g, y);
        *unread = vkft_f16_rows_output(g, x);
        made = vkft_f16_rows_output(g, y);
        vkft_tensor_address(g, x);
        vkft_tensor_address(g, y);
        vkft_f16_rows found = {0};
        if (read)
            found = vkft_f16_rows_of(g, y);
        assert_true(!read || (found.rows == made.rows && found.inverse == made.inverse));
        assert_true(recording || vkft_plan_solve(g->plan));
        assert_false(g->failed);
    }
    return made;
}

static vkft_f16_rows trace(const vkft_kernel_fixture *f, vkft_graph *g, uint32_t rows, bool read, vkft_f16_rows *unread)
{
    return trace_pass(f, g, rows, read, false, unread);
}

static void test_what_is_read_is_made(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_graph g;
    vkft_f16_rows unread, made;
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F16, &err));
    assert_true(vkft_graph_init(&g));
    vkft_graph_set_device(&g, f->dev, 0, 0);
    g.pass.f16 = true;
    made = trace(f, &g, 100, true, &unread);
    assert_true(made.inverse >= VKFT_PLACEHOLDER_ADDRESS);
    assert_int_equal(made.rows - made.inverse, 512); /* 100 factors */
    assert_true(!unread.rows && !unread.inverse);
    uint64_t with = vkft_plan_total(g.plan);
    made = trace(f, &g, 100, false, &unread);
    assert_true(!made.rows && !made.inverse);
    assert_true(with >= vkft_plan_total(g.plan) + vkft_f16_rows_bytes(100, COLUMNS));
    made = trace(f, &g, DIRECT_MAX_ROWS, true, &unread); /* of a few rows products read f32 */
    assert_true(!made.rows && !made.inverse);
    made = trace_pass(f, &g, DIRECT_MAX_ROWS, true, true, &unread); /* but gradients do not */
    assert_true(made.rows && !unread.rows);
    g.pass.f16 = false;
    made = trace(f, &g, 100, true, &unread);
    assert_true(!made.rows && !made.inverse);
    vkft_graph_free(&g);
}

/* In the halves of another tensor's rows: only the factors take memory, and the place is kept as long as they are read.
 */
static void test_in_the_place_of_another(void **state)
{
    const vkft_kernel_fixture *f = *state;
    enum { ROWS = 100, LENGTH = 64 };
    vkft_graph g;
    vkft_f16_rows made[2] = {{0}}, read[2] = {{0}}, own = {0};
    uint64_t place_at = 0, later_at = 0;
    assert_true(vkft_graph_init(&g));
    vkft_graph_set_device(&g, f->dev, 0, 0);
    g.pass.f16 = true;
    for (int recording = 0; recording < 2; recording++) {
        if (recording)
            vkft_graph_begin_record(&g, f->cmds, VKFT_PLACEHOLDER_ADDRESS);
        else
            vkft_graph_begin_plan(&g);
        vkft_tensor *place = vkft_tensor_new(&g, VKFT_F32, ROWS, LENGTH),
                    *odd = vkft_tensor_new(&g, VKFT_F32, ROWS, LENGTH + 1),
                    *x[2] = {vkft_tensor_new(&g, VKFT_F32, ROWS, LENGTH), vkft_tensor_new(&g, VKFT_F32, ROWS, LENGTH)};
        for (uint32_t i = 0; i < 2; i++)
            vkft_f16_rows_new_in(&g, x[i], place, i);
        vkft_f16_rows_new_in(&g, odd, odd, 0);
        for (uint32_t i = 0; i < 2; i++)
            made[i] = vkft_f16_rows_output(&g, x[i]);
        own = vkft_f16_rows_output(&g, odd);
        place_at = vkft_tensor_address(&g, place);
        vkft_tensor *later = vkft_tensor_new(&g, VKFT_F32, ROWS, LENGTH);
        later_at = vkft_tensor_address(&g, later);
        for (uint32_t i = 0; i < 2; i++)
            read[i] = vkft_f16_rows_of(&g, x[i]);
        vkft_f16_rows_of(&g, odd);
        assert_true(recording || vkft_plan_solve(g.plan));
        assert_false(g.failed);
    }
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(made[i].rows, place_at + i * LENGTH * 2ull);
        assert_int_equal(made[i].stride, 2 * LENGTH);
        assert_memory_equal(&made[i], &read[i], sizeof *made);
    }
    assert_true(made[0].inverse != made[1].inverse);
    assert_true(later_at >= place_at + ROWS * LENGTH * 4ull || later_at + ROWS * LENGTH * 4ull <= place_at);
    assert_int_equal(own.stride, 96); /* rows that need padding */
    assert_int_equal(own.rows, own.inverse + vkft_f16_inverse_bytes(ROWS));
    vkft_graph_free(&g);
}

static void test_where_they_are_wrong(void **state)
{
    const vkft_kernel_fixture *f = *state;
    bool refused[VKFT_KERNEL_COUNT] = {[VKFT_KERNEL_gated_f16] = true};
    vkft_kernels_refuse(f->dev, refused);
    assert_false(vkft_f16_rows_possible(f->dev));
    refused[VKFT_KERNEL_gated_f16] = false;
    vkft_kernels_refuse(f->dev, refused);
    assert_true(vkft_f16_rows_possible(f->dev));
    assert_true(vkft_f16_rows_possible(NULL));
}

/* A product of rows with other things between them, which here are no numbers; its sums are cut where that pays. */
static void multiply_apart(const vkft_kernel_fixture *f, const char *strategies)
{
    enum { M = 12, N = 8, K = 800 };
    vkft_err err;
    char *before = vkft_test_swap_environment("VKFT_STRATEGY", strategies);
    if (vkft_gemm_has_f16(vkft_device_get_caps(f->dev))) {
        expect_ok(vkft_gemm_setup(f->dev, VKFT_F16, &err));
        float *x = vkft_random_array(1, M * K), *w = vkft_random_array(2, N * K), inverse[M], y[M * N];
        uint32_t *rows = calloc(M * K, sizeof *rows); /* pairs: a row, then as much that is not one */
        for (uint32_t i = 0; i < M * K; i++)
            rows[i / K * K + i % K / 2] |= (uint32_t)vkft_f32_to_f16(x[i]) << i % 2 * 16;
        for (uint32_t m = 0; m < M; m++) {
            inverse[m] = ldexpf(1, (int)(m % 5) - 3);
            for (uint32_t i = K / 2; i < K; i++)
                rows[m * K + i] = 0x7e007e00;
        }
        vkft_guarded W = vkft_guarded_floats(f, w, N * K), X = vkft_guarded_words(f, rows, M * K),
                     I = vkft_guarded_floats(f, inverse, M), Y = vkft_guarded_floats(f, NULL, M * N),
                     S = vkft_guarded_floats(f, NULL, 1 << 18);
        const vkft_weight weight = {.storage = VKFT_STORAGE_f32, .rows = N, .cols = K, .part = {W.address}};
        const vkft_matmul_ctx ctx = {.dev = f->dev, .cmds = f->cmds, .scratch = S.address, .scratch_bytes = 4 << 18};
        vkft_commands_reset(f->cmds);
        vkft_multiply(&ctx, &(vkft_product){.w = &weight,
                                            .transposed = true,
                                            .M = M,
                                            .X = X.address,
                                            .f16 = {X.address, I.address, 2 * K},
                                            .Y = Y.address,
                                            .scale = 1});
        expect_ok(vkft_commands_run(f->cmds, &err));
        vkft_guarded_read(f, &Y, y);
        for (uint32_t i = 0; i < M * N; i++) {
            double want = 0, size = 0;
            for (uint32_t k = 0; k < K; k++) {
                double term = (double)vkft_f16_to_f32(vkft_f32_to_f16(x[i / N * K + k])) *
                              (double)vkft_f16_to_f32(vkft_f32_to_f16(w[i % N * K + k])) * (double)inverse[i / N];
                want += term;
                size += fabs(term);
            }
            if (!(fabs((double)y[i] - want) <= (K + 3) * 0x1p-24 * size))
                fail_msg("%s: element %u is %.9g, expected %.9g", strategies, i, (double)y[i], want);
        }
        vkft_guarded_free(f, &W), vkft_guarded_free(f, &X), vkft_guarded_free(f, &I), vkft_guarded_free(f, &Y);
        vkft_guarded_free(f, &S);
        free(x), free(w), free(rows);
    }
    vkft_test_environment("VKFT_STRATEGY", before);
    free(before);
}

static void test_rows_apart(void **state)
{
    multiply_apart(*state, "half,direct");
    multiply_apart(*state, "coop,direct");
}

/* A norm whose output, and whose input's gradient, are read in f16; returns the launches, at most two of them. */
static uint32_t record_norm(const vkft_kernel_fixture *f, vkft_graph *g, bool read, vkft_kernel kernels[2])
{
    const vkft_norm norm = {.width = COLUMNS, .gain = VKFT_PLACEHOLDER_ADDRESS, .eps = 1e-5f};
    for (int recording = 0; recording < 2; recording++) {
        vkft_commands_reset(f->cmds);
        if (recording)
            vkft_graph_begin_record(g, f->cmds, VKFT_PLACEHOLDER_ADDRESS);
        else
            vkft_graph_begin_plan(g);
        g->pass.taping = true;
        vkft_tensor *x = vkft_tensor_at(g, VKFT_PLACEHOLDER_ADDRESS, VKFT_F32, 100, COLUMNS);
        x->needs_grad = true;
        vkft_tensor *y = vkft_op_norm(g, x, &norm);
        if (read)
            vkft_f16_rows_of(g, y);
        y->grad = vkft_tensor_at(g, VKFT_PLACEHOLDER_ADDRESS, VKFT_F32, 100, COLUMNS);
        vkft_tape_backward(g, 0);
        if (read)
            vkft_f16_rows_of(g, x->grad);
        vkft_tensor_address(g, x->grad);
        assert_true(recording || vkft_plan_solve(g->plan));
        assert_false(g->failed);
    }
    uint32_t count = vkft_commands_launch_count(f->cmds);
    for (uint32_t i = 0; i < count && i < 2; i++)
        kernels[i] = vkft_commands_kernel(f->cmds, i);
    vkft_commands_reset(f->cmds);
    return count;
}

static void test_norm(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_graph g;
    vkft_kernel kernels[2];
    if (!vkft_caps_have(vkft_device_get_caps(f->dev), vkft_kernel_needs(VKFT_KERNEL_rmsnorm_f16)))
        skip();
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F16, &err));
    assert_true(vkft_graph_init(&g));
    vkft_graph_set_device(&g, f->dev, 0, 0);
    g.pass.f16 = true;
    assert_int_equal(record_norm(f, &g, true, kernels), 2);
    assert_int_equal(kernels[0], VKFT_KERNEL_rmsnorm_f16);
    assert_int_equal(kernels[1], VKFT_KERNEL_rmsnorm_backward_f16);
    assert_int_equal(record_norm(f, &g, false, kernels), 2);
    assert_int_equal(kernels[0], VKFT_KERNEL_rmsnorm);
    assert_int_equal(kernels[1], VKFT_KERNEL_rmsnorm_backward);
    vkft_graph_free(&g);
}

/* Plans and records a gated layer and the linear one that reads it, and their backward; returns the arena's bytes. */
static uint64_t record_mlp(const vkft_kernel_fixture *f, vkft_graph *g, float dropout, bool *made, bool *in_place,
                           bool *beside)
{
    enum { ROWS = 100, WIDTH = 64, OUT = 8, RANK = 4 };
    const uint64_t somewhere = VKFT_PLACEHOLDER_ADDRESS;
    const vkft_linear down = {.w = {.storage = VKFT_STORAGE_f32, .rows = OUT, .cols = WIDTH, .part = {somewhere}},
                              .lora = {.A = somewhere,
                                       .B = somewhere,
                                       .dA = somewhere,
                                       .dB = somewhere,
                                       .r = RANK,
                                       .scale = 1,
                                       .dropout = dropout}};
    for (int recording = 0; recording < 2; recording++) {
        vkft_commands_reset(f->cmds);
        if (recording)
            vkft_graph_begin_record(g, f->cmds, somewhere);
        else
            vkft_graph_begin_plan(g);
        g->pass.taping = g->pass.dropout = true;
        vkft_tensor *gate = vkft_tensor_new(g, VKFT_F32, ROWS, WIDTH), *up = vkft_tensor_new(g, VKFT_F32, ROWS, WIDTH);
        gate->needs_grad = up->needs_grad = true;
        vkft_tensor *h = vkft_op_gated(g, gate, up, VKFT_ACT_SILU),
                    *y = vkft_op_linear(g, h, &down, (vkft_linear_call){0});
        y->grad = vkft_tensor_at(g, somewhere, VKFT_F32, ROWS, OUT);
        vkft_tape_backward(g, 0);
        assert_true(recording || vkft_plan_solve(g->plan));
        assert_false(g->failed);
    }
    *made = *in_place = *beside = false;
    for (uint32_t i = 0; i < vkft_commands_launch_count(f->cmds); i++) {
        vkft_kernel kernel = vkft_kernel_row(vkft_commands_kernel(f->cmds, i));
        *made |= kernel == VKFT_KERNEL_gated_f16;
        *in_place |= kernel == VKFT_KERNEL_rows_f16_in_place;
        *beside |= kernel == VKFT_KERNEL_rows_f16;
    }
    vkft_commands_reset(f->cmds);
    return vkft_plan_total(g->plan);
}

/* Where memory is to be saved, rows in f16 take the place of the f32 ones, unless dropout is to draw from those again.
 */
static void test_in_place(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_graph g;
    bool made, in_place, beside;
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F16, &err));
    assert_true(vkft_graph_init(&g));
    vkft_graph_set_device(&g, f->dev, 0, 0);
    g.pass.f16 = true;
    uint64_t bytes = record_mlp(f, &g, 0, &made, &in_place, &beside);
    assert_true(made && !in_place && !beside);
    g.pass.f16_in_place = true;
    assert_true(record_mlp(f, &g, 0, &made, &in_place, &beside) <= bytes - 100 * 64 * 2);
    assert_true(!made && in_place && !beside);
    record_mlp(f, &g, 0.5f, &made, &in_place, &beside);
    assert_true(!made && !in_place && beside);
    vkft_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_read_is_made),
                                       cmocka_unit_test(test_in_the_place_of_another),
                                       cmocka_unit_test(test_where_they_are_wrong),
                                       cmocka_unit_test(test_rows_apart),
                                       cmocka_unit_test(test_norm),
                                       cmocka_unit_test(test_in_place)};
    char *cache = vkft_test_directory(); /* refusing a kernel is remembered there */
    vkft_test_environment("VKFT_CACHE_DIR", cache);
    int failed = cmocka_run_group_tests_name("f16_rows", tests, vkft_kernel_setup, vkft_kernel_teardown);
    vkft_test_remove_directory(cache);
    return failed;
}
