/* The graph without a device: sizes of tensors by type, the two modes, and the tape with the states of its ops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/engine/ops/f16_rows.h"
#include "host/engine/ops/ops.h"

static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        vkft_dtype dtype;
        uint64_t bytes;
    } types[] = {{VKFT_F32, 4}, {VKFT_U32, 4}, {VKFT_F16, 2}, {VKFT_BF16, 2}};
    vkft_graph g;
    assert_true(vkft_graph_init(&g));
    vkft_graph_begin_plan(&g);
    for (uint32_t i = 0; i < 4; i++) {
        vkft_tensor *t = vkft_tensor_new(&g, types[i].dtype, 64, 256);
        assert_int_equal(vkft_tensor_row_bytes(t, 3), 3 * 256 * types[i].bytes);
        t->needs_grad = true;
        bool add;
        assert_int_equal(vkft_grad(&g, t, &add)->dtype, types[i].dtype);
        assert_false(add);
        for (uint32_t buffer = 2 * i; buffer < 2 * i + 2; buffer++) /* the tensor and its gradient */
            assert_int_equal(vkft_plan_size(g.plan, buffer), 64 * 256 * types[i].bytes);
    }
    vkft_graph_free(&g);
}

/* What is recorded must ask for what was planned: as many tensors, none of them larger. */
static void test_modes(void **state)
{
    (void)state;
    vkft_graph g;
    assert_true(vkft_graph_init(&g));
    vkft_graph_begin_plan(&g);
    vkft_tensor *t = vkft_tensor_new(&g, VKFT_F16, 100, 64);
    assert_int_equal(vkft_tensor_address(&g, t), 0);
    vkft_tensor_address(&g, vkft_tensor_new(&g, VKFT_F32, 1, 1));
    assert_true(vkft_plan_solve(g.plan));
    for (uint32_t rows = 100; rows > 0; rows -= 50) {
        vkft_graph_begin_record(&g, NULL, 1 << 20);
        assert_int_equal(vkft_tensor_new(&g, VKFT_F16, rows, 64)->address, (1 << 20) + vkft_plan_offset(g.plan, 0));
        assert_int_equal(vkft_tensor_new(&g, VKFT_F32, 1, 1)->address, (1 << 20) + vkft_plan_offset(g.plan, 1));
        assert_false(g.failed);
    }
    vkft_graph_begin_record(&g, NULL, 1 << 20);
    vkft_tensor_new(&g, VKFT_F32, 100, 64); /* the same shape in another type */
    assert_true(g.failed);
    vkft_graph_free(&g);
}

typedef struct note {
    uint32_t number;
    uint32_t *walked;
} note;

static void walk(vkft_graph *g, const vkft_tape_entry *op)
{
    (void)g;
    const note *n = op->state;
    assert_int_equal(op->out->rows, n->number + 1);
    assert_int_equal(n->number, --*n->walked);
}

/* More entries than a chunk of the pool holds, walked from the end, each with the state that it was given. */
static void test_tape(void **state)
{
    (void)state;
    enum { COUNT = 5000, KEPT = 7 };
    uint32_t walked = COUNT;
    vkft_graph g;
    assert_true(vkft_graph_init(&g));
    for (int pass = 0; pass < 2; pass++) {
        vkft_graph_begin_plan(&g);
        for (uint32_t i = 0; i < COUNT; i++) {
            vkft_tensor *t = vkft_tensor_at(&g, 0, VKFT_F32, i + 1, 1);
            const note n = {i, &walked};
            g.pass.taping = false;
            vkft_tape_push(&g, (vkft_tape_entry){.backward = walk, .out = t}, &n, sizeof n);
            g.pass.taping = true;
            vkft_tape_push(&g, (vkft_tape_entry){.backward = walk, .out = t}, &n, sizeof n); /* needs no gradient */
            assert_int_equal(g.tape_count, i);
            t->needs_grad = true;
            t->grad = t;
            vkft_tape_push(&g, (vkft_tape_entry){.backward = walk, .out = t}, &n, sizeof n);
        }
        vkft_tape_backward(&g, KEPT);
        assert_int_equal(walked, KEPT);
        vkft_tape_backward(&g, 0);
        assert_int_equal(walked, 0);
        walked = COUNT;
    }
    assert_false(g.failed);
    vkft_graph_free(&g);
}

/* A gradient that another op adds to has no longer the rows in f16 that were made of it. */
static void test_f16_rows_of_a_gradient(void **state)
{
    (void)state;
    vkft_graph g;
    bool add;
    assert_true(vkft_graph_init(&g));
    g.pass.f16 = true;
    vkft_graph_begin_plan(&g);
    vkft_tensor *x = vkft_tensor_new(&g, VKFT_F32, 33, 7), *y = vkft_tensor_new(&g, VKFT_F32, 33, 7);
    x->needs_grad = true;
    vkft_tensor *dx = vkft_grad(&g, x, &add);
    assert_false(add);
    vkft_f16_rows_new(&g, dx);
    assert_int_equal(dx->f16->cols, 16);     /* words: rows are padded to 32 halves */
    assert_int_equal(dx->f16->rows, 33 + 4); /* the factors take 256 bytes */
    assert_ptr_equal(vkft_grad(&g, x, &add), dx);
    assert_true(add);
    assert_null(dx->f16);
    vkft_f16_rows_new(&g, dx);
    vkft_grad_accumulate(&g, x, y);
    assert_null(dx->f16);
    g.pass.f16 = false;
    vkft_f16_rows_new(&g, dx);
    assert_null(dx->f16);
    assert_false(g.failed);
    vkft_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_modes),
                                       cmocka_unit_test(test_tape), cmocka_unit_test(test_f16_rows_of_a_gradient)};
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
