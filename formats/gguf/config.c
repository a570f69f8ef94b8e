/* config.json from the keys of a GGUF file. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/model.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

static const vkft_gguf_arch archs[] = {
    {"llama", "llama", "LlamaForCausalLM", true, false},
    {"qwen2", "qwen2", "Qwen2ForCausalLM", false, false},
    {"qwen3", "qwen3", "Qwen3ForCausalLM", false, false},
    {"qwen3moe", "qwen3_moe", "Qwen3MoeForCausalLM", false, false},
    {"gemma2", "gemma2", "Gemma2ForCausalLM", false, true},
    {"gemma3", "gemma3_text", "Gemma3ForCausalLM", false, true},
    {"phi3", "phi3", "Phi3ForCausalLM", false, false},
    {"gpt2", "gpt2", "GPT2LMHeadModel", false, false},
    {"granite", "granite", "GraniteForCausalLM", true, false},
    {"olmo2", "olmo2", "Olmo2ForCausalLM", false, false},
    {"smollm3", "smollm3", "SmolLM3ForCausalLM", true, false},
};
#define ARCHS (sizeof archs / sizeof *archs)

const vkft_gguf_arch *vkft_gguf_arch_of(const vkft_gguf *gguf, vkft_err *err)
{
    char *name = NULL;
    char *type = NULL;
    const vkft_gguf_arch *found = NULL;
    if (vkft_gguf_get_string(gguf, "general.type", false, &type, err) && type && strcmp(type, "model") != 0) {
        vkft_fail(err, VKFT_ERR_INPUT, "%s is of type '%.40s', not a model (general.type)", vkft_gguf_path(gguf), type);
    } else if (vkft_gguf_get_string(gguf, "general.architecture", true, &name, err)) {
        for (size_t i = 0; i < ARCHS && !found; i++)
            found = strcmp(archs[i].name, name) == 0 ? &archs[i] : NULL;
        if (!found)
            vkft_fail(
                err, VKFT_ERR_INPUT,
                "%s: architecture '%.60s' is not supported as a GGUF file; supported are llama (and Mistral, which "
                "has its name), qwen2, qwen3, qwen3moe, gemma2, gemma3, phi3, gpt2, granite, olmo2 and smollm3",
                vkft_gguf_path(gguf), name);
    }
    free(name);
    free(type);
    return found;
}

const vkft_gguf_arch *vkft_gguf_arch_for(const vkft_config *config, vkft_err *err)
{
    bool llama = strcmp(config->model_type, "mistral") == 0 || strcmp(config->model_type, "mixtral") == 0;
    for (size_t i = 0; i < ARCHS; i++)
        if (strcmp(archs[i].model_type, llama ? "llama" : config->model_type) == 0)
            return &archs[i];
    vkft_fail(err, VKFT_ERR_INPUT,
              "a model of type '%s' cannot be written as a GGUF file; supported are llama, mistral, mixtral, qwen2, "
              "qwen3, qwen3_moe, gemma2, gemma3, phi3, gpt2, granite, olmo2 and smollm3",
              config->model_type);
    return NULL;
}

const vkft_file_tensor *vkft_gguf_tensor(const vkft_gguf *gguf, const char *name, const vkft_tensor_file **part)
{
    for (uint32_t i = 0; i < gguf->part_count; i++) {
        const vkft_file_tensor *t = vkft_tensor_file_find(&gguf->parts[i], name);
        if (t) {
            if (part)
                *part = &gguf->parts[i];
            return t;
        }
    }
    return NULL;
}

/* The configuration in the making. */
typedef struct maker {
    const vkft_gguf *gguf;
    const vkft_gguf_arch *arch;
    vkft_json_node json;
    uint32_t hidden, layers, heads, kv_heads, head_dim, context, rotary;
    double theta;
    vkft_err *err;
} maker;

