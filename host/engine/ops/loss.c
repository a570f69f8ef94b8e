/* Output product and cross entropy together, in chunks of rows.
 *
 * Going through the rows in chunks, each over the whole vocabulary, needs two products for loss and gradient; going
 * through the vocabulary in chunks would need a third, because the softmax's denominator is known only after the first
 * pass. Memory is bounded either way. The price is that the output matrix is read, and decoded, twice per chunk, so on
 * GPUs chunks are as large as memory allows (host/session/plan.c). The gradient of a trained output matrix is summed
 * chunk by chunk, and products may choose another shape for other rows: the last bits depend on the chunk.
 *
 * Test: test_ops_linear, test_ops_gradients
 */
#include "host/engine/ops/ops.h"

#include "runtime/base/size.h"
#include "shaders/elementwise/args.h"
#include "shaders/loss/args.h"

static uint32_t chunk_rows(const vkft_graph *g, const vkft_tensor *x, const vkft_head *head)
{
    uint64_t bytes = g->pass.logits_bytes ? g->pass.logits_bytes : VKFT_LOGITS_BYTES;
    return (uint32_t)min_u64(max_u64(bytes / sizeof(float) / head->w.rows, 16), x->rows);
}

void vkft_op_linear_cross_entropy(vkft_graph *g, vkft_tensor *x, const vkft_head *head, uint64_t target,
                                  uint64_t weight, uint64_t loss, bool backward)
{
    uint32_t C = head->w.cols, V = head->w.rows, chunk = chunk_rows(g, x, head);
    vkft_tensor *logits = vkft_tensor_new(g, VKFT_F32, chunk, V);
    vkft_tensor *dx = NULL;
    bool add = false;
    if (backward && x->needs_grad) /* the head may be trained alone */
        dx = vkft_grad(g, x, &add);
    for (uint32_t row = 0; row < x->rows; row += chunk) {
        uint32_t rows = min_u32(x->rows - row, chunk);
        uint64_t offset = vkft_tensor_row_bytes(x, row);
        uint64_t address = vkft_tensor_address(g, logits);
        vkft_multiply(&g->product, &(vkft_product){.w = &head->w,
                                                   .transposed = true,
                                                   .M = rows,
                                                   .X = vkft_tensor_address(g, x) + offset,
                                                   .Y = address,
                                                   .scale = head->scale});
        struct cross_entropy_args args = {
            .logits = address,
            .target = target + row * sizeof(uint32_t),
            .loss = loss + row * sizeof(float),
            .weight = weight + row * sizeof(float),
            .rows = rows,
            .V = V,
            .backward = backward,
            .softcap = head->softcap,
            .smoothing = g->pass.label_smoothing,
            .z_loss = g->pass.z_loss,
        };
        vkft_launch_rows(g, VKFT_KERNEL_cross_entropy, &args, sizeof args, rows, 1, 10.0 * rows * V);
        if (backward && head->w.grad)
            vkft_multiply_outer(&g->product, &(vkft_outer_product){.M = V,
                                                                   .N = C,
                                                                   .K = rows,
                                                                   .X = address,
                                                                   .Z = vkft_tensor_address(g, x) + offset,
                                                                   .R = head->w.grad,
                                                                   .Y = head->w.grad,
                                                                   .scale = head->scale});
        if (dx) {
            uint64_t dx_address = vkft_tensor_address(g, dx) + offset;
            vkft_multiply(&g->product, &(vkft_product){.w = &head->w,
                                                       .M = rows,
                                                       .X = address,
                                                       .R = add ? dx_address : 0,
                                                       .Y = dx_address,
                                                       .scale = head->scale});
        }
    }
}

void vkft_op_logits(vkft_graph *g, vkft_tensor *x, const vkft_head *head, uint64_t logits)
{
    uint32_t V = head->w.rows;
    vkft_multiply(&g->product, &(vkft_product){.w = &head->w,
                                               .transposed = true,
                                               .M = x->rows,
                                               .X = vkft_tensor_address(g, x),
                                               .Y = logits,
                                               .scale = head->scale});
    if (head->softcap > 0) {
        struct softcap_args args = {.x = logits, .n = x->rows * V, .cap = head->softcap};
        vkft_launch_elements(g, VKFT_KERNEL_softcap, &args, sizeof args, args.n, 1, 10.0 * args.n);
    }
}
