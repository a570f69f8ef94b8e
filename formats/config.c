/* config.json -> vkft_config. Absent keys get the defaults that transformers has for them, so that a file that works there means the
 * same here; keys without a safe default are required. Nothing is judged by architecture except those defaults. */
#include "config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json_file.h"

#define MAX_LAYERS 65536

/* The JSON object with the name that errors give it. */
typedef struct source {
    const cJSON *json;
    const char *file;
    vkft_err *err;
} source;

static bool get_u32(const source *in, const char *key, bool required, uint32_t *value)
{
    return vkft_json_get_u32(in->json, key, required, value, in->file, in->err);
}

static bool get_bool(const source *in, const char *key, bool *value)
{
    return vkft_json_get_bool(in->json, key, false, value, in->file, in->err);
}

static bool get_double(const source *in, const char *key, bool required, double *value)
{
    return vkft_json_get_double(in->json, key, required, value, in->file, in->err);
}

static bool copy_string(const source *in, const char *key, const char *value, char *out, size_t size)
{
    if (strlen(value) >= size)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key '%s': '%.40s...' has %zu characters, expected at most %zu", in->file,
                         key, value, strlen(value), size - 1);
    memcpy(out, value, strlen(value) + 1);
    return true;
}

static bool get_string(const source *in, const char *key, bool required, char *out, size_t size)
{
    const char *value = NULL;
    if (!vkft_json_get_string(in->json, key, required, &value, in->file, in->err))
        return false;
    return !value || copy_string(in, key, value, out, size);
}

static bool parse_names(const source *in, vkft_config *config)
{
    const cJSON *architectures = NULL;
    if (!get_string(in, "model_type", true, config->model_type, sizeof config->model_type) ||
        !vkft_json_get_array(in->json, "architectures", false, &architectures, in->file, in->err))
        return false;
    const cJSON *first = architectures ? architectures->child : NULL;
    if (!first)
        return true;
    if (!cJSON_IsString(first)) {
        char buffer[96];
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key 'architectures': found %s in the list, expected a string", in->file,
                         vkft_json_describe(first, buffer, sizeof buffer));
    }
    return copy_string(in, "architectures", first->valuestring, config->architecture, sizeof config->architecture);
}

/* Kinds of models whose files miss the keys below for a reason that is worth telling. */
static bool check_kind(const source *in, const vkft_config *config)
{
    bool encoder_decoder = false;
    if (!get_bool(in, "is_encoder_decoder", &encoder_decoder))
        return false;
    if (encoder_decoder)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: model_type '%s' is an encoder-decoder model; only decoder-only models are "
                         "supported", in->file, config->model_type);
    if (vkft_json_member(in->json, "text_config") && !vkft_json_member(in->json, "hidden_size"))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: model_type '%s' keeps its language model in 'text_config'; only text-only "
                         "checkpoints are supported", in->file, config->model_type);
    return true;
}

static bool parse_sizes(const source *in, vkft_config *config)
{
    bool mistral = strcmp(config->model_type, "mistral") == 0;
    bool use_sliding_window = true;
    if (!get_u32(in, "vocab_size", true, &config->vocab_size) || !get_u32(in, "hidden_size", true, &config->hidden_size) ||
        !get_u32(in, "intermediate_size", true, &config->intermediate_size) ||
        !get_u32(in, "num_hidden_layers", true, &config->num_layers) ||
        !get_u32(in, "num_attention_heads", true, &config->num_heads))
        return false;

    config->num_kv_heads = config->num_heads;
    if (mistral && !cJSON_HasObjectItem(in->json, "num_key_value_heads"))
        config->num_kv_heads = 8;
    config->max_position = mistral ? 131072 : 2048;
    if (mistral && !cJSON_HasObjectItem(in->json, "sliding_window"))
        config->sliding_window = 4096;
    if (!get_u32(in, "num_key_value_heads", false, &config->num_kv_heads) || !get_u32(in, "head_dim", false, &config->head_dim) ||
        !get_u32(in, "max_position_embeddings", false, &config->max_position) ||
        !get_u32(in, "sliding_window", false, &config->sliding_window) || !get_bool(in, "use_sliding_window", &use_sliding_window))
        return false;
    if (!use_sliding_window)
        config->sliding_window = 0;
    return true;
}

static bool check_matrix(const source *in, const char *what, uint64_t rows, uint64_t columns)
{
    if (rows <= UINT32_MAX && rows * columns <= UINT32_MAX)
        return true;
    return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: %s of %" PRIu64 " x %" PRIu64 " has more than 2^32 elements", in->file, what,
                     rows, columns);
}