/* "<architecture>.<name>" */
static const char *key_of(const maker *m, const char *name, char key[128])
{
    snprintf(key, 128, "%s.%s", m->arch->name, name);
    return key;
}

static bool has(const maker *m, const char *name)
{
    char key[128];
    return vkft_gguf_find(m->gguf, key_of(m, name, key)) != NULL;
}

/* A number, or a list of the same number for every layer. */
static bool get_u32(const maker *m, const char *name, bool required, uint32_t *value)
{
    char key[128];
    const vkft_gguf_value *v = vkft_gguf_find(m->gguf, key_of(m, name, key));
    if (!v || !v->is_array)
        return vkft_gguf_get_u32(m->gguf, key, required, value, m->err);
    if (!vkft_gguf_get_array(m->gguf, key, true, false, &v, m->err))
        return false;
    double first = v->count ? vkft_gguf_number(v, 0) : -1;
    for (uint64_t i = 1; i < v->count; i++)
        if (vkft_gguf_number(v, i) != first)
            first = -1;
    if (!(first >= 0 && first <= UINT32_MAX && first == floor(first)))
        return vkft_fail(m->err, VKFT_ERR_INPUT,
                         "%s: key '%s' has another number for each layer, which is not supported",
                         vkft_gguf_path(m->gguf), key);
    *value = (uint32_t)first;
    return true;
}

static bool get_double(const maker *m, const char *name, bool required, double *value)
{
    char key[128];
    return vkft_gguf_get_double(m->gguf, key_of(m, name, key), required, value, m->err);
}

/* Keys are f32: the shortest decimal that reads back as the same one is what the original file said. */
static double as_written(double value)
{
    char text[40];
    for (int digits = 6; digits <= 9 && (double)(float)value == value; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtof(text, NULL) == (float)value)
            return strtod(text, NULL);
    }
    return value;
}

static void put(const maker *m, const char *name, double value)
{
    vkft_json_put_number(m->json, name, as_written(value));
}

/* The key's value under a name of transformers. */
static bool copy(const maker *m, const char *key, const char *name, bool required)
{
    double value = NAN;
    if (!get_double(m, key, required, &value))
        return false;
    if (!isnan(value))
        put(m, name, value);
    return true;
}

static bool read_sizes(maker *m)
{
    uint32_t key_length = 0, value_length = 0;
    if (!get_u32(m, "embedding_length", true, &m->hidden) || !get_u32(m, "block_count", true, &m->layers) ||
        !get_u32(m, "attention.head_count", true, &m->heads) || !get_u32(m, "context_length", true, &m->context))
        return false;
    m->kv_heads = m->heads;
    if (!get_u32(m, "attention.head_count_kv", false, &m->kv_heads) ||
        !get_u32(m, "attention.key_length", false, &key_length) ||
        !get_u32(m, "attention.value_length", false, &value_length))
        return false;
    if (!m->heads || !m->hidden || !m->layers || (key_length && value_length && value_length != key_length))
        return vkft_fail(m->err, VKFT_ERR_INPUT,
                         "%s: %" PRIu32 " heads, %" PRIu32 " layers, width %" PRIu32 ", keys of %" PRIu32
                         " and values of %" PRIu32 ": not a model that is supported",
                         vkft_gguf_path(m->gguf), m->heads, m->layers, m->hidden, key_length, value_length);
    m->head_dim = key_length ? key_length : m->hidden / m->heads;
    m->rotary = m->head_dim;
    m->theta = 10000;
    return get_u32(m, "rope.dimension_count", false, &m->rotary) && get_double(m, "rope.freq_base", false, &m->theta);
}

