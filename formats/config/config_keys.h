/* Typed keys of config.json. Internal to formats. A value stays as it is when its key is absent or null. */
#ifndef VKFT_CONFIG_KEYS_H
#define VKFT_CONFIG_KEYS_H

#include "formats/config/activation.h"
#include "runtime/base/json.h"

typedef struct vkft_config_source {
    const cJSON *json;
    const char *file; /* what errors name */
    vkft_err *err;
} vkft_config_source;

bool vkft_config_u32(const vkft_config_source *in, const char *key,
                     uint32_t *value); /* missing is an error when *value is 0 */
bool vkft_config_optional_u32(const vkft_config_source *in, const char *key, uint32_t *value);
bool vkft_config_bool(const vkft_config_source *in, const char *key, bool *value);
bool vkft_config_double(const vkft_config_source *in, const char *key, double *value);
bool vkft_config_float(const vkft_config_source *in, const char *key, float *value);
bool vkft_config_activation(const vkft_config_source *in, const char *key, vkft_activation *value);
/* Error unless the flag is absent or has this value: something that the block cannot compute. */
bool vkft_config_expect(const vkft_config_source *in, const char *key, bool expected);

#endif
