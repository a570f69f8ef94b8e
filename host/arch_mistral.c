/* Mistral 7B and its kin: Llama's block and names, with a sliding window where the configuration states one. */
#include "arch.h"

#include <string.h>

static bool check(const vkft_config *config, vkft_err *err)
{
    if (strcmp(config->hidden_act, "silu") != 0)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "config.json: hidden_act \"%s\" is not supported for mistral; expected \"silu\"",
                         config->hidden_act);
    return true;
}

const vkft_arch vkft_arch_mistral = {
    .model_type = "mistral",
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
