/* Rotary positions in config.json: rope_theta beside rope_scaling, or both inside rope_parameters. */
#include "formats/config/config_rope.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool read_type(const vkft_config_source *in, vkft_rope *rope)
{
    static const struct {
        const char *name;
        vkft_rope_type type;
    } types[] = {{"default", VKFT_ROPE_DEFAULT}, {"linear", VKFT_ROPE_LINEAR},     {"dynamic", VKFT_ROPE_DYNAMIC},
                 {"llama3", VKFT_ROPE_LLAMA3},   {"longrope", VKFT_ROPE_LONGROPE}, {"su", VKFT_ROPE_LONGROPE},
                 {"yarn", VKFT_ROPE_YARN}};
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
    return vkft_fail(in->err, VKFT_ERR_INPUT,
                     "%s: rope type '%.40s' is not supported; supported are default, linear, dynamic, llama3, "
                     "longrope and yarn",
                     in->file, name);
}

static bool read_factors(const vkft_config_source *in, const char *key, uint32_t count, float *factors)
{
    const cJSON *list = NULL;
    if (!vkft_json_get_array(in->json, key, true, &list, in->file, in->err))
        return false;
    uint32_t n = 0;
    for (const cJSON *item = list->child; item; item = item->next, n++) {
        if (!cJSON_IsNumber(item) || !(item->valuedouble > 0) || item->valuedouble > 1e30)
            return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: %s: expected a list of positive numbers", in->file, key);
        if (n < count)
            factors[n] = (float)item->valuedouble;
    }
    return n == count || vkft_fail(in->err, VKFT_ERR_INPUT, "%s: %s has %" PRIu32 " entries, expected %" PRIu32,
                                   in->file, key, n, count);
}

/* The factor by which attention grows with the context, unless the file states it. */
static bool read_longrope(const vkft_config_source *in, const vkft_config *config, vkft_rope *rope)
{
    double factor = (double)config->max_position / rope->original_max_position;
    if (!read_factors(in, "short_factor", rope->dim / 2, rope->short_factor) ||
        !read_factors(in, "long_factor", rope->dim / 2, rope->long_factor) ||
        !vkft_config_double(in, "factor", &factor))
        return false;
    rope->attention_factor = factor > 1 ? sqrt(1 + log(factor) / log((double)rope->original_max_position)) : 1.0;
    return vkft_config_double(in, "attention_factor", &rope->attention_factor);
}

static double yarn_scale(double factor, double mscale)
{
    return factor > 1 ? 0.1 * mscale * log(factor) + 1 : 1;
}

/* Keys of other programs by which YaRN would be scaled otherwise; transformers does not know them. */
static bool check_foreign(const vkft_config_source *in)
{
    static const char *const keys[] = {"attn_factor", "extrapolation_factor"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double value = 1;
        if (!vkft_config_double(in, keys[i], &value))
            return false;
        if (value != 1)
            return vkft_fail(in->err, VKFT_ERR_INPUT,
                             "%s: %s is %g; programs differ in what it means, and only 1 is supported: take it out to "
                             "have what transformers computes, or give attention_factor",
                             in->file, keys[i], value);
    }
    return true;
}

/* As in transformers, null stands for "not given", of all but attention_factor 0 does, too, and a factor of null is the
 * ratio of the lengths. */
static bool read_yarn(const vkft_config_source *in, const vkft_config *config, vkft_rope *rope)
{
    double mscale = 0, mscale_all_dim = 0, stated = NAN;
    bool derived = cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(in->json, "factor"));
    rope->beta_fast = rope->beta_slow = 0;
    rope->truncate = true;
    if (derived)
        rope->factor = (double)config->max_position / rope->original_max_position;
    else if (!vkft_json_get_double(in->json, "factor", true, &rope->factor, in->file, in->err))
        return false;
    if (!vkft_config_double(in, "beta_fast", &rope->beta_fast) ||
        !vkft_config_double(in, "beta_slow", &rope->beta_slow) || !vkft_config_double(in, "mscale", &mscale) ||
        !vkft_config_double(in, "mscale_all_dim", &mscale_all_dim) ||
        !vkft_config_double(in, "attention_factor", &stated) || !vkft_config_bool(in, "truncate", &rope->truncate) ||
        !check_foreign(in))
        return false;
    if (rope->beta_fast == 0)
        rope->beta_fast = 32;
    if (rope->beta_slow == 0)
        rope->beta_slow = 1;
    if (!(rope->beta_slow > 0 && rope->beta_slow <= rope->beta_fast))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: beta_slow %g and beta_fast %g: expected 0 < slow <= fast",
                         in->file, rope->beta_slow, rope->beta_fast);
    if (!(rope->theta > 1))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: rope_theta is %g, expected more than 1", in->file, rope->theta);
    bool both = mscale != 0 && mscale_all_dim != 0;
    rope->attention_factor = !isnan(stated) ? stated
                             : both ? yarn_scale(rope->factor, mscale) / yarn_scale(rope->factor, mscale_all_dim)
                                    : yarn_scale(rope->factor, 1);
    if (!(rope->attention_factor > 0 && isfinite((float)rope->attention_factor)))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: attention_factor is %g, expected a positive number", in->file,
                         rope->attention_factor);
    return true;
}

