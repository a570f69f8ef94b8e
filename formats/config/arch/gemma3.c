/* Gemma 3, text: Gemma 2 without soft caps, with norms of queries and keys; five of six layers have a window and
 * their own rotary base. */
#include "formats/config/config_read.h"

#define LOCAL (VKFT_LAYER_WINDOW | VKFT_LAYER_LOCAL_ROPE)

/* rope_parameters by kind of layer, or rope_theta, rope_local_base_freq and rope_scaling, which is of the full layers
 * alone. */
static bool read_rope(const vkft_config_source *in, vkft_config *c)
{
    const cJSON *parameters = NULL, *scaling = NULL, *full = NULL, *sliding = NULL;
    if (!vkft_config_double(in, "rope_theta", &c->rope.theta) ||
        !vkft_config_double(in, "rope_local_base_freq", &c->local_rope.theta) ||
        !vkft_json_get_object(in->json, "rope_scaling", false, &scaling, in->file, in->err) ||
        !vkft_json_get_object(in->json, "rope_parameters", false, &parameters, in->file, in->err))
        return false;
    if (parameters && (!vkft_json_get_object(parameters, "full_attention", false, &full, in->file, in->err) ||
                       !vkft_json_get_object(parameters, "sliding_attention", false, &sliding, in->file, in->err)))
        return false;
    bool old = scaling && scaling->child;
    return vkft_config_rope_object(in, old ? scaling : full, old ? "rope_scaling" : "rope_parameters: full_attention",
                                   c, 1.0, &c->rope) &&
           vkft_config_rope_object(in, sliding, "rope_parameters: sliding_attention", c, 1.0, &c->local_rope);
}

static bool read(const vkft_config_source *in, vkft_config *c)
{
    bool found;
    uint32_t pattern = 6;
    vkft_config_gemma_defaults(c);
    c->vocab_size = 262208;
    c->max_position = 131072;
    c->rope.theta = 1000000.0;
    if (!vkft_config_gemma(in, c) || !read_rope(in, c) || !vkft_config_layer_types(in, c, LOCAL, &found) ||
        !vkft_config_optional_u32(in, "sliding_window_pattern", &pattern))
        return false;
    for (uint32_t l = 0; !found && pattern && l < c->num_layers; l++)
        if ((l + 1) % pattern)
            c->layers[l] |= LOCAL;
    return true;
}

const vkft_arch vkft_arch_gemma3 = {
    .model_type = "gemma3_text",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm",
                     [VKFT_NORM_Q] = "self_attn.q_norm",
                     [VKFT_NORM_K] = "self_attn.k_norm",
                     [VKFT_NORM_ATTENTION_AFTER] = "post_attention_layernorm",
                     [VKFT_NORM_MLP] = "pre_feedforward_layernorm",
                     [VKFT_NORM_MLP_AFTER] = "post_feedforward_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
