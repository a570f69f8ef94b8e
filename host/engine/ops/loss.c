/* Output product and cross entropy together, in chunks of rows.
 *
 * Going through the rows in chunks, each over the whole vocabulary, needs two products for loss and gradient; going
 * through the vocabulary in chunks would need a third, because the softmax's denominator is known only after the first
 * pass. Memory is bounded either way. The price is that the output matrix is read, and decoded, twice per chunk, so on
 * GPUs chunks are as large as memory allows (host/session/plan.c). The gradient of a trained output matrix is summed
 * chunk by chunk, and products may choose another shape for other rows: the last bits depend on the chunk.
 *
 * The head may have LoRA, whose products with B go with the chunks and those with A with all rows, or rows of its own
 * for some tokens: their columns of the logits are computed once more, and take the place of the matrix's.
 *
 * Test: test_ops_linear, test_ops_gradients, test_ops_embedding
 */
#include "host/engine/ops/linear_private.h"

#include "runtime/base/size.h"
#include "shaders/elementwise/args.h"
#include "shaders/embedding/args.h"
#include "shaders/loss/args.h"

static uint32_t chunk_rows(const vkft_graph *g, const vkft_tensor *x, const vkft_head *head)
{
    uint64_t bytes = g->pass.logits_bytes ? g->pass.logits_bytes : VKFT_LOGITS_BYTES;
    return (uint32_t)min_u64(max_u64(bytes / sizeof(float) / head->w.rows, 16), x->rows);
}

/* What a head has beside its matrix, while rows go through it. */
typedef struct extra {
    vkft_tensor *z, *dz; /* LoRA: dropout(x) A^T of all rows, and its gradient; NULL: none */
    vkft_tensor *own;    /* columns of logits from the rows of trained tokens, of one chunk; NULL: none */
} extra;

static extra begin_extra(vkft_graph *g, vkft_tensor *x, const vkft_head *head, uint32_t chunk, bool backward)
{
    extra e = {NULL, NULL, NULL};
    if (head->adapted.lora.r)
        e.z = vkft_lora_inner(g, &head->adapted, x);
    if (e.z && backward)
        e.dz = vkft_tensor_new(g, VKFT_F32, x->rows, e.z->cols);
    if (head->rows.count)
        e.own = vkft_tensor_new(g, VKFT_F32, chunk, head->rows.count);
    return e;
}

static vkft_weight lora_b(const vkft_head *head)
{
    const vkft_lora *lora = &head->adapted.lora;
    return (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = head->w.rows, .cols = lora->r, .part = {lora->B}};
}

static vkft_weight own_rows(const vkft_head *head)
{
    return (vkft_weight){
        .storage = VKFT_STORAGE_f32, .rows = head->rows.count, .cols = head->w.cols, .part = {head->rows.rows}};
}

static void exchange_columns(vkft_graph *g, const vkft_head *head, const vkft_tensor *own, uint64_t logits,
                             uint32_t rows, bool take)
{
    struct token_columns_args args = {.x = logits,
                                      .tokens = head->rows.tokens,
                                      .own = vkft_tensor_address(g, own),
                                      .T = rows,
                                      .V = head->w.rows,
                                      .n = own->cols,
                                      .take = take};
    uint64_t n = (uint64_t)rows * own->cols;
    vkft_launch_elements(g, VKFT_KERNEL_token_columns, &args, sizeof args, n, 1, (double)n);
}

/* Logits of some rows of x before they are capped. */
static void forward(vkft_graph *g, const vkft_tensor *x, uint32_t row, uint32_t rows, const vkft_head *head,
                    const extra *e, uint64_t logits)
{
    uint64_t X = vkft_tensor_address(g, x) + vkft_tensor_row_bytes(x, row);
    vkft_multiply(
        &g->product,
        &(vkft_product){.w = &head->w, .transposed = true, .M = rows, .X = X, .Y = logits, .scale = head->scale});
    if (e->z) {
        vkft_weight b = lora_b(head);
        vkft_multiply(&g->product, &(vkft_product){.w = &b,
                                                   .transposed = true,
                                                   .M = rows,
                                                   .X = vkft_tensor_address(g, e->z) + vkft_tensor_row_bytes(e->z, row),
                                                   .R = logits,
                                                   .Y = logits,
                                                   .scale = head->scale * head->adapted.lora.scale,
                                                   .exact = true});
    }
    if (e->own) {
        vkft_weight own = own_rows(head);
        vkft_multiply(&g->product, &(vkft_product){.w = &own,
                                                   .transposed = true,
                                                   .M = rows,
                                                   .X = X,
                                                   .Y = vkft_tensor_address(g, e->own),
                                                   .scale = head->scale,
                                                   .exact = true});
        exchange_columns(g, head, e->own, logits, rows, false);
    }
}

