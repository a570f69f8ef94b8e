/* Gemma 2: norms on both sides of each part with gains stored less 1, scaled embeddings, soft-capped scores and logits,
 * every other layer with a window. */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    bool found;
    vkft_config_gemma_defaults(c);
    c->max_position = 8192;
    c->attention_softcap = 50.0f;
    c->logit_softcap = 30.0f;
    if (!vkft_config_gemma(in, c) || !vkft_config_rope(in, c, 1.0) ||
        !vkft_config_layer_types(in, c, VKFT_LAYER_WINDOW, &found))
        return false;
    for (uint32_t l = 0; !found && l < c->num_layers; l += 2)
        c->layers[l] |= VKFT_LAYER_WINDOW;
    return true;
}

const vkft_arch vkft_arch_gemma2 = {
    .model_type = "gemma2",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm",
                     [VKFT_NORM_ATTENTION_AFTER] = "post_attention_layernorm",
                     [VKFT_NORM_MLP] = "pre_feedforward_layernorm",
                     [VKFT_NORM_MLP_AFTER] = "post_feedforward_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
