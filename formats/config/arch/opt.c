/* OPT: learned positions that start at row 2, LayerNorm, biases. The 350m model has its norms after the residual sums,
 * none at the end, and an embedding narrower than the block. */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    bool bias = true, norm_first = true;
    c->vocab_size = 50272;
    c->activation = VKFT_ACT_RELU;
    c->layernorm = c->tie_word_embeddings = true;
    c->norm_eps = 1e-5f;
    c->position_offset = 2;
    c->bos_token_id = 2;
    c->pad_token_id = 1;
    c->eos_token_ids[0] = 2;
    c->eos_count = 1;
    if (!vkft_config_u32(in, "vocab_size", &c->vocab_size) || !vkft_config_u32(in, "hidden_size", &c->hidden_size) ||
        !vkft_config_u32(in, "ffn_dim", &c->intermediate_size) ||
        !vkft_config_u32(in, "num_hidden_layers", &c->num_layers) ||
        !vkft_config_u32(in, "num_attention_heads", &c->num_heads) ||
        !vkft_config_optional_u32(in, "max_position_embeddings", &c->max_position) ||
        !vkft_config_optional_u32(in, "word_embed_proj_dim", &c->embedding_size) ||
        !vkft_config_activation(in, "activation_function", &c->activation) ||
        !vkft_config_bool(in, "enable_bias", &bias) || !vkft_config_bool(in, "do_layer_norm_before", &norm_first) ||
        !vkft_config_bool(in, "_remove_final_layer_norm", &c->no_final_norm) ||
        !vkft_config_expect(in, "layer_norm_elementwise_affine", true))
        return false;
    c->norm_after_residual = !norm_first;
    c->no_final_norm |= !norm_first;
    c->qkv_bias = c->o_bias = c->mlp_bias = bias;
    c->num_kv_heads = c->num_heads;
    return vkft_config_derive(in, c);
}

const vkft_arch vkft_arch_opt = {
    .model_type = "opt",
    .base = "model.",
    .embedding = "model.decoder.embed_tokens",
    .positions = "model.decoder.embed_positions",
    .project_in = "model.decoder.project_in",
    .decoder.layers = "model.decoder.layers",
    .decoder.final_norm = "model.decoder.final_layer_norm",
    .project_out = "model.decoder.project_out",
    .head = "lm_head",
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "self_attn_layer_norm", [VKFT_NORM_MLP] = "final_layer_norm"},
    .decoder.linear = {[VKFT_Q] = "self_attn.q_proj",
                       [VKFT_K] = "self_attn.k_proj",
                       [VKFT_V] = "self_attn.v_proj",
                       [VKFT_O] = "self_attn.out_proj",
                       [VKFT_UP] = "fc1",
                       [VKFT_DOWN] = "fc2"},
    .read = read,
};
