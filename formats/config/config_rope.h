/* Rotary positions in config.json. Internal to formats. */
#ifndef VKFT_CONFIG_ROPE_H
#define VKFT_CONFIG_ROPE_H

#include "formats/config/config.h"
#include "formats/config/config_keys.h"

/* config->rope, from rope_theta and rope_scaling or from rope_parameters; what config->rope holds are the defaults. */
bool vkft_config_rope(const vkft_config_source *in, vkft_config *config, double partial_rotary_factor);
/* One set of parameters; json NULL: only defaults. */
bool vkft_config_rope_object(const vkft_config_source *in, const cJSON *json, const char *name,
                             const vkft_config *config, double partial, vkft_rope *rope);

#endif
