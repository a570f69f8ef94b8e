/* Typed keys of config.json, with errors that name file and key. */
#include "formats/config/config_keys.h"

#include <math.h>
#include <string.h>

bool vkft_config_u32(const vkft_config_source *in, const char *key, uint32_t *value)
{
    return vkft_json_get_u32(in->json, key, *value == 0, value, in->file, in->err);
}

bool vkft_config_optional_u32(const vkft_config_source *in, const char *key, uint32_t *value)
{
    return vkft_json_get_u32(in->json, key, false, value, in->file, in->err);
}

bool vkft_config_bool(const vkft_config_source *in, const char *key, bool *value)
{
    return vkft_json_get_bool(in->json, key, false, value, in->file, in->err);
}

bool vkft_config_double(const vkft_config_source *in, const char *key, double *value)
{
    return vkft_json_get_double(in->json, key, false, value, in->file, in->err);
}

bool vkft_config_float(const vkft_config_source *in, const char *key, float *value)
{
    double number = (double)*value;
    if (!vkft_config_double(in, key, &number))
        return false;
    if (!isfinite(number) || fabs(number) > 3e38)
        return vkft_fail(in->err, VKFT_ERR_INPUT, "%s: key '%s' is %g, expected a finite number", in->file, key,
                         number);
    *value = (float)number;
    return true;
}

bool vkft_config_activation(const vkft_config_source *in, const char *key, vkft_activation *value)
{
    static const struct {
        const char *name;
        vkft_activation activation;
    } names[] = {
        {"silu", VKFT_ACT_SILU},          {"swish", VKFT_ACT_SILU},
        {"gelu", VKFT_ACT_GELU},          {"gelu_pytorch_tanh", VKFT_ACT_GELU_TANH},
        {"gelu_new", VKFT_ACT_GELU_TANH}, {"gelu_fast", VKFT_ACT_GELU_TANH},
        {"relu", VKFT_ACT_RELU},
    };
    const char *name = NULL;
    if (!vkft_json_get_string(in->json, key, false, &name, in->file, in->err))
        return false;
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *value = names[i].activation;
            return true;
        }
    }
    return !name || vkft_fail(in->err, VKFT_ERR_INPUT,
                              "%s: %s '%.40s' is not supported; supported are silu, gelu, gelu_new, "
                              "gelu_pytorch_tanh and relu",
                              in->file, key, name);
}

bool vkft_config_expect(const vkft_config_source *in, const char *key, bool expected)
{
    bool value = expected;
    return vkft_config_bool(in, key, &value) &&
           (value == expected || vkft_fail(in->err, VKFT_ERR_INPUT, "%s: %s %s is not supported; expected %s", in->file,
                                           key, value ? "true" : "false", expected ? "true" : "false"));
}
