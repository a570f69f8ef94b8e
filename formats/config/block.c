/* Blocks from a configuration, and the shapes that follow from them. */
#include "formats/config/block.h"

static void set_parts(vkft_block_spec *block, const vkft_config *config, vkft_stack_kind stack, bool mixture)
{
    uint32_t n = 0;
    block->parts[n++] = VKFT_BLOCK_ATTENTION;
    if (stack == VKFT_DECODER && config->encoder_layers)
        block->parts[n++] = VKFT_BLOCK_CROSS;
    block->parts[n] = mixture ? VKFT_BLOCK_EXPERTS : VKFT_BLOCK_MLP;
}

static vkft_block_rope rope_of(const vkft_config *config, uint8_t flags)
{
    if (!config->rope.dim || flags & VKFT_LAYER_NO_ROPE)
        return VKFT_BLOCK_NO_ROPE;
    return flags & VKFT_LAYER_LOCAL_ROPE ? VKFT_BLOCK_LOCAL_ROPE : VKFT_BLOCK_ROPE;
}

vkft_block_spec vkft_config_block(const vkft_config *config, vkft_stack_kind stack, uint32_t layer)
{
    uint8_t flags = config->layers[layer];
    uint32_t width = config->layer_intermediate_size[layer];
    vkft_block_spec block = {
        .hidden_size = config->hidden_size,
        .norm_after_residual = config->norm_after_residual,
        .parallel = config->parallel_residual,
        .residual_scale = config->residual_scale,
        .heads = config->num_heads,
        .kv_heads = config->num_kv_heads,
        .head_dim = config->head_dim,
        .window = flags & VKFT_LAYER_WINDOW ? config->sliding_window : 0,
        .rope = rope_of(config, flags),
        .attention_scale = config->attention_scale,
        .attention_softcap = config->attention_softcap,
        .qkv_bias = config->qkv_bias,
        .o_bias = config->o_bias,
        .qkv_by_head = config->qkv_by_head,
        .qk_norm_whole = config->qk_norm_whole,
        .activation = config->activation,
        .mlp_width = width ? width : config->intermediate_size,
        .mlp_bias = config->mlp_bias,
        .experts = config->experts,
        .experts_per_token = config->experts_per_token,
        .expert_width = config->expert_size,
        .expert_weights_normalized = config->expert_weights_normalized,
    };
    set_parts(&block, config, stack, (flags & VKFT_LAYER_EXPERTS) != 0);
    return block;
}

bool vkft_block_has(const vkft_block_spec *block, vkft_block_part part)
{
    for (uint32_t i = 0; i < VKFT_BLOCK_PARTS; i++)
        if (block->parts[i] == part)
            return true;
    return false;
}

vkft_block_part vkft_linear_part(vkft_linear_slot slot)
{
    static const vkft_block_part parts[VKFT_LINEAR_SLOTS] = {
#define LINEAR(name, part, out, in, bias) [VKFT_##name] = VKFT_BLOCK_##part,
#include "formats/config/block.def"
#undef LINEAR
    };
    return parts[slot];
}

static uint32_t query_width(const vkft_block_spec *b)
{
    return b->heads * b->head_dim;
}

static uint32_t key_width(const vkft_block_spec *b)
{
    return b->kv_heads * b->head_dim;
}

void vkft_linear_shape(const vkft_block_spec *b, vkft_linear_slot slot, uint32_t *out, uint32_t *in)
{
    const uint32_t shapes[VKFT_LINEAR_SLOTS][2] = {
#define LINEAR(name, part, out, in, bias) [VKFT_##name] = {out, in},
#include "formats/config/block.def"
#undef LINEAR
    };
    *out = shapes[slot][0];
    *in = shapes[slot][1];
}

bool vkft_linear_has_bias(const vkft_block_spec *b, vkft_linear_slot slot)
{
    const bool biases[VKFT_LINEAR_SLOTS] = {
#define LINEAR(name, part, out, in, bias) [VKFT_##name] = (bias),
#include "formats/config/block.def"
#undef LINEAR
    };
    return biases[slot];
}

uint32_t vkft_norm_width(const vkft_block_spec *b, vkft_norm_slot slot)
{
    switch (slot) {
    case VKFT_NORM_Q: return b->qk_norm_whole ? query_width(b) : b->head_dim;
    case VKFT_NORM_K: return b->qk_norm_whole ? key_width(b) : b->head_dim;
    default: return b->hidden_size;
    }
}
