/* generation_config.json: where a model's authors say how its text ends and is sampled. */
#ifndef VKFT_GENERATION_CONFIG_H
#define VKFT_GENERATION_CONFIG_H

#include "formats/config/config.h"

typedef struct vkft_generation_config {
    int32_t eos_token_ids[VKFT_MAX_EOS];
    uint32_t eos_count;             /* 0: not said here; those of config.json hold */
    int32_t decoder_start_token_id; /* -1: not said */
    enum { VKFT_SAMPLE_UNSAID, VKFT_SAMPLE_NO, VKFT_SAMPLE_YES } do_sample;
    double temperature, top_p; /* NaN: not said */
    double top_k;              /* the same */
} vkft_generation_config;

/* What no file says. */
vkft_generation_config vkft_generation_config_none(void);
/* Keys that are not listed above are ignored. Error: JSON error with its line, a value of another type. */
bool vkft_generation_config_parse(const char *text, size_t length, const char *file, vkft_generation_config *config,
                                  vkft_err *err);

/* "eos_token_id" of an object, a number or a list; *count stays as it is when the key is absent or null. */
bool vkft_eos_parse(const void *json, const char *file, int32_t *ids, uint32_t *count, vkft_err *err);

#endif
