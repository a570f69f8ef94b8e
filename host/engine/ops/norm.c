/* RMSNorm and LayerNorm over rows, or over each head of a row.
 *
 * Source: Zhang & Sennrich 2019, Ba et al. 2016. Test: test_kernels_norm
 */
#include "host/engine/ops/f16_rows.h"
#include "host/engine/ops/ops.h"

#include "shaders/norm/args.h"

/* Gradients of gain and bias. Each row's mean and scale come first, so that a column's sum needs no other column. */
static void parameters_backward(vkft_graph *g, const vkft_norm *norm, const vkft_tensor *x, const vkft_tensor *dy)
{
    uint32_t C = norm->width, rows = x->rows * (x->cols / C);
    vkft_tensor heads = *dy; /* its rows as long as the norm is wide */
    heads.rows = rows;
    heads.cols = C;
    if (norm->dbias)
        vkft_column_sum(g, &heads, norm->dbias, 1.0f);
    if (!norm->dgain)
        return;
    vkft_tensor *stats = vkft_tensor_new(g, VKFT_F32, rows, 2);
    struct norm_stats_args first = {.x = vkft_tensor_address(g, x),
                                    .stats = vkft_tensor_address(g, stats),
                                    .T = rows,
                                    .C = C,
                                    .eps = norm->eps,
                                    .layernorm = norm->layernorm};
    vkft_launch_rows(g, VKFT_KERNEL_norm_stats, &first, sizeof first, rows, 1, 4.0 * rows * C);
    struct norm_gain_backward_args args = {.dy = vkft_tensor_address(g, dy),
                                           .x = vkft_tensor_address(g, x),
                                           .stats = vkft_tensor_address(g, stats),
                                           .dg = norm->dgain,
                                           .T = rows,
                                           .C = C};
    vkft_launch_elements(g, VKFT_KERNEL_norm_gain_backward, &args, sizeof args, C, 1, 3.0 * rows * C);
}

/* Where y, or a gradient, is to be written in f16, too; zeros: nowhere. A norm of heads has rows of its own. */
static vkft_f16_rows rows_in_f16(vkft_graph *g, const vkft_norm *norm, vkft_tensor *t)
{
    if (norm->layernorm || norm->width != t->cols)
        return (vkft_f16_rows){0};
    vkft_f16_rows_new(g, t);
    return vkft_f16_rows_output(g, t);
}

typedef struct norm_state {
    const vkft_norm *norm;
} norm_state;

static void norm_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const norm_state *state = op->state;
    const vkft_norm *norm = state->norm;
    vkft_tensor *x = op->in[0], *dy = op->out->grad;
    if (norm->dgain || norm->dbias)
        parameters_backward(g, norm, x, dy);
    if (!x->needs_grad)
        return;
    bool add;
    vkft_tensor *dx = vkft_grad(g, x, &add);
    uint32_t C = norm->width, rows = x->rows * (x->cols / C);
    double flops = 10.0 * rows * C;
    vkft_f16_rows f16 = rows_in_f16(g, norm, dx);
    if (f16.rows) {
        struct rmsnorm_backward_f16_args args = {.dy = vkft_tensor_address(g, dy),
                                                 .x = vkft_tensor_address(g, x),
                                                 .g = norm->gain,
                                                 .dx = vkft_tensor_address(g, dx),
                                                 .rows = f16.rows,
                                                 .inverse = f16.inverse,
                                                 .T = rows,
                                                 .C = C,
                                                 .ld = vkft_f16_row_length(C),
                                                 .eps = norm->eps,
                                                 .gain_offset = norm->gain_offset,
                                                 .add = add};
        vkft_launch_rows(g, VKFT_KERNEL_rmsnorm_backward_f16, &args, sizeof args, rows, 1, flops);
    } else if (norm->layernorm) {
        struct layernorm_backward_args args = {.dy = vkft_tensor_address(g, dy),
                                               .x = vkft_tensor_address(g, x),
                                               .g = norm->gain,
                                               .dx = vkft_tensor_address(g, dx),
                                               .T = rows,
                                               .C = C,
                                               .eps = norm->eps,
                                               .add = add};
        vkft_launch_rows(g, VKFT_KERNEL_layernorm_backward, &args, sizeof args, rows, 1, flops);
    } else {
        struct rmsnorm_backward_args args = {.dy = vkft_tensor_address(g, dy),
                                             .x = vkft_tensor_address(g, x),
                                             .g = norm->gain,
                                             .dx = vkft_tensor_address(g, dx),
                                             .T = rows,
                                             .C = C,
                                             .eps = norm->eps,
                                             .gain_offset = norm->gain_offset,
                                             .add = add};
        vkft_launch_rows(g, VKFT_KERNEL_rmsnorm_backward, &args, sizeof args, rows, 1, flops);
    }
}

vkft_tensor *vkft_op_norm(vkft_graph *g, vkft_tensor *x, const vkft_norm *norm)
{
    vkft_tensor *y = vkft_tensor_new(g, VKFT_F32, x->rows, x->cols);
    y->needs_grad = x->needs_grad || norm->dgain || norm->dbias;
    uint32_t C = norm->width, rows = x->rows * (x->cols / C);
    double flops = 4.0 * rows * C;
    vkft_f16_rows f16 = rows_in_f16(g, norm, y);
    if (!f16.rows)
        vkft_graph_touch(g, x, vkft_tensor_address(g, y), vkft_tensor_row_bytes(y, y->rows));
    if (f16.rows) {
        struct rmsnorm_f16_args args = {.x = vkft_tensor_address(g, x),
                                        .g = norm->gain,
                                        .y = vkft_tensor_address(g, y),
                                        .rows = f16.rows,
                                        .inverse = f16.inverse,
                                        .T = rows,
                                        .C = C,
                                        .ld = vkft_f16_row_length(C),
                                        .eps = norm->eps,
                                        .gain_offset = norm->gain_offset};
        vkft_launch_rows(g, VKFT_KERNEL_rmsnorm_f16, &args, sizeof args, rows, 1, flops);
    } else if (norm->layernorm) {
        struct layernorm_args args = {.x = vkft_tensor_address(g, x),
                                      .g = norm->gain,
                                      .b = norm->bias,
                                      .y = vkft_tensor_address(g, y),
                                      .T = rows,
                                      .C = C,
                                      .eps = norm->eps};
        vkft_launch_rows(g, VKFT_KERNEL_layernorm, &args, sizeof args, rows, 1, flops);
    } else {
        struct rmsnorm_args args = {.x = vkft_tensor_address(g, x),
                                    .g = norm->gain,
                                    .y = vkft_tensor_address(g, y),
                                    .T = rows,
                                    .C = C,
                                    .eps = norm->eps,
                                    .gain_offset = norm->gain_offset};
        vkft_launch_rows(g, VKFT_KERNEL_rmsnorm, &args, sizeof args, rows, 1, flops);
    }
    const norm_state state = {norm};
    vkft_graph_touch_end(g);
    vkft_tape_push(g, (vkft_tape_entry){.backward = norm_backward, .in = {x}, .out = y}, &state, sizeof state);
    return y;
}