static bool check_sizes(const source *in, vkft_config *config)
{
    const struct {
        const char *key;
        uint32_t value;
    } positive[] = {
        {"vocab_size", config->vocab_size},       {"hidden_size", config->hidden_size},
        {"intermediate_size", config->intermediate_size}, {"num_hidden_layers", config->num_layers},
        {"num_attention_heads", config->num_heads}, {"num_key_value_heads", config->num_kv_heads},
        {"max_position_embeddings", config->max_position},
    };
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (!positive[i].value)
            return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key '%s' is 0, expected a positive number", in->file, positive[i].key);
    if (config->num_layers > MAX_LAYERS)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key 'num_hidden_layers' is %" PRIu32 ", expected at most %d", in->file,
                         config->num_layers, MAX_LAYERS);
    if (config->num_heads % config->num_kv_heads)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: num_attention_heads %" PRIu32 " is not a multiple of num_key_value_heads "
                         "%" PRIu32, in->file, config->num_heads, config->num_kv_heads);
    if (!config->head_dim) {
        if (config->hidden_size % config->num_heads)
            return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: hidden_size %" PRIu32 " is not a multiple of num_attention_heads %" PRIu32
                             " and there is no head_dim", in->file, config->hidden_size, config->num_heads);
        config->head_dim = config->hidden_size / config->num_heads;
    }
    if (config->head_dim % 2)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: head_dim %" PRIu32 " is odd; rotary embeddings need an even one", in->file,
                         config->head_dim);
    return check_matrix(in, "the embedding", config->vocab_size, config->hidden_size) &&
           check_matrix(in, "an MLP weight", config->intermediate_size, config->hidden_size) &&
           check_matrix(in, "an attention weight", (uint64_t)config->num_heads * config->head_dim, config->hidden_size);
}

static bool parse_flags(const source *in, vkft_config *config)
{
    double eps = 1e-6;
    strcpy(config->hidden_act, "silu");
    if (!get_double(in, "rms_norm_eps", false, &eps) ||
        !get_string(in, "hidden_act", false, config->hidden_act, sizeof config->hidden_act) ||
        !get_bool(in, "tie_word_embeddings", &config->tie_word_embeddings) ||
        !get_bool(in, "attention_bias", &config->attention_bias) || !get_bool(in, "mlp_bias", &config->mlp_bias))
        return false;
    if (!(eps >= 0 && eps < 1))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key 'rms_norm_eps' is %g, expected 0 <= rms_norm_eps < 1", in->file, eps);
    config->rms_norm_eps = (float)eps;
    return true;
}

static bool parse_rope_type(const source *in, vkft_rope *rope)
{
    static const struct {
        const char *name;
        vkft_rope_type type;
    } types[] = {{"default", VKFT_ROPE_DEFAULT}, {"linear", VKFT_ROPE_LINEAR}, {"dynamic", VKFT_ROPE_DYNAMIC},
                 {"llama3", VKFT_ROPE_LLAMA3}};
    const char *name = "default";
    if (!vkft_json_get_string(in->json, "type", false, &name, in->file, in->err) || /* the older spelling */
        !vkft_json_get_string(in->json, "rope_type", false, &name, in->file, in->err))
        return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(name, types[i].name) == 0) {
            rope->type = types[i].type;
            return true;
        }
    }
    return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: rope type '%.40s' is not supported; supported are default, linear, dynamic and "
                     "llama3", in->file, name);
}

static bool check_rope(const source *in, const vkft_rope *rope, double partial)
{
    if (partial != 1.0)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: partial_rotary_factor %g is not supported; expected 1", in->file, partial);
    if (!(rope->theta > 0))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: rope_theta is %g, expected a positive number", in->file, rope->theta);
    if (rope->type == VKFT_ROPE_DEFAULT)
        return true;
    if (!(rope->factor >= 1))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: rope factor is %g, expected at least 1", in->file, rope->factor);
    if (rope->type != VKFT_ROPE_LLAMA3)
        return true;
    if (!(rope->low_freq_factor > 0 && rope->low_freq_factor < rope->high_freq_factor))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: low_freq_factor %g and high_freq_factor %g: expected 0 < low < high", in->file,
                         rope->low_freq_factor, rope->high_freq_factor);
    if (!rope->original_max_position)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: original_max_position_embeddings is 0, expected a positive number", in->file);
    return true;
}

/* Two spellings: rope_theta beside rope_scaling, or both inside rope_parameters. As in transformers, a non-empty rope_scaling wins, and
 * what it does not say is looked up at the top. */
