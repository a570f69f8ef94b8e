/* Llama 2, Llama 3.x, TinyLlama, SmolLM 2 and everything else with model_type "llama". */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    return vkft_config_llama(in, c) && vkft_config_attention_bias(in, c) &&
           vkft_config_bool(in, "mlp_bias", &c->mlp_bias);
}

const vkft_arch vkft_arch_llama = {
    .model_type = "llama",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
