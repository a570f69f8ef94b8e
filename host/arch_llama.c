/* Llama 2, Llama 3.x, TinyLlama and everything else with model_type "llama". */
#include "arch.h"

#include <string.h>

static bool check(const vkft_config *config, vkft_err *err)
{
    if (strcmp(config->hidden_act, "silu") != 0)
        return vkft_fail(err, VKFT_ERR_INPUT, "config.json: hidden_act \"%s\" is not supported for llama; expected \"silu\"",
                         config->hidden_act);
    if (config->attention_bias || config->mlp_bias)
        return vkft_fail(err, VKFT_ERR_INPUT, "config.json: %s true is not supported in this version; expected false",
                         config->attention_bias ? "attention_bias" : "mlp_bias");
    return true;
}

const vkft_arch vkft_arch_llama = {
    .model_type = "llama",
    .embedding = "model.embed_tokens",
    .layers = "model.layers",
    .attention_norm = "input_layernorm",
    .mlp_norm = "post_attention_layernorm",
    .final_norm = "model.norm",
    .head = "lm_head",
    .linear = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj",
               "mlp.up_proj", "mlp.down_proj"},
    .check = check,
};
