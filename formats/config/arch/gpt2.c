/* GPT-2: learned positions, LayerNorm, one fused projection, and linear layers whose weights are stored transposed
 * (Conv1D). */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    bool scaled = true;
    c->vocab_size = 50257;
    c->max_position = 1024;
    c->activation = VKFT_ACT_GELU_TANH;
    c->layernorm = c->qkv_bias = c->o_bias = c->mlp_bias = c->tie_word_embeddings = true;
    c->norm_eps = 1e-5f;
    if (!vkft_config_u32(in, "vocab_size", &c->vocab_size) || !vkft_config_u32(in, "n_embd", &c->hidden_size) ||
        !vkft_config_u32(in, "n_layer", &c->num_layers) || !vkft_config_u32(in, "n_head", &c->num_heads) ||
        !vkft_config_optional_u32(in, "n_positions", &c->max_position) ||
        !vkft_config_optional_u32(in, "n_inner", &c->intermediate_size) ||
        !vkft_config_activation(in, "activation_function", &c->activation) ||
        !vkft_config_eps(in, "layer_norm_epsilon", c) || !vkft_config_bool(in, "scale_attn_weights", &scaled) ||
        !vkft_config_expect(in, "scale_attn_by_inverse_layer_idx", false) ||
        !vkft_config_expect(in, "add_cross_attention", false))
        return false;
    if (!c->intermediate_size && c->hidden_size <= UINT32_MAX / 4)
        c->intermediate_size = 4 * c->hidden_size;
    c->num_kv_heads = c->num_heads;
    c->attention_scale = scaled ? 0.0f : 1.0f; /* 0: derived from head_dim */
    return vkft_config_derive(in, c);
}

const vkft_arch vkft_arch_gpt2 = {
    .model_type = "gpt2",
    .base = "transformer.",
    .embedding = "transformer.wte",
    .positions = "transformer.wpe",
    .decoder.layers = "transformer.h",
    .decoder.final_norm = "transformer.ln_f",
    .head = "lm_head",
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "ln_1", [VKFT_NORM_MLP] = "ln_2"},
    .decoder.linear =
        {[VKFT_QKV] = "attn.c_attn", [VKFT_O] = "attn.c_proj", [VKFT_UP] = "mlp.c_fc", [VKFT_DOWN] = "mlp.c_proj"},
    .conv1d = true,
    .read = read,
};
