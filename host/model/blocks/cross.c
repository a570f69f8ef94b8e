/* A decoder's attention to its encoder. */
#include "host/model/blocks/blocks.h"

static vkft_tensor *forward(vkft_graph *g, const vkft_layer *layer, vkft_tensor *x, vkft_tensor *n,
                            const vkft_block_call *call)
{
    const vkft_attention_shape *shape = &layer->cross_attention;
    vkft_tensor *q = vkft_block_linear(g, layer, VKFT_CROSS_Q, n), *k, *v;
    if (call->memory) {
        k = vkft_block_linear(g, layer, VKFT_CROSS_K, call->memory);
        v = vkft_block_linear(g, layer, VKFT_CROSS_V, call->memory);
    } else {
        uint32_t width = shape->Hk * shape->D, rows = call->cross->longest;
        k = vkft_tensor_at(g, call->cache->cross_k, VKFT_F32, rows, width);
        v = vkft_tensor_at(g, call->cache->cross_v, VKFT_F32, rows, width);
    }
    vkft_tensor *a = vkft_op_attention(g, q, k, v, shape, call->cross);
    return vkft_block_join(g, layer, VKFT_CROSS_O, VKFT_NORM_CROSS_AFTER, x, a, call);
}

void vkft_cross_store(vkft_graph *g, const vkft_layer *layer, vkft_tensor *memory, const vkft_kv *cache)
{
    if (layer->upload)
        vkft_commands_stage(g->cmds, layer->upload);
    vkft_op_store(g, vkft_block_linear(g, layer, VKFT_CROSS_K, memory), cache->cross_k);
    vkft_op_store(g, vkft_block_linear(g, layer, VKFT_CROSS_V, memory), cache->cross_v);
}

const vkft_block_row vkft_block_cross = {
    .norm = VKFT_NORM_CROSS,
    .list = vkft_list_linears,
    .forward = forward,
};
