/* Qwen 3, mixtures of experts: Qwen 3's attention, and in most layers experts of which the router picks a few for each
 * token. */
#include <string.h>

#include "formats/config/config_read.h"

/* Every decoder_sparse_step-th layer is a mixture, but for those listed in mlp_only_layers. */
static bool read_mixtures(const vkft_config_source *in, vkft_config *c)
{
    const cJSON *dense = NULL;
    uint32_t step = 1;
    if (!vkft_config_u32(in, "decoder_sparse_step", &step) ||
        !vkft_json_get_array(in->json, "mlp_only_layers", false, &dense, in->file, in->err))
        return false;
    if (!step)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: decoder_sparse_step is 0, expected a positive number", in->file);
    for (uint32_t l = step - 1; l < c->num_layers; l += step)
        c->layers[l] |= VKFT_LAYER_EXPERTS;
    for (const cJSON *layer = dense ? dense->child : NULL; layer; layer = layer->next) {
        if (!cJSON_IsNumber(layer))
            return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: mlp_only_layers: expected a list of numbers", in->file);
        if (layer->valuedouble >= 0 && layer->valuedouble < c->num_layers)
            c->layers[(uint32_t)layer->valuedouble] &= (uint8_t)~VKFT_LAYER_EXPERTS;
    }
    return true;
}

static bool read(const vkft_config_source *in, vkft_config *c)
{
    bool window = false;
    c->max_position = 32768;
    c->num_kv_heads = 4;
    c->experts = 128;
    c->experts_per_token = 8;
    c->expert_size = 768;
    c->sliding_window = 4096;
    memset(c->layers, VKFT_LAYER_WINDOW, sizeof c->layers);
    if (!vkft_config_llama(in, c) || !vkft_config_attention_bias(in, c) ||
        !vkft_config_u32(in, "moe_intermediate_size", &c->expert_size) || !vkft_config_experts(in, c) ||
        !vkft_config_bool(in, "norm_topk_prob", &c->expert_weights_normalized) || !read_mixtures(in, c) ||
        !vkft_config_bool(in, "use_sliding_window", &window) ||
        !vkft_config_optional_u32(in, "sliding_window", &c->sliding_window))
        return false;
    if (!window)
        c->sliding_window = 0;
    return true;
}

const vkft_arch vkft_arch_qwen3_moe = {
    .model_type = "qwen3_moe",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm",
                     [VKFT_NORM_Q] = "self_attn.q_norm",
                     [VKFT_NORM_K] = "self_attn.k_norm",
                     [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR, [VKFT_ROUTER] = "mlp.gate", [VKFT_EXPERT_GATE] = "mlp.experts.*.gate_proj",
                       [VKFT_EXPERT_UP] = "mlp.experts.*.up_proj", [VKFT_EXPERT_DOWN] = "mlp.experts.*.down_proj"},
    .never_quantized[VKFT_ROUTER] = true,
    .read = read,
};
