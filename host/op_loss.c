/* Output product and cross entropy together, in chunks of rows.
 *
 * Going through the rows in chunks, each over the whole vocabulary, needs two products for loss and gradient; going through the
 * vocabulary in chunks would need a third, because the softmax's denominator is known only after the first pass. Memory is
 * bounded either way. The price is that the output matrix is read once per chunk.
 *
 * Test: test_ops
 */
#include "ops.h"

#include "args.h"

static uint32_t chunk_rows(const vkft_tensor *x, const vkft_weight *head)
{
    uint32_t rows = VKFT_LOGITS_BYTES / (uint32_t)sizeof(float) / head->rows;
    rows = rows < 16 ? 16 : rows;
    return rows < x->rows ? rows : x->rows;
}

void vkft_op_linear_cross_entropy(vkft_graph *g, vkft_tensor *x, const vkft_weight *head, uint64_t target, uint64_t loss,
                                  bool backward)
{
    uint32_t C = head->cols, V = head->rows, chunk = chunk_rows(x, head);
    vkft_tensor *logits = vkft_tensor_new(g, chunk, V);
    vkft_tensor *dx = NULL;
    bool add = false;
    if (backward)
        dx = vkft_grad(g, x, &add);
    for (uint32_t row = 0; row < x->rows; row += chunk) {
        uint32_t rows = x->rows - row < chunk ? x->rows - row : chunk;
        uint64_t offset = (uint64_t)row * C * sizeof(float);
        uint64_t address = vkft_use(g, logits);
        vkft_matmul_nt(&g->mm, rows, vkft_use(g, x) + offset, C, head, 0, address, V, 1.0f);
        struct cross_entropy_args args = {
            .logits = address, .target = target + row * sizeof(uint32_t), .loss = loss + row * sizeof(float),
            .step = g->step, .rows = rows, .V = V, .backward = backward,
        };
        uint64_t width = g->mm.cmds ? vkft_kernel_width(g->mm.dev, VKFT_KERNEL_cross_entropy) : 0;
        vkft_launch(g->mm.cmds, VKFT_KERNEL_cross_entropy, &args, sizeof args, rows * width, 1, 1, 10.0 * rows * V);
        if (backward) {
            uint64_t dx_address = vkft_use(g, dx) + offset;
            vkft_matmul_nn(&g->mm, rows, address, V, head, add ? dx_address : 0, dx_address, C, 1.0f);
        }
    }
}

void vkft_op_logits(vkft_graph *g, vkft_tensor *x, const vkft_weight *head, uint64_t logits)
{
    vkft_matmul_nt(&g->mm, x->rows, vkft_use(g, x), head->cols, head, 0, logits, head->rows, 1.0f);
}
