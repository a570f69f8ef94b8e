/* How a text is continued: what the user asked for, else what the model's authors say, else this program's defaults. */
#ifndef VKFT_GENERATION_SETTINGS_H
#define VKFT_GENERATION_SETTINGS_H

#include "formats/config/generation_config.h"
#include "host/generate/options.h"
#include "host/generate/token_rules.h"
#include "runtime/base/observer.h"

typedef struct vkft_generation_settings {
    vkft_sampler sampler;
    vkft_token_rules rules; /* its lists belong to the model's settings, or are below */
    uint32_t max_new_tokens;
    int32_t eos[VKFT_MAX_EOS + 1]; /* tokens that end the text; none with ignore_eos */
    uint32_t eos_count;
} vkft_generation_settings;

typedef struct vkft_generation_source {
    const vkft_generate_options *options;
    const vkft_generation_config *model; /* what its generation_config.json says */
    const vkft_config *config;
    int32_t tokenizer_eos; /* -1: none */
    uint32_t tokens;       /* that the text begins with */
} vkft_generation_source;

/* Says what has no effect. Error: a limit of the model's that the prompt exceeds already. */
bool vkft_generation_settings_choose(const vkft_generation_source *source, const vkft_observer *observer,
                                     vkft_generation_settings *settings, vkft_err *err);

#endif