static bool put_tokens(const maker *m)
{
    static const struct {
        const char *key, *name;
    } tokens[] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"}, {"tokenizer.ggml.padding_token_id", "pad_token_id"}},
      ends[] = {{"tokenizer.ggml.eos_token_id", NULL}, {"tokenizer.ggml.eot_token_id", NULL}};
    for (size_t i = 0; i < 2; i++) {
        uint32_t id = UINT32_MAX;
        if (!vkft_gguf_get_u32(m->gguf, tokens[i].key, false, &id, m->err))
            return false;
        if (id <= INT32_MAX)
            vkft_json_put_number(m->json, tokens[i].name, id);
    }
    cJSON *list = cJSON_CreateArray();
    uint32_t first = UINT32_MAX;
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < 2; i++) {
        uint32_t id = UINT32_MAX;
        ok = vkft_gguf_get_u32(m->gguf, ends[i].key, false, &id, m->err);
        if (ok && id <= INT32_MAX && id != first)
            cJSON_AddItemToArray(list, cJSON_CreateNumber(id));
        first = id;
    }
    if (ok && list->child)
        ok = cJSON_AddItemToObject(m->json.value, "eos_token_id", list);
    else
        cJSON_Delete(list);
    return ok || (m->err && m->err->message[0]) || vkft_fail_memory(m->err, "for the configuration");
}

static bool put_sizes(const maker *m)
{
    const vkft_file_tensor *embedding = vkft_gguf_tensor(m->gguf, "token_embd.weight", NULL);
    if (!embedding || embedding->dims != 2)
        return vkft_fail(m->err, VKFT_ERR_INPUT, "%s: the matrix token_embd.weight is missing",
                         vkft_gguf_path(m->gguf));
    bool gpt2 = strcmp(m->arch->name, "gpt2") == 0;
    vkft_json_put_number(m->json, "vocab_size", (double)embedding->shape[0]);
    vkft_json_put_number(m->json, gpt2 ? "n_embd" : "hidden_size", m->hidden);
    vkft_json_put_number(m->json, gpt2 ? "n_layer" : "num_hidden_layers", m->layers);
    vkft_json_put_number(m->json, gpt2 ? "n_head" : "num_attention_heads", m->heads);
    vkft_json_put_number(m->json, gpt2 ? "n_positions" : "max_position_embeddings", m->context);
    vkft_json_put_bool(m->json, "tie_word_embeddings", !vkft_gguf_tensor(m->gguf, "output.weight", NULL));
    vkft_json_put_string(m->json, "torch_dtype",
                         embedding->dtype == VKFT_F16    ? "float16"
                         : embedding->dtype == VKFT_BF16 ? "bfloat16"
                                                         : "float32");
    if (gpt2)
        return copy(m, "feed_forward_length", "n_inner", false) &&
               copy(m, "attention.layer_norm_epsilon", "layer_norm_epsilon", true);
    vkft_json_put_number(m->json, "num_key_value_heads", m->kv_heads);
    vkft_json_put_number(m->json, "head_dim", m->head_dim);
    uint32_t width = 0;
    if (!get_u32(m, "feed_forward_length", strcmp(m->arch->name, "qwen3moe") != 0, &width))
        return false;
    if (width)
        vkft_json_put_number(m->json, "intermediate_size", width);
    return copy(m, "attention.layer_norm_rms_epsilon", "rms_norm_eps", true);
}

/* The numbers of an f32 vector as JSON; NULL: it is not there. *bad: it has another shape or type. */
static cJSON *factor_list(const maker *m, const char *name, bool *bad)
{
    const vkft_tensor_file *part = NULL;
    const vkft_file_tensor *t = vkft_gguf_tensor(m->gguf, name, &part);
    float factors[VKFT_MAX_ROPE_DIM / 2];
    if (!t)
        return NULL;
    cJSON *list = NULL;
    *bad = t->dtype != VKFT_F32 || t->dims != 1 || t->elements != m->rotary / 2 ||
           t->elements > VKFT_MAX_ROPE_DIM / 2 || !(list = cJSON_CreateArray());
    if (*bad) {
        vkft_fail(m->err, VKFT_ERR_INPUT, "%s: tensor '%s': expected %" PRIu32 " numbers of type F32",
                  vkft_gguf_path(m->gguf), name, m->rotary / 2);
        return NULL;
    }
    vkft_to_f32(VKFT_F32, vkft_tensor_file_data(part, t), t->elements, factors);
    for (uint64_t i = 0; i < t->elements; i++)
        cJSON_AddItemToArray(list, cJSON_CreateNumber(as_written((double)factors[i])));
    return list;
}

