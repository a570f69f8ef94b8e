/* config.json -> vkft_config: which architecture it is, what all of them share, and the architecture's own reader for
 * the rest.
 *
 * Absent keys get the defaults that transformers has for them, so that a file that works there means the same here;
 * keys without a safe default are required. */
#include "formats/config/config.h"

#include <stdio.h>
#include <string.h>

#include "formats/config/config_read.h"
#include "formats/config/generation_config.h"
#include "runtime/base/text.h"

static bool copy_string(const vkft_config_source *in, const char *key, const char *value, char *out, size_t size)
{
    if (strlen(value) >= size)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key '%s': '%.40s...' has %zu characters, expected at most %zu",
                         in->file, key, value, strlen(value), size - 1);
    memcpy(out, value, strlen(value) + 1);
    return true;
}

static bool get_string(const vkft_config_source *in, const char *key, bool required, char *out, size_t size)
{
    const char *value = NULL;
    if (!vkft_json_get_string(in->json, key, required, &value, in->file, in->err))
        return false;
    return !value || copy_string(in, key, value, out, size);
}

static bool read_architecture(const vkft_config_source *in, vkft_config *config)
{
    const cJSON *architectures = NULL;
    if (!vkft_json_get_array(in->json, "architectures", false, &architectures, in->file, in->err))
        return false;
    const cJSON *first = architectures ? architectures->child : NULL;
    if (!first)
        return true;
    if (!cJSON_IsString(first)) {
        char buffer[96];
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key 'architectures': found %s in the list, expected a string",
                         in->file, vkft_json_describe(first, buffer, sizeof buffer));
    }
    return copy_string(in, "architectures", first->valuestring, config->architecture, sizeof config->architecture);
}

/* Finds the architecture; *text becomes the object that describes the language model: the file's own, or its
 * text_config. */
static bool find_architecture(const vkft_config_source *in, vkft_config *config, vkft_config_source *text)
{
    const cJSON *inner = NULL;
    *text = *in;
    if (!get_string(in, "model_type", true, config->model_type, sizeof config->model_type))
        return false;
    config->arch = vkft_arch_find(config->model_type);
    if (!config->arch && !vkft_json_get_object(in->json, "text_config", false, &inner, in->file, in->err))
        return false;
    if (inner) {
        text->json = inner;
        memcpy(config->multimodal_type, config->model_type, sizeof config->multimodal_type);
        if (!get_string(text, "model_type", true, config->model_type, sizeof config->model_type))
            return vkft_fail_context(in->err, "text_config");
        config->arch = vkft_arch_find(config->model_type);
    }
    return config->arch || vkft_arch_fail_unknown(config->model_type, in->file, in->err);
}

/* Token ids may lie outside the vocabulary in real files (added tokens that were never trained), so only the type is
 * checked. */
static bool parse_tokens(const vkft_config_source *in, vkft_config *config)
{
    if (!vkft_json_get_i32(in->json, "bos_token_id", false, &config->bos_token_id, in->file, in->err) ||
        !vkft_json_get_i32(in->json, "pad_token_id", false, &config->pad_token_id, in->file, in->err) ||
        !vkft_json_get_i32(in->json, "decoder_start_token_id", false, &config->decoder_start_token_id, in->file,
                           in->err))
        return false;
    return vkft_eos_parse(in->json, in->file, config->eos_token_ids, &config->eos_count, in->err);
}

static bool parse_dtype(const vkft_config_source *in, vkft_config *config)
{
    static const struct {
        const char *name;
        vkft_dtype dtype;
    } names[] = {{"float32", VKFT_F32},   {"float", VKFT_F32},  {"float16", VKFT_F16}, {"half", VKFT_F16},
                 {"bfloat16", VKFT_BF16}, {"float64", VKFT_F32}}; /* doubles are rounded when they are read */
    const char *name = NULL;
    if (!vkft_json_get_string(in->json, "torch_dtype", false, &name, in->file, in->err) ||
        !vkft_json_get_string(in->json, "dtype", false, &name, in->file, in->err))
        return false;
    if (!name)
        return true;
    if (strncmp(name, "torch.", 6) == 0)
        name += 6;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i].name) == 0) {
            config->dtype = names[i].dtype;
            return true;
        }
    }
    return vkft_fail(in->err, VKFT_ERR_INPUT,
                     "%s: dtype '%.40s' is not supported; supported are float32, float16, bfloat16 and "
                     "float64",
                     in->file, name);
}

