/* Embeddings: the rows of tokens, what may be trained on them, and noise.
 *
 *   y = c (W[ids] + s z B^T),  z = A^T[ids];  dz = c s dy B;  dB += c s dy^T z;  dA[k, ids[t]] += dz[t,k]
 *
 * and, where rows are trained, drow[ids[t]] += c dy[t]. LoRA on an embedding has no dropout, as in PEFT. Gradients of
 * rows are added token by token, in the order of tokens, so that their bits are the same in each run.
 *
 * Test: test_ops_layers, test_ops_gradients, test_ops_embedding
 */
#include "host/engine/ops/ops.h"

#include "runtime/base/size.h"
#include "shaders/embedding/args.h"

static void launch_embedding(vkft_graph *g, const vkft_weight *table, struct embedding_args args)
{
    vkft_kernel kernel = vkft_kernel_by_type(VKFT_FAMILY_embedding, table->storage);
    args.table = vkft_weight_ref(table);
    args.C = table->cols;
    vkft_launch_rows(g, kernel, &args, sizeof args, args.T, 1, (double)args.T * args.C);
}

typedef struct embedding_state {
    uint64_t ids, dtable;
    uint32_t offset, V;
    float scale;
    const vkft_lora *lora;       /* NULL: none */
    const vkft_token_rows *rows; /* NULL: none */
} embedding_state;

static struct token_rows_args rows_args(vkft_graph *g, const embedding_state *s, uint64_t rows, const vkft_tensor *y)
{
    return (struct token_rows_args){.rows = rows,
                                    .slots = s->rows->slots,
                                    .ids = s->ids,
                                    .y = vkft_tensor_address(g, y),
                                    .T = y->rows,
                                    .C = y->cols,
                                    .scale = s->scale};
}

static struct embedding_lora_args lora_args(vkft_graph *g, const embedding_state *s, uint64_t a, const vkft_tensor *z)
{
    return (struct embedding_lora_args){
        .a = a, .ids = s->ids, .z = vkft_tensor_address(g, z), .T = z->rows, .V = s->V, .r = z->cols};
}

static vkft_weight lora_b(const vkft_lora *lora, uint32_t C)
{
    return (vkft_weight){.storage = VKFT_STORAGE_f32, .rows = C, .cols = lora->r, .part = {lora->B}};
}

static void lora_backward(vkft_graph *g, const embedding_state *s, vkft_tensor *dy, const vkft_tensor *z)
{
    const vkft_lora *lora = s->lora;
    vkft_weight b = lora_b(lora, dy->cols);
    float scale = s->scale * lora->scale;
    vkft_tensor *dz = vkft_tensor_new(g, VKFT_F32, z->rows, z->cols);
    uint64_t dy_address = vkft_tensor_address(g, dy);
    vkft_multiply(
        &g->product,
        &(vkft_product){
            .w = &b, .M = dy->rows, .X = dy_address, .Y = vkft_tensor_address(g, dz), .scale = scale, .exact = true});
    vkft_multiply_outer(&g->product, &(vkft_outer_product){.M = dy->cols,
                                                           .N = lora->r,
                                                           .K = dy->rows,
                                                           .X = dy_address,
                                                           .Z = vkft_tensor_address(g, z),
                                                           .R = lora->dB,
                                                           .Y = lora->dB,
                                                           .scale = scale});
    struct embedding_lora_args args = lora_args(g, s, lora->dA, dz);
    vkft_launch_elements(g, VKFT_KERNEL_embedding_lora_backward, &args, sizeof args,
                         (uint64_t)args.r * EMBEDDING_LORA_PARTS, 1, 4.0 * args.T * args.r * EMBEDDING_LORA_PARTS);
}

static void embedding_backward(vkft_graph *g, const vkft_tape_entry *op)
{
    const embedding_state *state = op->state;
    vkft_tensor *dy = op->out->grad;
    struct embedding_backward_args args = {.ids = state->ids,
                                           .dtable = state->dtable,
                                           .T = dy->rows,
                                           .C = dy->cols,
                                           .offset = state->offset,
                                           .scale = state->scale};
    double flops = 2.0 * args.T * args.C;
    if (state->dtable) {
        args.dy = vkft_tensor_address(g, dy);
        vkft_launch_elements(g, VKFT_KERNEL_embedding_backward, &args, sizeof args, args.C, 1, flops);
    }
    if (state->rows) {
        struct token_rows_args own = rows_args(g, state, state->rows->drows, dy);
        vkft_launch_elements(g, VKFT_KERNEL_token_rows_backward, &own, sizeof own, own.C, 1, flops);
    }
    if (state->lora)
        lora_backward(g, state, dy, op->saved);
}

