/* Columns of a tensor as a separate tensor: a fused projection is one product whose result is then taken apart, because
 * the kernels after it want contiguous rows. A copy is small beside the product that made it.
 *
 * Test: test_ops_layers, test_kernels_elementwise
 */
#include "host/engine/ops/ops.h"

#include "shaders/elementwise/args.h"

static void launch(vkft_graph *g, struct copy_columns_args args)
{
    uint64_t elements = (uint64_t)args.T * args.n;
    vkft_launch_elements(g, VKFT_KERNEL_copy_columns, &args, sizeof args, elements, 1, (double)elements);
}

static void columns_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const vkft_columns *columns = op->state;
    vkft_tensor *x = op->in[0], *dy = op->out->grad;
    bool add;
    vkft_tensor *dx = vkft_grad(g, x, &add); /* whether other columns are there already makes no difference */
    launch(g, (struct copy_columns_args){.from = vkft_tensor_address(g, dy),
                                         .to = vkft_tensor_address(g, dx),
                                         .T = dy->rows,
                                         .n = dy->cols,
                                         .run = columns->width,
                                         .from_ld = dy->cols,
                                         .from_step = columns->width,
                                         .to_ld = dx->cols,
                                         .to_offset = columns->offset,
                                         .to_step = columns->step});
}

vkft_tensor *vkft_op_columns(vkft_graph *g, vkft_tensor *x, vkft_columns c)
{
    vkft_tensor *y = vkft_tensor_new(g, VKFT_F32, x->rows, c.width * c.count);
    y->needs_grad = x->needs_grad;
    launch(g, (struct copy_columns_args){.from = vkft_tensor_address(g, x),
                                         .to = vkft_tensor_address(g, y),
                                         .T = y->rows,
                                         .n = y->cols,
                                         .run = c.width,
                                         .from_ld = x->cols,
                                         .from_offset = c.offset,
                                         .from_step = c.step,
                                         .to_ld = y->cols,
                                         .to_step = c.width});
    vkft_tape_push(g, (vkft_tape_entry){.backward = columns_backward, .in = {x}, .out = y}, &c, sizeof c);
    return y;
}

void vkft_column_sum(vkft_graph *g, const vkft_tensor *x, uint64_t sum, float scale)
{
    struct column_sum_args args = {
        .x = vkft_tensor_address(g, x), .y = sum, .T = x->rows, .C = x->cols, .scale = scale};
    vkft_launch_elements(g, VKFT_KERNEL_column_sum, &args, sizeof args, args.C, 1, (double)args.T * args.C);
}

static void copy(vkft_graph *g, const vkft_tensor *x, uint64_t to)
{
    vkft_graph_touch(g, x, to, vkft_tensor_row_bytes(x, x->rows));
    launch(g, (struct copy_columns_args){.from = vkft_tensor_address(g, x),
                                         .to = to,
                                         .T = x->rows,
                                         .n = x->cols,
                                         .run = x->cols,
                                         .from_ld = x->cols,
                                         .to_ld = x->cols});
    vkft_graph_touch_end(g);
}

void vkft_op_store(vkft_graph *g, const vkft_tensor *x, uint64_t address)
{
    copy(g, x, address);
}

vkft_tensor *vkft_op_keep(vkft_graph *g, const vkft_tensor *x)
{
    vkft_tensor *kept = vkft_tensor_keep(g, x->dtype, x->rows, x->cols);
    copy(g, x, vkft_tensor_address(g, kept));
    return kept;
}

vkft_tensor *vkft_op_restore(vkft_graph *g, const vkft_tensor *kept)
{
    vkft_tensor *x = vkft_tensor_new(g, kept->dtype, kept->rows, kept->cols);
    copy(g, kept, vkft_tensor_address(g, x));
    return x;
}