static bool check(const vkft_config_source *in, const vkft_config *config, double partial, vkft_rope *rope)
{
    if (!(partial > 0 && partial <= 1))
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: partial_rotary_factor %g is not supported; expected 0 < partial_rotary_factor <= 1",
                         in->file, partial);
    rope->dim = (uint32_t)(config->head_dim * partial);
    if (rope->dim % 2 || !rope->dim)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: head_dim %" PRIu32 " is odd; rotary embeddings need an even one",
                         in->file, rope->dim);
    if (rope->dim > VKFT_MAX_ROPE_DIM)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: head_dim %" PRIu32 " is above %d", in->file, rope->dim,
                         VKFT_MAX_ROPE_DIM);
    if (!(rope->theta > 0))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: rope_theta is %g, expected a positive number", in->file,
                         rope->theta);
    if (rope->type != VKFT_ROPE_DEFAULT && !rope->original_max_position)
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: original_max_position_embeddings is 0, expected a positive number", in->file);
    return true;
}

static bool check_scaling(const vkft_config_source *in, const vkft_rope *rope)
{
    bool stated = rope->type != VKFT_ROPE_DEFAULT && rope->type != VKFT_ROPE_LONGROPE;
    if (stated && !(rope->factor >= 1))
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: rope factor is %g, expected at least 1", in->file, rope->factor);
    if (rope->type == VKFT_ROPE_LLAMA3 &&
        !(rope->low_freq_factor > 0 && rope->low_freq_factor < rope->high_freq_factor))
        return vkft_fail(in->err, VKFT_ERR_INPUT,
                         "%s: low_freq_factor %g and high_freq_factor %g: expected 0 < low < high", in->file,
                         rope->low_freq_factor, rope->high_freq_factor);
    return true;
}

bool vkft_config_rope_object(const vkft_config_source *in, const cJSON *json, const char *name,
                             const vkft_config *config, double partial, vkft_rope *rope)
{
    char where[700];
    vkft_config_source inner = {.json = json, .file = where, .err = in->err};
    snprintf(where, sizeof where, "%.600s: %s", in->file, name);
    rope->factor = rope->attention_factor = 1.0;
    rope->max_position = config->max_position;
    if (!rope->original_max_position)
        rope->original_max_position = config->max_position;
    if (!json)
        return check(in, config, partial, rope);
    if (!read_type(&inner, rope) || !vkft_config_double(&inner, "rope_theta", &rope->theta) ||
        !vkft_config_double(&inner, "partial_rotary_factor", &partial) ||
        !vkft_config_optional_u32(&inner, "original_max_position_embeddings", &rope->original_max_position))
        return false;
    /* A length beside the parameters goes before one inside them, as in transformers. */
    if ((rope->type == VKFT_ROPE_LONGROPE || rope->type == VKFT_ROPE_YARN || rope->type == VKFT_ROPE_LLAMA3) &&
        !vkft_config_optional_u32(in, "original_max_position_embeddings", &rope->original_max_position))
        return false;
    if (!check(&inner, config, partial, rope))
        return false;
    if (rope->type == VKFT_ROPE_LONGROPE)
        return read_longrope(&inner, config, rope);
    if (rope->type == VKFT_ROPE_YARN)
        return read_yarn(&inner, config, rope) && check_scaling(&inner, rope);
    bool llama3 = rope->type == VKFT_ROPE_LLAMA3;
    return vkft_json_get_double(json, "factor", rope->type != VKFT_ROPE_DEFAULT, &rope->factor, where, in->err) &&
           vkft_json_get_double(json, "low_freq_factor", llama3, &rope->low_freq_factor, where, in->err) &&
           vkft_json_get_double(json, "high_freq_factor", llama3, &rope->high_freq_factor, where, in->err) &&
           check_scaling(&inner, rope);
}

/* As in transformers, a non-empty rope_scaling wins over rope_parameters, and what it does not say is looked up beside
 * it. */
bool vkft_config_rope(const vkft_config_source *in, vkft_config *config, double partial)
{
    const cJSON *scaling = NULL, *parameters = NULL;
    if (!vkft_json_get_object(in->json, "rope_parameters", false, &parameters, in->file, in->err) ||
        !vkft_json_get_object(in->json, "rope_scaling", false, &scaling, in->file, in->err) ||
        !vkft_config_double(in, "rope_theta", &config->rope.theta) ||
        !vkft_config_double(in, "partial_rotary_factor", &partial))
        return false;
    bool old = scaling && scaling->child;
    return vkft_config_rope_object(in, old ? scaling : parameters, old ? "rope_scaling" : "rope_parameters", config,
                                   partial, &config->rope);
}