static bool read_shared(const vkft_config_source *in, vkft_config *config)
{
    return vkft_config_bool(in, "tie_word_embeddings", &config->tie_word_embeddings) && parse_tokens(in, config) &&
           parse_dtype(in, config);
}

static void set_defaults(vkft_config *config)
{
    *config = (vkft_config){
        .max_position = 2048,
        .activation = VKFT_ACT_SILU,
        .norm_eps = 1e-6f,
        .embedding_scale = 1,
        .noise_scale = 1,
        .residual_scale = 1,
        .logit_scale = 1,
        .rope = {.theta = 10000.0},
        .local_rope = {.theta = 10000.0},
        .bos_token_id = -1,
        .pad_token_id = -1,
        .decoder_start_token_id = -1,
        .dtype = VKFT_F32,
    };
}

bool vkft_config_parse(const char *text, size_t length, const char *file, vkft_config *config, vkft_err *err)
{
    set_defaults(config);
    cJSON *root = vkft_json_parse_config(text, length, file, err);
    if (!root)
        return false;
    vkft_config_source in = {.json = root, .file = file, .err = err}, model;
    char buffer[96], where[600];
    bool ok = cJSON_IsObject(root) || vkft_fail(err, VKFT_ERR_INPUT, "%s: found %s, expected an object", file,
                                                vkft_json_describe(root, buffer, sizeof buffer));
    ok = ok && read_architecture(&in, config) && find_architecture(&in, config, &model);
    /* From here on errors tell the model_type, by which the keys are chosen. */
    snprintf(where, sizeof where, "%.500s (model_type '%s')", file, config->model_type);
    in.file = model.file = where;
    ok = ok && config->arch->read(&model, config);
    /* What a file says of the whole model goes before what it says of the language model in it. */
    ok = ok && read_shared(&model, config) && (!config->multimodal_type[0] || read_shared(&in, config));
    cJSON_Delete(root);
    return ok;
}

/* The keys of read_shared. */
static bool copy_shared(const cJSON *from, cJSON *to)
{
    static const char *const keys[] = {"tie_word_embeddings",    "bos_token_id", "eos_token_id", "pad_token_id",
                                       "decoder_start_token_id", "torch_dtype",  "dtype"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const cJSON *value = vkft_json_member(from, keys[i]);
        if (!value)
            continue;
        cJSON_DeleteItemFromObjectCaseSensitive(to, keys[i]);
        if (!cJSON_AddItemToObject(to, keys[i], cJSON_Duplicate(value, true)))
            return false;
    }
    return true;
}

char *vkft_config_language_model(const char *text, size_t length, const char *file, vkft_err *err)
{
    const cJSON *inner = NULL;
    cJSON *root = vkft_json_parse_config(text, length, file, err);
    if (!root || !vkft_json_get_object(root, "text_config", true, &inner, file, err)) {
        cJSON_Delete(root);
        return NULL;
    }
    cJSON *model = cJSON_Duplicate(inner, true);
    char *printed = model && copy_shared(root, model) ? cJSON_Print(model) : NULL;
    char *copy = printed ? strdup(printed) : NULL;
    if (!copy)
        vkft_fail_memory(err, "while taking the language model from %s", file);
    cJSON_free(printed);
    cJSON_Delete(model);
    cJSON_Delete(root);
    return copy;
}

char *vkft_config_untied(const char *text, size_t length, const char *file, vkft_err *err)
{
    cJSON *root = vkft_json_parse(text, length, file, err);
    if (!root)
        return NULL;
    cJSON_DeleteItemFromObjectCaseSensitive(root, "tie_word_embeddings");
    char *printed = cJSON_AddFalseToObject(root, "tie_word_embeddings") ? cJSON_Print(root) : NULL;
    char *copy = printed ? vkft_string_copy(printed) : NULL;
    if (!copy)
        vkft_fail_memory(err, "while changing %s", file);
    cJSON_free(printed);
    cJSON_Delete(root);
    return copy;
}
