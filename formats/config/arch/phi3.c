/* Phi-3, Phi-3.5 and Phi-4: fused projections; rotary positions on a part of each head, with factors for short and for
 * long contexts. */
#include "formats/config/config_read.h"

#include <string.h>

static bool read(const vkft_config_source *in, vkft_config *c)
{
    c->max_position = c->rope.original_max_position = 4096;
    c->norm_eps = 1e-5f;
    if (!vkft_config_sizes(in, c) || !vkft_config_eps(in, "rms_norm_eps", c) ||
        !vkft_config_activation(in, "hidden_act", &c->activation) || !vkft_config_rope(in, c, 1.0) ||
        !vkft_config_optional_u32(in, "sliding_window", &c->sliding_window))
        return false;
    memset(c->layers, VKFT_LAYER_WINDOW, c->num_layers);
    return true;
}

const vkft_arch vkft_arch_phi3 = {
    .model_type = "phi3",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {[VKFT_QKV] = "self_attn.qkv_proj",
                       [VKFT_O] = "self_attn.o_proj",
                       [VKFT_GATE_UP] = "mlp.gate_up_proj",
                       [VKFT_DOWN] = "mlp.down_proj"},
    .read = read,
};
