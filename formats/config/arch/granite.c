/* Granite 3, dense: Llama's block with four multipliers. */
#include "formats/config/config_read.h"

static bool read(const vkft_config_source *in, vkft_config *c)
{
    float logits_scaling = 1.0f;
    c->attention_scale = 1.0f;
    if (!vkft_config_float(in, "embedding_multiplier", &c->embedding_scale) ||
        !vkft_config_float(in, "residual_multiplier", &c->residual_scale) ||
        !vkft_config_float(in, "attention_multiplier", &c->attention_scale) ||
        !vkft_config_float(in, "logits_scaling", &logits_scaling))
        return false;
    if (!(c->residual_scale > 0 && c->attention_scale > 0 && logits_scaling > 0))
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: residual_multiplier %g, attention_multiplier %g, logits_scaling %g: expected positive "
                         "numbers",
                         in->file, (double)c->residual_scale, (double)c->attention_scale, (double)logits_scaling);
    c->logit_scale = 1.0f / logits_scaling;
    c->noise_scale = c->embedding_scale;
    return vkft_config_llama(in, c) && vkft_config_attention_bias(in, c) &&
           vkft_config_bool(in, "mlp_bias", &c->mlp_bias);
}

const vkft_arch vkft_arch_granite = {
    .model_type = "granite",
    VKFT_LLAMA_NAMES,
    .decoder.norm = {[VKFT_NORM_ATTENTION] = "input_layernorm", [VKFT_NORM_MLP] = "post_attention_layernorm"},
    .decoder.linear = {VKFT_LLAMA_LINEAR},
    .read = read,
};
