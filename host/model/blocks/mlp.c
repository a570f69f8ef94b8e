/* The feed-forward layer: gated, with its two projections fused or not, or plain. */
#include "host/model/blocks/blocks.h"

static vkft_tensor *inside(vkft_graph *g, const vkft_layer *layer, vkft_tensor *n)
{
    vkft_activation act = layer->spec.activation;
    uint32_t F = layer->spec.mlp_width;
    if (vkft_block_has_linear(layer, VKFT_GATE_UP)) {
        vkft_tensor *both = vkft_block_linear(g, layer, VKFT_GATE_UP, n);
        vkft_tensor *gate = vkft_op_columns(g, both, (vkft_columns){0, F, F, 1});
        return vkft_op_gated(g, gate, vkft_op_columns(g, both, (vkft_columns){F, F, F, 1}), act);
    }
    if (!vkft_block_has_linear(layer, VKFT_GATE))
        return vkft_op_activation(g, vkft_block_linear(g, layer, VKFT_UP, n), act);
    vkft_tensor *gate = vkft_block_linear(g, layer, VKFT_GATE, n);
    return vkft_op_gated(g, gate, vkft_block_linear(g, layer, VKFT_UP, n), act);
}

static vkft_tensor *forward(vkft_graph *g, const vkft_layer *layer, vkft_tensor *x, vkft_tensor *n,
                            const vkft_block_call *call)
{
    return vkft_block_join(g, layer, VKFT_DOWN, VKFT_NORM_MLP_AFTER, x, inside(g, layer, n), call);
}

const vkft_block_row vkft_block_mlp = {
    .norm = VKFT_NORM_MLP,
    .list = vkft_list_linears,
    .forward = forward,
};
