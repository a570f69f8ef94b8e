/* generation_config.json: where a model's authors say how its text ends and is sampled. */
#ifndef VKFT_GENERATION_CONFIG_H
#define VKFT_GENERATION_CONFIG_H

#include "formats/config/config.h"
#include "runtime/base/text.h"

typedef struct vkft_token_list {
    int32_t *ids;
    uint32_t count;
} vkft_token_list;

typedef struct vkft_generation_config {
    int32_t eos_token_ids[VKFT_MAX_EOS];
    uint32_t eos_count;             /* 0: not said here; those of config.json hold */
    int32_t decoder_start_token_id; /* -1: not said */
    enum { VKFT_SAMPLE_UNSAID, VKFT_SAMPLE_NO, VKFT_SAMPLE_YES } do_sample;
    double temperature, top_p, top_k, min_p; /* NaN: not said */

    double repetition_penalty; /* 1: none */
    uint32_t no_repeat_ngram_size;
    vkft_token_list suppress, begin_suppress; /* tokens that are never taken, or not as the first; any numbers */
    vkft_token_list bad_words;                /* sequences that are not completed, a -1 past each */
    /* In tokens; 0: not said. Lengths are those of prompt and new tokens together. */
    uint32_t max_new_tokens, max_length, min_new_tokens, min_length;
    vkft_text stop_strings; /* a zero byte past each */

    char ignored[512]; /* the settings that have an effect elsewhere and none here: "num_beams, typical_p"; "": none */
} vkft_generation_config;

/* What no file says. */
vkft_generation_config vkft_generation_config_none(void);
/* config is to be freed, also after an error. Error: JSON error with its line, a value of another type or out of range.
 */
bool vkft_generation_config_parse(const char *text, size_t length, const char *file, vkft_generation_config *config,
                                  vkft_err *err);
void vkft_generation_config_free(vkft_generation_config *config);

/* "eos_token_id" of an object, a number or a list; *count stays as it is when the key is absent or null. */
bool vkft_eos_parse(const void *json, const char *file, int32_t *ids, uint32_t *count, vkft_err *err);

#endif
