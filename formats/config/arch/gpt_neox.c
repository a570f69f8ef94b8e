/* GPT-NeoX and Pythia: attention and MLP side by side, rotary positions on a part of each head, one projection fused
 * head by head. */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    double partial = 0.25;
    c->vocab_size = 50432;
    c->activation = VKFT_ACT_GELU;
    c->layernorm = c->parallel_residual = c->mlp_bias = c->qkv_by_head = true;
    c->qkv_bias = c->o_bias = true;
    c->norm_eps = 1e-5f;
    return vkft_config_bool(in, "use_parallel_residual", &c->parallel_residual) && vkft_config_attention_bias(in, c) &&
           vkft_config_activation(in, "hidden_act", &c->activation) && vkft_config_eps(in, "layer_norm_eps", c) &&
           vkft_config_sizes(in, c) && vkft_config_double(in, "rotary_pct", &partial) &&
           vkft_config_double(in, "rotary_emb_base", &c->rope.theta) && vkft_config_rope(in, c, partial);
}

const vkft_arch vkft_arch_gpt_neox = {
    .model_type = "gpt_neox",
    .base = "gpt_neox.",
    .embedding = "gpt_neox.embed_in",
    .decoder.layers = "gpt_neox.layers",
    .decoder.final_norm = "gpt_neox.final_layer_norm",
    .head = "embed_out",
    .head_module = "lm_head",
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {[VKFT_QKV] = "attention.query_key_value",
                       [VKFT_O] = "attention.dense",
                       [VKFT_UP] = "mlp.dense_h_to_4h",
                       [VKFT_DOWN] = "mlp.dense_4h_to_h"},
    .read = read,
};
