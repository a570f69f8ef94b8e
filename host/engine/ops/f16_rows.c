/* See f16_rows.h. */
#include "host/engine/ops/f16_rows.h"

#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"

/* The factors take the place of some rows. */
void vkft_f16_rows_new(vkft_graph *g, vkft_tensor *t)
{
    uint32_t words = vkft_f16_row_length(t->cols) / 2;
    uint64_t factors = ceil_div_u64(vkft_f16_inverse_bytes(t->rows), words * sizeof(uint32_t));
    if (g->pass.f16)
        t->f16 = vkft_tensor_new(g, VKFT_U32, t->rows + (uint32_t)factors, words);
}

/* Whether products are in f16, and the kernels that make rows for them are right. */
static bool are_possible(const vkft_device *dev)
{
    static const vkft_kernel makers[] = {VKFT_KERNEL_rmsnorm_f16,
                                         VKFT_KERNEL_rmsnorm_backward_f16,
                                         VKFT_KERNEL_gated_f16,
                                         VKFT_KERNEL_gated_backward_f16,
                                         VKFT_KERNEL_gather_rows_f16,
                                         VKFT_KERNEL_expert_gated_f16,
                                         VKFT_KERNEL_expert_gated_backward_f16};
    bool possible = vkft_gemm_of(dev)->operands == VKFT_F16;
    for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
        possible &= !vkft_kernel_is_refused(dev, makers[i]);
    return possible;
}

/* A few rows are multiplied in f32. A plan for f16 may be recorded where this turned out not to be possible. */
static bool are_made(const vkft_graph *g, const vkft_tensor *t)
{
    return t->f16 && t->rows > DIRECT_MAX_ROWS && (g->mode == VKFT_GRAPH_PLAN || are_possible(g->dev));
}

/* address: of a tensor's rows with their factors. */
static vkft_f16_rows rows_at(const vkft_tensor *t, uint64_t address)
{
    return address ? (vkft_f16_rows){.rows = address + vkft_f16_inverse_bytes(t->rows), .inverse = address}
                   : (vkft_f16_rows){0};
}

vkft_f16_rows vkft_f16_rows_output(vkft_graph *g, const vkft_tensor *t)
{
    return are_made(g, t) ? rows_at(t, vkft_tensor_output(g, t->f16)) : (vkft_f16_rows){0};
}

vkft_f16_rows vkft_f16_rows_of(vkft_graph *g, const vkft_tensor *t)
{
    return are_made(g, t) ? rows_at(t, vkft_tensor_address(g, t->f16)) : (vkft_f16_rows){0};
}