/* Whether divisors of the frequencies are those of Llama 3's scaling with the parameters that all its models have;
 * files keep the divisors alone. */
static bool are_llama3(const maker *m, const cJSON *factors, double *factor)
{
    const double low = 1, high = 4, original = 8192;
    const cJSON *item;
    uint32_t i = 0;
    *factor = 1;
    cJSON_ArrayForEach(item, factors) *factor = fmax(*factor, item->valuedouble);
    cJSON_ArrayForEach(item, factors)
    {
        double turns = original * pow(m->theta, -2.0 * i++ / m->rotary) / (2 * 3.14159265358979323846);
        double smooth = fmin(fmax((turns - low) / (high - low), 0), 1);
        double expected = 1 / ((1 - smooth) / *factor + smooth);
        if (!(fabs(item->valuedouble - expected) <= 1e-5 * expected))
            return false;
    }
    return true;
}

static bool put_llama3(const maker *m, vkft_json_node scaling, cJSON *factors)
{
    double factor;
    if (are_llama3(m, factors, &factor)) {
        vkft_json_put_string(scaling, "rope_type", "llama3");
        vkft_json_put_number(scaling, "factor", factor);
        vkft_json_put_number(scaling, "low_freq_factor", 1);
        vkft_json_put_number(scaling, "high_freq_factor", 4);
        vkft_json_put_number(scaling, "original_max_position_embeddings", 8192);
        cJSON_Delete(factors);
        return true;
    }
    vkft_json_put_string(scaling, "rope_type", "longrope"); /* divisors as they are */
    vkft_json_put_number(scaling, "attention_factor", 1);
    vkft_json_put_number(scaling, "original_max_position_embeddings", m->context);
    cJSON *again = cJSON_Duplicate(factors, true);
    cJSON_AddItemToObject(scaling.value, "short_factor", factors);
    return cJSON_AddItemToObject(scaling.value, "long_factor", again) ||
           vkft_fail_memory(m->err, "for the configuration");
}

static bool put_longrope(const maker *m, vkft_json_node scaling, cJSON *shorter)
{
    bool bad = false;
    cJSON *longer = factor_list(m, "rope_factors_long.weight", &bad);
    uint32_t original = m->context;
    vkft_json_put_string(scaling, "rope_type", "longrope");
    cJSON_AddItemToObject(scaling.value, "short_factor", shorter);
    if (!longer)
        return bad ? false
                   : vkft_fail(m->err, VKFT_ERR_INPUT, "%s: the tensor rope_factors_long.weight is missing",
                               vkft_gguf_path(m->gguf));
    cJSON_AddItemToObject(scaling.value, "long_factor", longer);
    if (!get_u32(m, "rope.scaling.original_context_length", false, &original))
        return false;
    double attention = NAN;
    if (!get_double(m, "rope.scaling.attn_factor", false, &attention))
        return false;
    if (!isnan(attention))
        vkft_json_put_number(scaling, "attention_factor", as_written(attention));
    vkft_json_put_number(m->json, "original_max_position_embeddings", original);
    return true;
}

