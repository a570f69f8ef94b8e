/* Mistral 7B and its kin: Llama's block and names, with a sliding window where the configuration states one. */
#include "formats/config/config_read.h"

#include <string.h>

static bool read(const vkft_config_source *in, vkft_config *c)
{
    c->num_kv_heads = 8;
    c->max_position = 131072;
    if (!cJSON_HasObjectItem(in->json, "sliding_window"))
        c->sliding_window = 4096;
    if (!vkft_config_llama(in, c) || !vkft_config_optional_u32(in, "sliding_window", &c->sliding_window))
        return false;
    memset(c->layers, VKFT_LAYER_WINDOW, c->num_layers);
    return true;
}

const vkft_arch vkft_arch_mistral = {
    .model_type = "mistral",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
