/* generation_config.json -> vkft_generation_config. */
#include "formats/config/generation_config.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"

bool vkft_eos_parse(const void *json, const char *file, int32_t *ids, uint32_t *count, vkft_err *err)
{
    const cJSON *eos = vkft_json_member(json, "eos_token_id");
    if (!eos)
        return true;
    if (!cJSON_IsArray(eos)) {
        *count = 1;
        return vkft_json_get_i32(json, "eos_token_id", true, &ids[0], file, err);
    }
    *count = 0;
    for (const cJSON *item = eos->child; item; item = item->next) {
        uint64_t id;
        if (!vkft_json_is_u64(item, &id) || id > INT32_MAX || *count == VKFT_MAX_EOS)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: key 'eos_token_id': expected a list of at most %d token ids",
                             file, VKFT_MAX_EOS);
        ids[(*count)++] = (int32_t)id;
    }
    return true;
}

vkft_generation_config vkft_generation_config_none(void)
{
    return (vkft_generation_config){.decoder_start_token_id = -1,
                                    .temperature = NAN,
                                    .top_p = NAN,
                                    .top_k = NAN,
                                    .min_p = NAN,
                                    .repetition_penalty = 1};
}

void vkft_generation_config_free(vkft_generation_config *config)
{
    free(config->suppress.ids);
    free(config->begin_suppress.ids);
    free(config->bad_words.ids);
    vkft_text_free(&config->stop_strings);
    *config = vkft_generation_config_none();
}

/* Room for so many more. */
static bool grow(vkft_token_list *list, size_t more, vkft_err *err)
{
    int32_t *ids = realloc(list->ids, (list->count + more + 1) * sizeof *ids);
    if (!ids)
        return vkft_fail_memory(err, "for a list of tokens");
    list->ids = ids;
    return true;
}

/* Appends a list of numbers; NULL is an empty one. */
static bool read_ids(const cJSON *json, const char *key, const char *file, vkft_token_list *list, vkft_err *err)
{
    bool ok = !json || cJSON_IsArray(json);
    if (ok && json && !grow(list, (size_t)cJSON_GetArraySize(json), err))
        return false;
    for (const cJSON *item = ok && json ? json->child : NULL; ok && item; item = item->next) {
        ok = cJSON_IsNumber(item) && item->valuedouble == item->valueint;
        list->ids[list->count++] = item->valueint;
    }
    return ok || vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': expected a list of token ids", file, key);
}

static bool read_bad_words(const cJSON *root, const char *file, vkft_token_list *words, vkft_err *err)
{
    static const char key[] = "bad_words_ids";
    const cJSON *list = NULL;
    if (!vkft_json_get_array(root, key, false, &list, file, err))
        return false;
    for (const cJSON *word = list ? list->child : NULL; word; word = word->next) {
        uint32_t before = words->count;
        if (!read_ids(word, key, file, words, err))
            return false;
        for (uint32_t i = before; i < words->count; i++)
            if (words->ids[i] < 0)
                return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': expected token ids, found %d", file, key,
                                 (int)words->ids[i]);
        if (words->count > before)
            words->ids[words->count++] = -1; /* grow leaves room for it */
    }
    return true;
}

/* A string or a list of strings. */
static bool read_stop_strings(const cJSON *root, const char *file, vkft_text *out, vkft_err *err)
{
    const cJSON *value = vkft_json_member(root, "stop_strings");
    bool list = value && cJSON_IsArray(value);
    for (const cJSON *item = list ? value->child : value; item; item = list ? item->next : NULL) {
        if (!cJSON_IsString(item) || !*item->valuestring)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: key 'stop_strings': expected a text or a list of texts", file);
        if (!vkft_text_append(out, item->valuestring, strlen(item->valuestring) + 1, err))
            return false;
    }
    return true;
}

/* A number of tokens, which some files write as 1e30 for "no limit". */
static bool read_length(const cJSON *root, const char *key, const char *file, uint32_t *length, vkft_err *err)
{
    double value = 0;
    if (!vkft_json_get_double(root, key, false, &value, file, err))
        return false;
    if (!(value >= 0))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': expected a number of tokens, found %g", file, key, value);
    *length = value < UINT32_MAX ? (uint32_t)value : UINT32_MAX;
    return true;
}