static bool put_yarn(const maker *m, vkft_json_node scaling)
{
    static const char *const one[] = {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor",
                                      "rope.scaling.yarn_ext_factor"};
    double factor = 1, fast = 32, slow = 1;
    uint32_t original = 0;
    for (size_t i = 0; i < sizeof one / sizeof *one; i++) {
        double value = 1;
        if (!get_double(m, one[i], false, &value))
            return false;
        if (value != 1)
            return vkft_fail(m->err, VKFT_ERR_INPUT, "%s: %s.%s is %g, which is not supported; expected 1",
                             vkft_gguf_path(m->gguf), m->arch->name, one[i], value);
    }
    if (!get_double(m, "rope.scaling.factor", true, &factor) ||
        !get_u32(m, "rope.scaling.original_context_length", true, &original) ||
        !get_double(m, "rope.scaling.yarn_beta_fast", false, &fast) ||
        !get_double(m, "rope.scaling.yarn_beta_slow", false, &slow))
        return false;
    vkft_json_put_string(scaling, "rope_type", "yarn");
    vkft_json_put_number(scaling, "factor", as_written(factor));
    vkft_json_put_number(scaling, "beta_fast", as_written(fast));
    vkft_json_put_number(scaling, "beta_slow", as_written(slow));
    vkft_json_put_number(scaling, "original_max_position_embeddings", original);
    return true;
}

static bool put_linear(const maker *m, vkft_json_node scaling, const char *key)
{
    double factor = 1;
    vkft_json_put_string(scaling, "rope_type", "linear");
    if (!get_double(m, key, true, &factor))
        return false;
    vkft_json_put_number(scaling, "factor", as_written(factor));
    return true;
}

static bool put_scaling(const maker *m, vkft_json_node scaling)
{
    char *type = NULL, key[128];
    bool bad = false;
    cJSON *factors = factor_list(m, "rope_factors_short.weight", &bad);
    if (factors)
        return put_longrope(m, scaling, factors);
    factors = bad ? NULL : factor_list(m, "rope_freqs.weight", &bad);
    if (factors)
        return put_llama3(m, scaling, factors);
    if (bad || !vkft_gguf_get_string(m->gguf, key_of(m, "rope.scaling.type", key), false, &type, m->err))
        return false;
    bool ok = true;
    if (type && strcmp(type, "linear") == 0)
        ok = put_linear(m, scaling, "rope.scaling.factor");
    else if (!type && has(m, "rope.scale_linear"))
        ok = put_linear(m, scaling, "rope.scale_linear");
    else if (type && strcmp(type, "yarn") == 0)
        ok = put_yarn(m, scaling);
    else if (type && strcmp(type, "none") != 0)
        ok = vkft_fail(m->err, VKFT_ERR_INPUT,
                       "%s: rope.scaling.type '%.40s' is not supported; supported are none, linear, yarn, and longrope "
                       "with its tensors",
                       vkft_gguf_path(m->gguf), type);
    free(type);
    return ok;
}

static bool put_rope(const maker *m)
{
    if (strcmp(m->arch->name, "gpt2") == 0)
        return true;
    put(m, "rope_theta", m->theta);
    if (m->rotary > m->head_dim || !m->rotary)
        return vkft_fail(m->err, VKFT_ERR_INPUT, "%s: rope.dimension_count is %" PRIu32 "; expected 1 to %" PRIu32,
                         vkft_gguf_path(m->gguf), m->rotary, m->head_dim);
    if (m->rotary != m->head_dim)
        vkft_json_put_number(m->json, "partial_rotary_factor", (double)m->rotary / m->head_dim);
    vkft_json_node scaling = vkft_json_put_object(m->json, "rope_scaling");
    return put_scaling(m, scaling);
}

/* Files do not keep the number by which Gemma scales queries: it is the width of a head, but for the 27B models. */
static bool put_gemma(const maker *m)
{
    bool gemma2 = strcmp(m->arch->name, "gemma2") == 0;
    bool large = m->layers == (gemma2 ? 46 : 62);
    double local = 10000;
    vkft_json_put_number(m->json, "query_pre_attn_scalar", large ? m->hidden / m->heads : m->head_dim);
    if (!copy(m, "attention.sliding_window", "sliding_window", true))
        return false;
    if (gemma2)
        return copy(m, "attn_logit_softcapping", "attn_logit_softcapping", true) &&
               copy(m, "final_logit_softcapping", "final_logit_softcapping", true);
    if (!get_double(m, "rope.freq_base_swa", false, &local))
        return false;
    put(m, "rope_local_base_freq", local);
    return copy(m, "final_logit_softcapping", "final_logit_softcapping", false) &&
           copy(m, "attention.sliding_window_pattern", "sliding_window_pattern", false);
}

