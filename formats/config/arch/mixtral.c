/* Mixtral: Mistral's block with experts in place of the feed-forward layer. */
#include <string.h>

#include "formats/config/config_read.h"

/* Noise that transformers multiplies the router's input by while it trains. */
static bool read_jitter(const vkft_config_source *in)
{
    float jitter = 0;
    return vkft_config_float(in, "router_jitter_noise", &jitter) &&
           (jitter == 0 || vkft_fail(in->err, VKFT_ERR_INPUT, "%s: router_jitter_noise %g is not supported; expected 0",
                                     in->file, (double)jitter));
}

static bool read(const vkft_config_source *in, vkft_config *c)
{
    c->num_kv_heads = 8;
    c->max_position = 131072;
    c->norm_eps = 1e-5f;
    c->rope.theta = 1000000.0;
    c->experts = 8;
    c->experts_per_token = 2;
    c->expert_weights_normalized = true;
    if (!vkft_config_llama(in, c) || !vkft_config_optional_u32(in, "sliding_window", &c->sliding_window))
        return false;
    c->expert_size = c->intermediate_size;
    memset(c->layers, VKFT_LAYER_WINDOW | VKFT_LAYER_EXPERTS, c->num_layers);
    return vkft_config_experts(in, c) && read_jitter(in);
}

const vkft_arch vkft_arch_mixtral = {
    .model_type = "mixtral",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {[VKFT_Q] = "self_attn.q_proj",
                       [VKFT_K] = "self_attn.k_proj",
                       [VKFT_V] = "self_attn.v_proj",
                       [VKFT_O] = "self_attn.o_proj",
                       [VKFT_ROUTER] = "block_sparse_moe.gate",
                       [VKFT_EXPERT_GATE] = "block_sparse_moe.experts.*.w1",
                       [VKFT_EXPERT_UP] = "block_sparse_moe.experts.*.w3",
                       [VKFT_EXPERT_DOWN] = "block_sparse_moe.experts.*.w2"},
    .never_quantized[VKFT_ROUTER] = true,
    .read = read,
};