static void push_embedding(vkft_graph *g, vkft_tensor *y, vkft_tensor *z, embedding_state state)
{
    vkft_tape_push(g, (vkft_tape_entry){.backward = embedding_backward, .out = y, .saved = z}, &state, sizeof state);
}

/* y += scale * z B^T; returns z. */
static vkft_tensor *add_lora(vkft_graph *g, const embedding_state *s, vkft_tensor *y)
{
    const vkft_lora *lora = s->lora;
    vkft_weight b = lora_b(lora, y->cols);
    vkft_tensor *z = vkft_tensor_new(g, VKFT_F32, y->rows, lora->r);
    struct embedding_lora_args args = lora_args(g, s, lora->A, z);
    vkft_launch_elements(g, VKFT_KERNEL_embedding_lora, &args, sizeof args, (uint64_t)args.T * args.r, 1,
                         (double)args.T * args.r);
    vkft_multiply(&g->product, &(vkft_product){.w = &b,
                                               .transposed = true,
                                               .M = y->rows,
                                               .X = vkft_tensor_address(g, z),
                                               .R = vkft_tensor_address(g, y),
                                               .Y = vkft_tensor_address(g, y),
                                               .scale = s->scale * lora->scale,
                                               .exact = true});
    return z;
}

vkft_tensor *vkft_op_embedding(vkft_graph *g, const vkft_embedding *e, uint64_t ids, uint32_t T, float scale)
{
    const vkft_weight *table = e->table;
    embedding_state state = {.ids = ids,
                             .dtable = table->grad,
                             .V = table->rows,
                             .scale = scale,
                             .lora = e->lora && e->lora->r ? e->lora : NULL,
                             .rows = e->rows && e->rows->count ? e->rows : NULL};
    vkft_tensor *y = vkft_tensor_new(g, VKFT_F32, T, table->cols), *z = NULL;
    launch_embedding(g, table,
                     (struct embedding_args){.ids = ids, .y = vkft_tensor_address(g, y), .T = T, .scale = scale});
    if (state.rows) {
        struct token_rows_args args = rows_args(g, &state, state.rows->rows, y);
        vkft_launch_rows(g, VKFT_KERNEL_token_rows, &args, sizeof args, T, 1, (double)T * table->cols);
    }
    if (state.lora)
        z = add_lora(g, &state, y);
    y->needs_grad = table->grad || (state.lora && state.lora->dB) || (state.rows && state.rows->drows);
    if (y->needs_grad)
        push_embedding(g, y, z, state);
    return y;
}

void vkft_op_embedding_add(vkft_graph *g, vkft_tensor *x, const vkft_weight *table, uint64_t ids, uint32_t offset)
{
    launch_embedding(
        g, table,
        (struct embedding_args){
            .ids = ids, .y = vkft_tensor_address(g, x), .T = x->rows, .offset = offset, .add = 1, .scale = 1.0f});
    if (!table->grad)
        return;
    x->needs_grad = true;
    push_embedding(g, x, NULL, (embedding_state){.ids = ids, .dtable = table->grad, .offset = offset, .scale = 1.0f});
}

#define NOISE_LAYER UINT32_MAX /* for the dropout generator, whose other layers are linear ones */

void vkft_op_noise(vkft_graph *g, vkft_tensor *x, const vkft_sequence *sequence, float scale)
{
    if (g->pass.noise == 0)
        return;
    uint64_t n = (uint64_t)x->rows * x->cols;
    struct noise_args args = {.x = vkft_tensor_address(g, x),
                              .query_range = sequence->query_range,
                              .key_range = sequence->key_range,
                              .step = g->step,
                              .T = x->rows,
                              .C = x->cols,
                              .seed_low = (uint32_t)g->seed,
                              .seed_high = (uint32_t)(g->seed >> 32),
                              .layer = NOISE_LAYER,
                              .alpha = scale * g->pass.noise};
    vkft_launch_elements(g, VKFT_KERNEL_noise, &args, sizeof args, ceil_div_u64(n, 4), 1, 16.0 * (double)n);
}