/* What an architecture has beyond sizes and rotary positions. */
static bool put_more(const maker *m)
{
    const char *name = m->arch->name;
    if (strncmp(name, "gemma", 5) == 0)
        return put_gemma(m);
    if (strcmp(name, "granite") == 0)
        return copy(m, "attention.scale", "attention_multiplier", true) &&
               copy(m, "embedding_scale", "embedding_multiplier", false) &&
               copy(m, "residual_scale", "residual_multiplier", false) &&
               copy(m, "logit_scale", "logits_scaling", false);
    if (strcmp(name, "phi3") == 0)
        return copy(m, "attention.sliding_window", "sliding_window", false);
    if (strcmp(name, "qwen3moe") == 0) {
        vkft_json_put_bool(m->json, "norm_topk_prob", true);
        vkft_json_put_number(m->json, "decoder_sparse_step", 1);
        return copy(m, "expert_count", "num_experts", true) &&
               copy(m, "expert_used_count", "num_experts_per_tok", true) &&
               copy(m, "expert_feed_forward_length", "moe_intermediate_size", true);
    }
    vkft_json_put_bool(m->json, "attention_bias", vkft_gguf_tensor(m->gguf, "blk.0.attn_q.bias", NULL) != NULL);
    vkft_json_put_bool(m->json, "mlp_bias", vkft_gguf_tensor(m->gguf, "blk.0.ffn_up.bias", NULL) != NULL);
    return true;
}

/* Mixtures under the name of Llama are Mixtral. */
static bool put_kind(maker *m)
{
    uint32_t experts = 0;
    if (!get_u32(m, "expert_count", false, &experts))
        return false;
    bool mixtral = experts && strcmp(m->arch->name, "llama") == 0;
    cJSON *classes = cJSON_AddArrayToObject(m->json.value, "architectures");
    if (!classes ||
        !cJSON_AddItemToArray(classes, cJSON_CreateString(mixtral ? "MixtralForCausalLM" : m->arch->class_name)))
        return vkft_fail_memory(m->err, "for the configuration");
    vkft_json_put_string(m->json, "model_type", mixtral ? "mixtral" : m->arch->model_type);
    return !mixtral || (copy(m, "expert_count", "num_local_experts", true) &&
                        copy(m, "expert_used_count", "num_experts_per_tok", true));
}

bool vkft_gguf_config(const vkft_gguf *gguf, char **json, vkft_err *err)
{
    bool failed = false;
    vkft_err own = {0};
    maker m = {.gguf = gguf, .err = err ? err : &own};
    *json = NULL;
    m.arch = vkft_gguf_arch_of(gguf, m.err);
    if (!m.arch)
        return false;
    m.json = vkft_json_make_object(&failed);
    bool ok = m.json.value && read_sizes(&m) && put_kind(&m) && put_sizes(&m) && put_rope(&m) && put_more(&m) &&
              put_tokens(&m);
    if (ok && !failed)
        *json = cJSON_Print(m.json.value);
    if (!*json && !m.err->message[0])
        vkft_fail_memory(m.err, "for the configuration");
    cJSON_Delete(m.json.value);
    return *json != NULL;
}

bool vkft_gguf_config_read(const char *path, vkft_config *config, vkft_err *err)
{
    vkft_gguf gguf;
    char *text = NULL;
    if (!vkft_gguf_open(path, &gguf, err))
        return false;
    bool ok = vkft_gguf_config(&gguf, &text, err) && vkft_config_parse(text, strlen(text), path, config, err);
    cJSON_free(text);
    vkft_gguf_close(&gguf);
    return ok;
}