/* What transformers obeys and vkft does not, with the value that does nothing there. null and false do nothing, too. */
static void list_ignored(const cJSON *root, char *text, size_t size)
{
    static const struct {
        const char *key;
        double neutral; /* NaN: any value does something */
    } keys[] = {
        {"num_beams", 1},
        {"num_beam_groups", 1},
        {"num_return_sequences", 1},
        {"diversity_penalty", 0},
        {"penalty_alpha", 0},
        {"typical_p", 1},
        {"top_h", NAN},
        {"epsilon_cutoff", 0},
        {"eta_cutoff", 0},
        {"encoder_repetition_penalty", 1},
        {"encoder_no_repeat_ngram_size", 0},
        {"exponential_decay_length_penalty", NAN},
        {"sequence_bias", NAN},
        {"constraints", NAN},
        {"force_words_ids", NAN},
        {"forced_bos_token_id", NAN},
        {"forced_eos_token_id", NAN},
        {"forced_decoder_ids", NAN},
        {"guidance_scale", 1},
        {"watermarking_config", NAN},
        {"token_healing", NAN},
        {"dola_layers", NAN},
        {"max_time", NAN},
    };
    size_t length = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys && length < size; i++) {
        const cJSON *value = vkft_json_member(root, keys[i].key);
        bool neutral =
            !value || cJSON_IsFalse(value) || (cJSON_IsNumber(value) && value->valuedouble == keys[i].neutral);
        if (!neutral)
            length += (size_t)snprintf(text + length, size - length, "%s%s", length ? ", " : "", keys[i].key);
    }
}

static bool check_ranges(const vkft_generation_config *c, const char *file, vkft_err *err)
{
    if (c->temperature < 0 || c->top_p <= 0 || c->top_p > 1 || c->top_k < 0 || c->top_k > INT32_MAX)
        return vkft_fail(
            err, VKFT_ERR_INPUT,
            "%s: temperature %g, top_p %g, top_k %g: expected 0 <= temperature, 0 < top_p <= 1, 0 <= top_k", file,
            c->temperature, c->top_p, c->top_k);
    if (c->min_p < 0 || c->min_p > 1)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: min_p %g: expected a number from 0 to 1", file, c->min_p);
    return (c->repetition_penalty > 0 && c->repetition_penalty <= FLT_MAX) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: repetition_penalty %g: expected a number above 0", file,
                     c->repetition_penalty);
}

static bool read(const cJSON *root, const char *file, vkft_generation_config *config, vkft_err *err)
{
    bool sample = false;
    if (!vkft_eos_parse(root, file, config->eos_token_ids, &config->eos_count, err) ||
        !vkft_json_get_i32(root, "decoder_start_token_id", false, &config->decoder_start_token_id, file, err) ||
        !vkft_json_get_bool(root, "do_sample", false, &sample, file, err) ||
        !vkft_json_get_double(root, "temperature", false, &config->temperature, file, err) ||
        !vkft_json_get_double(root, "top_p", false, &config->top_p, file, err) ||
        !vkft_json_get_double(root, "top_k", false, &config->top_k, file, err) ||
        !vkft_json_get_double(root, "min_p", false, &config->min_p, file, err) ||
        !vkft_json_get_double(root, "repetition_penalty", false, &config->repetition_penalty, file, err) ||
        !vkft_json_get_u32(root, "no_repeat_ngram_size", false, &config->no_repeat_ngram_size, file, err) ||
        !read_ids(vkft_json_member(root, "suppress_tokens"), "suppress_tokens", file, &config->suppress, err) ||
        !read_ids(vkft_json_member(root, "begin_suppress_tokens"), "begin_suppress_tokens", file,
                  &config->begin_suppress, err) ||
        !read_bad_words(root, file, &config->bad_words, err) ||
        !read_length(root, "max_new_tokens", file, &config->max_new_tokens, err) ||
        !read_length(root, "max_length", file, &config->max_length, err) ||
        !read_length(root, "min_new_tokens", file, &config->min_new_tokens, err) ||
        !read_length(root, "min_length", file, &config->min_length, err) ||
        !read_stop_strings(root, file, &config->stop_strings, err))
        return false;
    if (vkft_json_member(root, "do_sample"))
        config->do_sample = sample ? VKFT_SAMPLE_YES : VKFT_SAMPLE_NO;
    list_ignored(root, config->ignored, sizeof config->ignored);
    return check_ranges(config, file, err);
}

bool vkft_generation_config_parse(const char *text, size_t length, const char *file, vkft_generation_config *config,
                                  vkft_err *err)
{
    *config = vkft_generation_config_none();
    cJSON *root = vkft_json_parse_config(text, length, file, err);
    if (!root)
        return false;
    bool ok = cJSON_IsObject(root) ? read(root, file, config, err)
                                   : vkft_fail(err, VKFT_ERR_INPUT, "%s: expected an object", file);
    cJSON_Delete(root);
    return ok;
}
