/* See f16_rows.h. */
#include "host/engine/ops/f16_rows.h"

#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

/* The factors take the place of some rows. */
static vkft_tensor *allocate(vkft_graph *g, const vkft_tensor *t, bool host)
{
    uint32_t words = vkft_f16_row_length(t->cols) / 2;
    uint32_t rows = t->rows + (uint32_t)ceil_div_u64(vkft_f16_inverse_bytes(t->rows), words * sizeof(uint32_t));
    return host ? vkft_tensor_keep(g, VKFT_U32, rows, words) : vkft_tensor_new(g, VKFT_U32, rows, words);
}

void vkft_f16_rows_new(vkft_graph *g, vkft_tensor *t)
{
    if (!g->pass.f16)
        return;
    t->f16 = allocate(g, t, false);
    t->f16_place = NULL;
}

void vkft_f16_rows_new_in(vkft_graph *g, vkft_tensor *t, vkft_tensor *place, uint32_t half)
{
    if (!g->pass.f16 || vkft_f16_row_length(t->cols) != t->cols) {
        vkft_f16_rows_new(g, t);
        return;
    }
    t->f16 = vkft_tensor_new(g, VKFT_F32, t->rows, 1);
    t->f16_place = place;
    t->f16_half = half;
}

bool vkft_f16_rows_new_later(vkft_graph *g, vkft_tensor *t)
{
    bool later =
        g->pass.f16 && g->pass.f16_in_place && t->rows > DIRECT_MAX_ROWS && vkft_f16_row_length(t->cols) == t->cols;
    if (later)
        t->f16_place = t;
    return later;
}

void vkft_f16_rows_make(vkft_graph *g, vkft_tensor *t, bool beside)
{
    if (t->f16 || t->f16_place != t)
        return;
    if (beside)
        vkft_f16_rows_new(g, t);
    else
        vkft_f16_rows_new_in(g, t, t, 0);
    const vkft_f16_rows f16 = vkft_f16_rows_output(g, t);
    const struct rows_f16_args args = {.X = vkft_tensor_address(g, t),
                                       .Y = f16.rows,
                                       .inverse = f16.inverse,
                                       .K = t->cols,
                                       .ldx = t->cols,
                                       .ldy = t->cols};
    if (f16.rows)
        vkft_launch_rows(g, beside ? VKFT_KERNEL_rows_f16 : VKFT_KERNEL_rows_f16_in_place, &args, sizeof args, t->rows,
                         1, 4.0 * t->rows * t->cols);
}

bool vkft_f16_rows_possible(const vkft_device *dev)
{
    static const vkft_kernel kernels[] = {VKFT_KERNEL_rmsnorm_f16,
                                          VKFT_KERNEL_rmsnorm_backward_f16,
                                          VKFT_KERNEL_gated_f16,
                                          VKFT_KERNEL_gated_backward_f16,
                                          VKFT_KERNEL_gather_rows_f16,
                                          VKFT_KERNEL_expert_gated_f16,
                                          VKFT_KERNEL_expert_gated_backward_f16,
                                          VKFT_KERNEL_rows_f16,
                                          VKFT_KERNEL_rows_f16_in_place,
                                          VKFT_KERNEL_rows_f32,
                                          VKFT_KERNEL_matmul_tn_f16,
                                          VKFT_KERNEL_matmul_outer_f16};
    bool possible = true;
    for (size_t i = 0; dev && i < sizeof kernels / sizeof *kernels; i++)
        possible &= !vkft_kernel_is_refused(dev, kernels[i]);
    return possible;
}

/* Products multiply a few rows in f32, but gradients read what is rounded, of however many rows. */
bool vkft_f16_rows_exist(const vkft_graph *g, const vkft_tensor *t)
{
    return t->f16 && (t->rows > DIRECT_MAX_ROWS || g->pass.taping);
}

/* address: of a tensor's factors. */
static vkft_f16_rows rows_at(vkft_graph *g, const vkft_tensor *t, uint64_t address)
{
    uint32_t length = vkft_f16_row_length(t->cols);
    uint64_t place = t->f16_place ? vkft_tensor_address(g, t->f16_place) : 0;
    if (!address)
        return (vkft_f16_rows){0};
    if (!t->f16_place)
        return (vkft_f16_rows){address + vkft_f16_inverse_bytes(t->rows), address, length};
    return (vkft_f16_rows){place + (uint64_t)t->f16_half * length * 2, address, 2 * length};
}

vkft_f16_rows vkft_f16_rows_output(vkft_graph *g, const vkft_tensor *t)
{
    return vkft_f16_rows_exist(g, t) ? rows_at(g, t, vkft_tensor_output(g, t->f16)) : (vkft_f16_rows){0};
}

vkft_f16_rows vkft_f16_rows_of(vkft_graph *g, const vkft_tensor *t)
{
    return vkft_f16_rows_exist(g, t) ? rows_at(g, t, vkft_tensor_address(g, t->f16)) : (vkft_f16_rows){0};
}

vkft_tensor *vkft_f16_keep(vkft_graph *g, const vkft_tensor *x, bool host)
{
    vkft_tensor *kept = vkft_tensor_at(g, 0, x->dtype, x->rows, x->cols);
    kept->f16 = allocate(g, x, host);
    const vkft_f16_rows f16 = rows_at(g, kept, vkft_tensor_address(g, kept->f16));
    const struct rows_f16_args args = {.X = vkft_tensor_address(g, x),
                                       .Y = f16.rows,
                                       .inverse = f16.inverse,
                                       .K = x->cols,
                                       .ldx = x->cols,
                                       .ldy = f16.stride};
    vkft_graph_touch(g, x, f16.inverse, vkft_f16_rows_bytes(x->rows, x->cols));
    vkft_launch_rows(g, VKFT_KERNEL_rows_f16, &args, sizeof args, x->rows, 1, 4.0 * x->rows * x->cols);
    vkft_graph_touch_end(g);
    return kept;
}

vkft_tensor *vkft_f16_restore(vkft_graph *g, const vkft_tensor *kept)
{
    vkft_tensor *x = vkft_tensor_new(g, kept->dtype, kept->rows, kept->cols);
    const vkft_f16_rows f16 = rows_at(g, kept, vkft_tensor_address(g, kept->f16));
    const struct rows_f32_args args = {
        .X = f16.rows, .inverse = f16.inverse, .Y = vkft_tensor_address(g, x), .K = x->cols, .ldx = f16.stride};
    vkft_graph_touch(g, kept->f16, args.Y, vkft_tensor_row_bytes(x, x->rows));
    vkft_launch_rows(g, VKFT_KERNEL_rows_f32, &args, sizeof args, x->rows, 1, 1.0 * x->rows * x->cols);
    vkft_graph_touch_end(g);
    return x;
}
