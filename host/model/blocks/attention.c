/* Self-attention: projections, fused or not, norms of queries and keys, rotary positions, the KV cache. */
#include "host/model/blocks/blocks.h"

typedef struct heads {
    vkft_tensor *q, *k, *v;
} heads;

static heads project(vkft_graph *g, const vkft_layer *layer, vkft_tensor *n)
{
    const vkft_attention_shape *s = &layer->attention;
    uint32_t D = s->D, q = s->Hq * D, kv = s->Hk * D;
    if (!vkft_block_has_linear(layer, VKFT_QKV))
        return (heads){vkft_block_linear(g, layer, VKFT_Q, n), vkft_block_linear(g, layer, VKFT_K, n),
                       vkft_block_linear(g, layer, VKFT_V, n)};
    vkft_tensor *all = vkft_block_linear(g, layer, VKFT_QKV, n);
    if (layer->spec.qkv_by_head)
        return (heads){vkft_op_columns(g, all, (vkft_columns){0, D, 3 * D, s->Hq}),
                       vkft_op_columns(g, all, (vkft_columns){D, D, 3 * D, s->Hq}),
                       vkft_op_columns(g, all, (vkft_columns){2 * D, D, 3 * D, s->Hq})};
    return (heads){vkft_op_columns(g, all, (vkft_columns){0, q, q, 1}),
                   vkft_op_columns(g, all, (vkft_columns){q, kv, kv, 1}),
                   vkft_op_columns(g, all, (vkft_columns){q + kv, kv, kv, 1})};
}

/* Writes the new keys and values to the cache at their positions, and reads all of them from there. */
static void use_cache(vkft_graph *g, const vkft_kv *cache, const vkft_sequence *sequence, heads *h)
{
    vkft_op_store_rows(g, h->k, sequence->position, cache->k);
    vkft_op_store_rows(g, h->v, sequence->position, cache->v);
    h->k = vkft_tensor_at(g, cache->k, VKFT_F32, sequence->longest, h->k->cols);
    h->v = vkft_tensor_at(g, cache->v, VKFT_F32, sequence->longest, h->v->cols);
}

static vkft_tensor *forward(vkft_graph *g, const vkft_layer *layer, vkft_tensor *x, vkft_tensor *n,
                            const vkft_block_call *call)
{
    const vkft_sequence *sequence = layer->spec.window ? call->windowed : call->sequence;
    const vkft_norm *norms = layer->norm;
    heads h = project(g, layer, n);
    if (norms[VKFT_NORM_Q].width)
        h.q = vkft_op_norm(g, h.q, &norms[VKFT_NORM_Q]);
    if (norms[VKFT_NORM_K].width)
        h.k = vkft_op_norm(g, h.k, &norms[VKFT_NORM_K]);
    if (layer->rotary) {
        vkft_op_rope(g, h.q, layer->attention.D, *layer->rotary, sequence);
        vkft_op_rope(g, h.k, layer->attention.D, *layer->rotary, sequence);
    }
    if (call->cache)
        use_cache(g, call->cache, sequence, &h);
    vkft_tensor *a = vkft_op_attention(g, h.q, h.k, h.v, &layer->attention, sequence);
    return vkft_block_join(g, layer, VKFT_O, VKFT_NORM_ATTENTION_AFTER, x, a, call);
}

const vkft_block_row vkft_block_attention = {
    .norm = VKFT_NORM_ATTENTION,
    .list = vkft_list_linears,
    .forward = forward,
};
