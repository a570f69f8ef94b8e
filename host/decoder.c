/*   n  = rmsnorm(x)
 *   a  = attention(rope(Wq n), rope(Wk n), Wv n)
 *   x' = x + Wo a
 *   m  = rmsnorm(x')
 *   y  = x' + Wdown (silu(Wgate m) * Wup m)
 *
 * Source: Touvron et al. 2023 (Llama). Test: test_golden
 */
#include "decoder.h"

#include <stdlib.h>

typedef struct block_call {
    const vkft_kv *cache;
    uint32_t first; /* tokens in the cache */
    bool only_backward;
} block_call;

static vkft_tensor *linear(vkft_graph *g, vkft_tensor *x, const vkft_layer *layer, vkft_linear_slot slot,
                           vkft_linear_call call)
{
    return vkft_op_linear(g, x, &layer->linear[slot], call);
}

/* Where a new key or value goes: behind those of the cache, or 0 for a tensor of its own. */
static vkft_linear_call into_cache(const block_call *call, uint64_t cache, uint32_t width)
{
    uint64_t at = call->cache ? cache + (uint64_t)call->first * width * sizeof(float) : 0;
    return (vkft_linear_call){.out = at};
}

static vkft_tensor *attention(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *n,
                              const vkft_sequence *sequence, const block_call *call)
{
    const vkft_attention_shape *shape = &model->attention;
    uint32_t width = shape->Hk * shape->D;
    vkft_tensor *q = linear(g, n, layer, VKFT_Q, (vkft_linear_call){0});
    vkft_tensor *k = linear(g, n, layer, VKFT_K, into_cache(call, call->cache ? call->cache->k : 0, width));
    vkft_tensor *v = linear(g, n, layer, VKFT_V, into_cache(call, call->cache ? call->cache->v : 0, width));
    vkft_op_rope(g, q, shape->D, model->rope_table, sequence);
    vkft_op_rope(g, k, shape->D, model->rope_table, sequence);
    if (call->cache) {
        k = vkft_tensor_at(g, call->cache->k, call->first + n->rows, width);
        v = vkft_tensor_at(g, call->cache->v, call->first + n->rows, width);
    }
    return vkft_op_attention(g, q, k, v, shape, sequence);
}

static vkft_tensor *block(vkft_graph *g, const vkft_model *model, const vkft_layer *layer, vkft_tensor *x,
                          const vkft_sequence *sequence, block_call call)
{
    float eps = model->config.rms_norm_eps;
    vkft_tensor *n = vkft_op_rmsnorm(g, x, layer->attention_norm, eps);
    vkft_tensor *a = attention(g, model, layer, n, sequence, &call);
    vkft_tensor *x2 = linear(g, a, layer, VKFT_O, (vkft_linear_call){.residual = x});
    vkft_tensor *m = vkft_op_rmsnorm(g, x2, layer->mlp_norm, eps);
    vkft_tensor *gate = linear(g, m, layer, VKFT_GATE, (vkft_linear_call){0});
    vkft_tensor *up = linear(g, m, layer, VKFT_UP, (vkft_linear_call){0});
    vkft_tensor *h = vkft_op_swiglu(g, gate, up);
    return linear(g, h, layer, VKFT_DOWN, (vkft_linear_call){.residual = x2, .only_backward = call.only_backward});
}

/* Final norm of the rows that are asked for, then their losses and with backward the gradient of x. */
static vkft_tensor *final_norm(vkft_graph *g, const vkft_model *model, vkft_tensor *x, uint64_t row_index, uint32_t rows)
{
    vkft_tensor *picked = vkft_op_gather(g, x, row_index, rows);
    return vkft_op_rmsnorm(g, picked, model->final_norm, model->config.rms_norm_eps);
}

void vkft_decoder_train(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, bool checkpointing)
{
    uint32_t L = model->config.num_layers;
    vkft_tensor **x = malloc((L + 1ull) * sizeof *x); /* x[l]: the input of block l */
    if (!x) {
        g->failed = true;
        return;
    }
    x[0] = vkft_op_embedding(g, &model->embedding, batch->ids, batch->tokens);
    for (uint32_t l = 0; l < L; l++) {
        g->taping = !checkpointing || l + 1 == L; /* the last block's backward follows at once: nothing to save */
        x[l + 1] = block(g, model, &model->layers[l], x[l], &batch->sequence, (block_call){0});
    }
    g->taping = true;
    vkft_tensor *n = final_norm(g, model, x[L], batch->loss_row, batch->rows);
    vkft_op_linear_cross_entropy(g, n, &model->head, batch->target, batch->loss, n->needs_grad);
    vkft_tape_backward(g, 0);
    for (uint32_t l = checkpointing ? L - 1 : 0; l-- > 0 && x[l + 1]->needs_grad;) {
        vkft_tensor *y = block(g, model, &model->layers[l], x[l], &batch->sequence, (block_call){.only_backward = true});
        y->grad = x[l + 1]->grad;
        vkft_tape_backward(g, 0);
    }
    free(x);
}

void vkft_decoder_eval(vkft_graph *g, const vkft_model *model, const vkft_batch *batch)
{
    vkft_tensor *x = vkft_op_embedding(g, &model->embedding, batch->ids, batch->tokens);
    for (uint32_t l = 0; l < model->config.num_layers; l++)
        x = block(g, model, &model->layers[l], x, &batch->sequence, (block_call){0});
    vkft_tensor *n = final_norm(g, model, x, batch->loss_row, batch->rows);
    vkft_op_linear_cross_entropy(g, n, &model->head, batch->target, batch->loss, false);
}

void vkft_decoder_next(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches,
                       uint32_t first, uint64_t logits)
{
    vkft_tensor *x = vkft_op_embedding(g, &model->embedding, batch->ids, batch->tokens);
    for (uint32_t l = 0; l < model->config.num_layers; l++)
        x = block(g, model, &model->layers[l], x, &batch->sequence, (block_call){.cache = &caches[l], .first = first});
    vkft_op_logits(g, final_norm(g, model, x, batch->loss_row, 1), &model->head, logits);
}
