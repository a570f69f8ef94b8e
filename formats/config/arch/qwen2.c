/* Qwen 2 and 2.5: biases on queries, keys and values; from some layer on a sliding window, when it is switched on. */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    c->max_position = 32768;
    c->num_kv_heads = 32;
    c->qkv_bias = true;
    return vkft_config_llama(in, c) && vkft_config_late_window(in, c);
}

const vkft_arch vkft_arch_qwen2 = {
    .model_type = "qwen2",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
