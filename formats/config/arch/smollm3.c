/* SmolLM 3: Llama's block, of which every fourth layer has no rotary positions. */
#include "formats/config/config_read.h"

#include <inttypes.h>

static bool read_no_rope(const vkft_config_source *in, vkft_config *c)
{
    const cJSON *list = NULL;
    uint32_t interval = 4, l = 0;
    if (!vkft_json_get_array(in->json, "no_rope_layers", false, &list, in->file, in->err) ||
        !vkft_config_optional_u32(in, "no_rope_layer_interval", &interval))
        return false;
    for (l = 0; !list && interval && l < c->num_layers; l++)
        if ((l + 1) % interval == 0)
            c->layers[l] |= VKFT_LAYER_NO_ROPE;
    if (!list)
        return true;
    for (const cJSON *item = list->child; item; item = item->next, l++)
        if (l < c->num_layers && !cJSON_IsTrue(item) &&
            !(cJSON_IsNumber(item) && item->valuedouble != 0)) /* 1: has them */
            c->layers[l] |= VKFT_LAYER_NO_ROPE;
    return l == c->num_layers ||
           vkft_fail(in->err, VKFT_ERR_INPUT, "%s: no_rope_layers has %" PRIu32 " entries, expected %" PRIu32, in->file,
                     l, c->num_layers);
}

/* A window is for the layers without rotary positions. */
static bool read_window(const vkft_config_source *in, vkft_config *c)
{
    bool use = false, found;
    if (!vkft_config_bool(in, "use_sliding_window", &use) ||
        !vkft_config_optional_u32(in, "sliding_window", &c->sliding_window) ||
        !vkft_config_layer_types(in, c, VKFT_LAYER_WINDOW, &found))
        return false;
    if (!use)
        c->sliding_window = 0;
    for (uint32_t l = 0; !found && l < c->num_layers; l++)
        if (c->layers[l] & VKFT_LAYER_NO_ROPE)
            c->layers[l] |= VKFT_LAYER_WINDOW;
    return true;
}

static bool read(const vkft_config_source *in, vkft_config *c)
{
    c->num_kv_heads = 4;
    c->max_position = 32768;
    c->rope.theta = 2000000.0;
    c->tie_word_embeddings = true;
    return vkft_config_llama(in, c) && vkft_config_attention_bias(in, c) &&
           vkft_config_bool(in, "mlp_bias", &c->mlp_bias) && read_no_rope(in, c) && read_window(in, c);
}

const vkft_arch vkft_arch_smollm3 = {
    .model_type = "smollm3",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
