/* The sizes that every decoder has, and what families share. */
#include "formats/config/config_read.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static bool check_matrix(const vkft_config_source *in, const char *what, uint64_t rows, uint64_t columns)
{
    if (rows <= UINT32_MAX && rows * columns <= UINT32_MAX)
        return true;
    return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: %s of %" PRIu64 " x %" PRIu64 " has more than 2^32 elements",
                     in->file, what, rows, columns);
}

bool vkft_config_derive(const vkft_config_source *in, vkft_config *config)
{
    const struct {
        const char *key;
        uint32_t value;
    } positive[] = {
        {"vocab_size", config->vocab_size},
        {"hidden_size", config->hidden_size},
        {"intermediate_size", config->intermediate_size},
        {"num_hidden_layers", config->num_layers},
        {"num_attention_heads", config->num_heads},
        {"num_key_value_heads", config->num_kv_heads},
        {"max_position_embeddings", config->max_position},
    };
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (!positive[i].value)
            return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key '%s' is 0, expected a positive number", in->file,
                             positive[i].key);
    if (config->num_layers > VKFT_MAX_LAYERS)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key 'num_hidden_layers' is %" PRIu32 ", expected at most %d",
                         in->file, config->num_layers, VKFT_MAX_LAYERS);
    if (config->num_heads % config->num_kv_heads)
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: num_attention_heads %" PRIu32 " is not a multiple of num_key_value_heads "
                         "%" PRIu32,
                         in->file, config->num_heads, config->num_kv_heads);
    if (!config->head_dim) {
        if (config->hidden_size % config->num_heads)
            return vkft_fail(in->err, VKFT_ERR_INPUT,
                             "%s: hidden_size %" PRIu32 " is not a multiple of num_attention_heads %" PRIu32
                             " and there is no head_dim",
                             in->file, config->hidden_size, config->num_heads);
        config->head_dim = config->hidden_size / config->num_heads;
    }
    if (!config->embedding_size)
        config->embedding_size = config->hidden_size;
    if (!(config->attention_scale > 0))
        config->attention_scale = (float)(1.0 / sqrt((double)config->head_dim));
    uint64_t heads = (uint64_t)config->num_heads + 2ull * config->num_kv_heads;
    return check_matrix(in, "the embedding", config->vocab_size, config->embedding_size) &&
           check_matrix(in, "the embedding's projection", config->embedding_size, config->hidden_size) &&
           check_matrix(in, "an MLP weight", 2ull * config->intermediate_size, config->hidden_size) &&
           check_matrix(in, "an attention weight", heads * config->head_dim, config->hidden_size);
}

bool vkft_config_sizes(const vkft_config_source *in, vkft_config *config)
{
    if (!vkft_config_u32(in, "vocab_size", &config->vocab_size) ||
        !vkft_config_u32(in, "hidden_size", &config->hidden_size) ||
        !vkft_config_u32(in, "intermediate_size", &config->intermediate_size) ||
        !vkft_config_u32(in, "num_hidden_layers", &config->num_layers) ||
        !vkft_config_u32(in, "num_attention_heads", &config->num_heads))
        return false;
    if (!config->num_kv_heads || cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(in->json, "num_key_value_heads")))
        config->num_kv_heads = config->num_heads;
    return vkft_config_optional_u32(in, "num_key_value_heads", &config->num_kv_heads) &&
           vkft_config_optional_u32(in, "head_dim", &config->head_dim) &&
           vkft_config_optional_u32(in, "max_position_embeddings", &config->max_position) &&
           vkft_config_derive(in, config);
}

bool vkft_config_eps(const vkft_config_source *in, const char *key, vkft_config *config)
{
    if (!vkft_config_float(in, key, &config->norm_eps))
        return false;
    return (config->norm_eps >= 0 && config->norm_eps < 1) ||
           vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key '%s' is %g, expected 0 <= %s < 1", in->file, key,
                     (double)config->norm_eps, key);
}

bool vkft_config_llama(const vkft_config_source *in, vkft_config *config)
{
    if (!vkft_config_sizes(in, config) || !vkft_config_eps(in, "rms_norm_eps", config) ||
        !vkft_config_activation(in, "hidden_act", &config->activation) || !vkft_config_rope(in, config, 1.0))
        return false;
    return config->rope.dim == config->head_dim ||
           vkft_fail(in->err, VKFT_ERR_INPUT, "%s: partial_rotary_factor %g is not supported; expected 1", in->file,
                     (double)config->rope.dim / config->head_dim);
}

bool vkft_config_attention_bias(const vkft_config_source *in, vkft_config *config)
{
    if (!vkft_config_bool(in, "attention_bias", &config->qkv_bias))
        return false;
    config->o_bias = config->qkv_bias;
    return true;
}

