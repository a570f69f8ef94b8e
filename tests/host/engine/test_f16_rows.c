/* When rows in f16 are made: if a product reads them, and only where products run on matrix cores and the kernels that
 * make them are right. Nothing is run. */
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
#include "tests/support/kernel_test.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define COLUMNS 37u

/* Plans and records two tensors of which the second is read; returns where it is made, relative to the arena's tensors.
 */
static vkft_f16_rows trace(const vkft_kernel_fixture *f, vkft_graph *g, uint32_t rows, bool read, vkft_f16_rows *unread)
{
    vkft_f16_rows made = {0};
    for (int recording = 0; recording < 2; recording++) {
        if (recording)
            vkft_graph_begin_record(g, f->cmds, VKFT_PLACEHOLDER_ADDRESS);
        else
            vkft_graph_begin_plan(g);
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
    g.pass.f16 = false;
    made = trace(f, &g, 100, true, &unread);
    assert_true(!made.rows && !made.inverse);
    vkft_graph_free(&g);
}

static void test_where_they_cannot_be_made(void **state)
{
    const vkft_kernel_fixture *f = *state;
    vkft_err err;
    vkft_graph g;
    vkft_f16_rows unread;
    bool refused[VKFT_KERNEL_COUNT] = {[VKFT_KERNEL_gated_f16] = true};
    assert_true(vkft_graph_init(&g));
    vkft_graph_set_device(&g, f->dev, 0, 0);
    g.pass.f16 = true;
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F16, &err));
    vkft_kernels_refuse(f->dev, refused);
    assert_true(vkft_kernel_is_refused(f->dev, VKFT_KERNEL_gated_f16));
    assert_false(trace(f, &g, 100, true, &unread).rows);
    refused[VKFT_KERNEL_gated_f16] = false;
    vkft_kernels_refuse(f->dev, refused);
    assert_true(trace(f, &g, 100, true, &unread).rows);
    expect_ok(vkft_gemm_setup(f->dev, VKFT_F32, &err));
    assert_false(trace(f, &g, 100, true, &unread).rows);
    vkft_graph_free(&g);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_read_is_made),
                                       cmocka_unit_test(test_where_they_cannot_be_made), cmocka_unit_test(test_norm)};
    char *cache = vkft_test_directory(); /* refusing a kernel is remembered there */
    vkft_test_environment("VKFT_CACHE_DIR", cache);
    int failed = cmocka_run_group_tests_name("f16_rows", tests, vkft_kernel_setup, vkft_kernel_teardown);
    vkft_test_remove_directory(cache);
    return failed;
}
