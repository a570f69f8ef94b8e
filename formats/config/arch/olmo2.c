/* OLMo 2: norms after attention and MLP instead of before them, and norms over all queries and over all keys. */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    c->norm_eps = 1e-5f;
    c->qk_norm_whole = true;
    return vkft_config_llama(in, c) && vkft_config_attention_bias(in, c);
}

const vkft_arch vkft_arch_olmo2 = {
    .model_type = "olmo2",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_Q] = "self_attn.q_norm",
                     [VKFT_NORM_K] = "self_attn.k_norm",
                     [VKFT_NORM_ATTENTION_AFTER] = "post_attention_layernorm",
                     [VKFT_NORM_MLP_AFTER] = "post_feedforward_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