bool vkft_config_layer_types(const vkft_config_source *in, vkft_config *config, uint8_t sliding_flags, bool *found)
{
    const cJSON *types = NULL;
    if (!vkft_json_get_array(in->json, "layer_types", false, &types, in->file, in->err))
        return false;
    *found = types != NULL;
    if (!types)
        return true;
    uint32_t count = 0;
    for (const cJSON *type = types->child; type; type = type->next) {
        const char *name = cJSON_IsString(type) ? type->valuestring : "";
        bool sliding = strcmp(name, "sliding_attention") == 0;
        if (!sliding && strcmp(name, "full_attention") != 0)
            return vkft_fail(in->err, VKFT_ERR_INPUT,
                             "%s: layer_types: '%.40s' is not supported; supported are full_attention and "
                             "sliding_attention",
                             in->file, name);
        if (count < config->num_layers && sliding)
            config->layers[count] |= sliding_flags;
        count++;
    }
    return count == config->num_layers ||
           vkft_fail(in->err, VKFT_ERR_INPUT, "%s: layer_types has %" PRIu32 " entries, expected %" PRIu32, in->file,
                     count, config->num_layers);
}

bool vkft_config_late_window(const vkft_config_source *in, vkft_config *config)
{
    bool use = false, found;
    uint32_t first = 28;
    config->sliding_window = 4096;
    if (!vkft_config_bool(in, "use_sliding_window", &use) ||
        !vkft_config_optional_u32(in, "sliding_window", &config->sliding_window) ||
        !vkft_config_optional_u32(in, "max_window_layers", &first) ||
        !vkft_config_layer_types(in, config, VKFT_LAYER_WINDOW, &found))
        return false;
    if (!use)
        config->sliding_window = 0;
    for (uint32_t l = first; !found && l < config->num_layers; l++)
        config->layers[l] |= VKFT_LAYER_WINDOW;
    return true;
}

bool vkft_config_experts(const vkft_config_source *in, vkft_config *config)
{
    /* transformers 5 writes the second name for families whose first configurations had the first. */
    if (!vkft_config_optional_u32(in, "num_experts", &config->experts) ||
        !vkft_config_optional_u32(in, "num_local_experts", &config->experts) ||
        !vkft_config_optional_u32(in, "num_experts_per_tok", &config->experts_per_token) ||
        !vkft_config_expect(in, "output_router_logits",
                            false)) /* transformers then adds a loss that balances the experts */
        return false;
    if (!config->experts || !config->experts_per_token || config->experts_per_token > config->experts)
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: %" PRIu32 " of %" PRIu32 " experts for each token (num_experts_per_tok, num_experts); "
                         "expected 1 to the number of experts",
                         in->file, config->experts_per_token, config->experts);
    if (config->experts > VKFT_MAX_EXPERTS)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: %" PRIu32 " experts (num_experts), expected at most %d",
                         in->file, config->experts, VKFT_MAX_EXPERTS);
    return (config->expert_size ||
            vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key 'moe_intermediate_size' is 0, expected a positive number",
                      in->file)) &&
           check_matrix(in, "an expert's weight", config->expert_size, config->hidden_size);
}

void vkft_config_gemma_defaults(vkft_config *config)
{
    config->vocab_size = 256000;
    config->hidden_size = 2304;
    config->intermediate_size = 9216;
    config->num_layers = 26;
    config->num_heads = 8;
    config->num_kv_heads = 4;
    config->head_dim = 256;
    config->sliding_window = 4096;
    config->activation = VKFT_ACT_GELU_TANH;
    config->norm_gain_offset = 1.0f;
    config->tie_word_embeddings = true;
    config->bos_token_id = 2;
    config->pad_token_id = 0;
    config->eos_token_ids[0] = 1;
    config->eos_count = 1;
}

/* null switches a cap off. */
static bool read_cap(const vkft_config_source *in, const char *key, float *cap)
{
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(in->json, key)))
        *cap = 0;
    if (!vkft_config_float(in, key, cap))
        return false;
    return *cap >= 0 || vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key '%s' is %g, expected a positive number", in->file,
                                  key, (double)*cap);
}

bool vkft_config_gemma(const vkft_config_source *in, vkft_config *config)
{
    double scalar = 256;
    if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(in->json, "sliding_window")))
        config->sliding_window = 0;
    if (!vkft_config_double(in, "query_pre_attn_scalar", &scalar))
        return false;
    config->attention_scale = (float)(1.0 / sqrt(scalar));
    if (!(config->attention_scale > 0 && isfinite(config->attention_scale)))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: query_pre_attn_scalar is %g, expected a positive number",
                         in->file, scalar);
    if (!vkft_config_sizes(in, config) || !vkft_config_eps(in, "rms_norm_eps", config) ||
        !vkft_config_activation(in, "hidden_activation", &config->activation) ||
        !vkft_config_attention_bias(in, config) ||
        !vkft_config_optional_u32(in, "sliding_window", &config->sliding_window) ||
        !read_cap(in, "attn_logit_softcapping", &config->attention_softcap) ||
        !read_cap(in, "final_logit_softcapping", &config->logit_softcap) ||
        !vkft_config_expect(in, "use_bidirectional_attention", false))
        return false;
    config->embedding_scale = sqrtf((float)config->hidden_size);
    return true;
}