static bool parse_rope(const source *in, vkft_config *config)
{
    vkft_rope *rope = &config->rope;
    const cJSON *scaling = NULL, *parameters = NULL;
    double partial = 1.0;
    char where[700];
    rope->theta = 10000.0;
    rope->factor = 1.0;
    rope->original_max_position = config->max_position;
    if (!vkft_json_get_object(in->json, "rope_parameters", false, &parameters, in->file, in->err) ||
        !vkft_json_get_object(in->json, "rope_scaling", false, &scaling, in->file, in->err) ||
        !get_double(in, "rope_theta", false, &rope->theta) || !get_double(in, "partial_rotary_factor", false, &partial))
        return false;
    bool old = scaling && scaling->child;
    source inner = {.json = old ? scaling : parameters, .file = where, .err = in->err};
    snprintf(where, sizeof where, "%s: %s", in->file, old ? "rope_scaling" : "rope_parameters");
    if (!inner.json)
        return check_rope(in, rope, partial);
    if (!parse_rope_type(&inner, rope) || !get_double(&inner, "rope_theta", false, &rope->theta) ||
        !get_double(&inner, "partial_rotary_factor", false, &partial))
        return false;
    bool llama3 = rope->type == VKFT_ROPE_LLAMA3;
    if (!get_double(&inner, "factor", rope->type != VKFT_ROPE_DEFAULT, &rope->factor) ||
        !get_double(&inner, "low_freq_factor", llama3, &rope->low_freq_factor) ||
        !get_double(&inner, "high_freq_factor", llama3, &rope->high_freq_factor) ||
        !get_u32(&inner, "original_max_position_embeddings", false, &rope->original_max_position))
        return false;
    return check_rope(&inner, rope, partial);
}

/* Token ids may lie outside the vocabulary in real files (added tokens that were never trained), so only the type is checked. */
static bool parse_tokens(const source *in, vkft_config *config)
{
    config->bos_token_id = config->pad_token_id = -1;
    if (!vkft_json_get_i32(in->json, "bos_token_id", false, &config->bos_token_id, in->file, in->err) ||
        !vkft_json_get_i32(in->json, "pad_token_id", false, &config->pad_token_id, in->file, in->err))
        return false;
    const cJSON *eos = vkft_json_member(in->json, "eos_token_id");
    if (!eos)
        return true;
    if (!cJSON_IsArray(eos)) {
        config->eos_count = 1;
        return vkft_json_get_i32(in->json, "eos_token_id", true, &config->eos_token_ids[0], in->file, in->err);
    }
    for (const cJSON *item = eos->child; item; item = item->next) {
        uint64_t id;
        if (!vkft_json_is_u64(item, &id) || id > INT32_MAX || config->eos_count == VKFT_MAX_EOS)
            return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key 'eos_token_id': expected a list of at most %d token ids", in->file,
                             VKFT_MAX_EOS);
        config->eos_token_ids[config->eos_count++] = (int32_t)id;
    }
    return true;
}

static bool parse_dtype(const source *in, vkft_config *config)
{
    static const struct {
        const char *name;
        vkft_dtype dtype;
    } names[] = {{"float32", VKFT_F32}, {"float", VKFT_F32}, {"float16", VKFT_F16}, {"half", VKFT_F16},
                 {"bfloat16", VKFT_BF16}, {"float64", VKFT_F64}};
    const char *name = "float32";
    if (!vkft_json_get_string(in->json, "torch_dtype", false, &name, in->file, in->err) ||
        !vkft_json_get_string(in->json, "dtype", false, &name, in->file, in->err))
        return false;
    if (strncmp(name, "torch.", 6) == 0)
        name += 6;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i].name) == 0) {
            config->dtype = names[i].dtype;
            return true;
        }
    }
    return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: dtype '%.40s' is not supported; supported are float32, float16, bfloat16 and "
                     "float64", in->file, name);
}

bool vkft_config_parse(const char *text, size_t length, const char *file, vkft_config *config, vkft_err *err)
{
    memset(config, 0, sizeof *config);
    cJSON *root = vkft_json_parse(text, length, file, err);
    if (!root)
        return false;
    source in = {.json = root, .file = file, .err = err};
    char buffer[96], where[600];
    bool ok = cJSON_IsObject(root) || vkft_fail(err, VKFT_ERR_INPUT, "%s: found %s, expected an object", file,
                                                vkft_json_describe(root, buffer, sizeof buffer));
    ok = ok && parse_names(&in, config) && check_kind(&in, config);
    /* From here on errors tell the model_type: what other kinds of models lack is then seen for what it is. */
    snprintf(where, sizeof where, "%.500s (model_type '%s')", file, config->model_type);
    in.file = where;
    ok = ok && parse_sizes(&in, config) && check_sizes(&in, config) && parse_flags(&in, config) &&
         parse_rope(&in, config) && parse_tokens(&in, config) && parse_dtype(&in, config);
    cJSON_Delete(root);
    return ok;
}
