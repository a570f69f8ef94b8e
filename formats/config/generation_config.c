/* generation_config.json -> vkft_generation_config. */
#include "formats/config/generation_config.h"

#include <math.h>

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
    return (vkft_generation_config){.decoder_start_token_id = -1, .temperature = NAN, .top_p = NAN, .top_k = NAN};
}

static bool read(const cJSON *root, const char *file, vkft_generation_config *config, vkft_err *err)
{
    bool sample = false;
    if (!vkft_eos_parse(root, file, config->eos_token_ids, &config->eos_count, err) ||
        !vkft_json_get_i32(root, "decoder_start_token_id", false, &config->decoder_start_token_id, file, err) ||
        !vkft_json_get_bool(root, "do_sample", false, &sample, file, err) ||
        !vkft_json_get_double(root, "temperature", false, &config->temperature, file, err) ||
        !vkft_json_get_double(root, "top_p", false, &config->top_p, file, err) ||
        !vkft_json_get_double(root, "top_k", false, &config->top_k, file, err))
        return false;
    if (vkft_json_member(root, "do_sample"))
        config->do_sample = sample ? VKFT_SAMPLE_YES : VKFT_SAMPLE_NO;
    bool ok = !(config->temperature < 0) && !(config->top_p <= 0 || config->top_p > 1) &&
              !(config->top_k < 0 || config->top_k > INT32_MAX);
    return ok ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: temperature %g, top_p %g, top_k %g: expected 0 <= temperature, 0 < top_p <= 1, 0 <= top_k",
                     file, config->temperature, config->top_p, config->top_k);
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
