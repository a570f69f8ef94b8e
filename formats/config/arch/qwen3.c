/* Qwen 3, dense: norms of each head's queries and keys, and no biases. */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    c->max_position = 32768;
    c->num_kv_heads = 32;
    c->head_dim = 128;
    return vkft_config_llama(in, c) && vkft_config_attention_bias(in, c) && vkft_config_late_window(in, c);
}

const vkft_arch vkft_arch_qwen3 = {
    .model_type = "qwen3",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm",
                     [VKFT_NORM_Q] = "self_attn.q_norm",
                     [VKFT_NORM_K] = "self_attn.k_norm",
                     [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