/* The gradients of what is trained on the head, but for A's, from those of the logits. Where tokens have rows of their
 * own, their columns become 0, and the matrix's rows get nothing of them. */
static void backward_extra(vkft_graph *g, const vkft_tensor *x, uint32_t row, uint32_t rows, const vkft_head *head,
                           const extra *e, uint64_t dlogits)
{
    const vkft_lora *lora = &head->adapted.lora;
    if (e->z) {
        vkft_weight b = lora_b(head);
        float scale = head->scale * lora->scale;
        vkft_multiply_outer(&g->product,
                            &(vkft_outer_product){.M = head->w.rows,
                                                  .N = lora->r,
                                                  .K = rows,
                                                  .X = dlogits,
                                                  .Z = vkft_tensor_address(g, e->z) + vkft_tensor_row_bytes(e->z, row),
                                                  .R = lora->dB,
                                                  .Y = lora->dB,
                                                  .scale = scale});
        vkft_multiply(&g->product,
                      &(vkft_product){.w = &b,
                                      .M = rows,
                                      .X = dlogits,
                                      .Y = vkft_tensor_address(g, e->dz) + vkft_tensor_row_bytes(e->dz, row),
                                      .scale = scale,
                                      .exact = true});
    }
    if (e->own) {
        exchange_columns(g, head, e->own, dlogits, rows, true);
        vkft_multiply_outer(&g->product,
                            &(vkft_outer_product){.M = head->rows.count,
                                                  .N = head->w.cols,
                                                  .K = rows,
                                                  .X = vkft_tensor_address(g, e->own),
                                                  .Z = vkft_tensor_address(g, x) + vkft_tensor_row_bytes(x, row),
                                                  .R = head->rows.drows,
                                                  .Y = head->rows.drows,
                                                  .scale = head->scale});
    }
}

/* dx of some rows; dx: their address. */
static void backward_input(vkft_graph *g, uint32_t rows, const vkft_head *head, const extra *e, uint64_t dlogits,
                           uint64_t dx, bool add)
{
    vkft_multiply(
        &g->product,
        &(vkft_product){.w = &head->w, .M = rows, .X = dlogits, .R = add ? dx : 0, .Y = dx, .scale = head->scale});
    if (e->own) {
        vkft_weight own = own_rows(head);
        vkft_multiply(&g->product, &(vkft_product){.w = &own,
                                                   .M = rows,
                                                   .X = vkft_tensor_address(g, e->own),
                                                   .R = dx,
                                                   .Y = dx,
                                                   .scale = head->scale,
                                                   .exact = true});
    }
}

void vkft_op_linear_cross_entropy(vkft_graph *g, vkft_tensor *x, const vkft_head *head, uint64_t target,
                                  uint64_t weight, uint64_t loss, bool backward)
{
    uint32_t C = head->w.cols, V = head->w.rows, chunk = chunk_rows(g, x, head);
    extra e = begin_extra(g, x, head, chunk, backward);
    vkft_tensor *logits = vkft_tensor_new(g, VKFT_F32, chunk, V);
    vkft_tensor *dx = NULL;
    bool add = false;
    if (backward && x->needs_grad) /* the head may be trained alone */
        dx = vkft_grad(g, x, &add);
    for (uint32_t row = 0; row < x->rows; row += chunk) {
        uint32_t rows = min_u32(x->rows - row, chunk);
        uint64_t offset = vkft_tensor_row_bytes(x, row);
        uint64_t address = vkft_tensor_address(g, logits);
        forward(g, x, row, rows, head, &e, address);
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
        if (backward)
            backward_extra(g, x, row, rows, head, &e, address);
        if (dx)
            backward_input(g, rows, head, &e, address, vkft_tensor_address(g, dx) + offset, add);
    }
    if (e.dz)
        vkft_lora_inner_backward(g, &head->adapted, x, e.dz, dx);
}

void vkft_op_logits(vkft_graph *g, vkft_tensor *x, const vkft_head *head, uint64_t logits)
{
    extra e = begin_extra(g, x, head, x->rows, false);
    forward(g, x, 0, x->rows, head, &e, logits);
    if (head->softcap > 0) {
        struct softcap_args args = {.x = logits, .n = x->rows * head->w.rows, .cap = head->softcap};
        vkft_launch_elements(g, VKFT_KERNEL_softcap, &args, sizeof args, args.n, 1, 10.0 * args.n);
    }
}
