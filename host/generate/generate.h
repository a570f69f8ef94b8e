/* Text generation with a KV cache, from the base model or base + adapter. */
#ifndef VKFT_GENERATE_H
#define VKFT_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "host/session/options.h"
#include "runtime/base/error.h"
#include "runtime/base/observer.h"

typedef struct vkft_generate_options {
    vkft_model_options model;
    const char *adapter;
    const char *prompt; /* text, or */
    const int32_t *ids; /* token ids (models without a tokenizer) */
    uint32_t id_count;
    bool add_special_tokens; /* BOS as the tokenizer says */
    bool instruction;        /* wrap the prompt in the Alpaca template used for instruction data */
    uint32_t max_new_tokens;
    float temperature; /* 0: greedy */
    float top_p;       /* 1: off */
    uint32_t top_k;    /* 0: off */
    bool temperature_given, top_p_given,
        top_k_given; /* by the user; otherwise the model's generation_config.json decides */
    uint64_t seed;
    bool ignore_eos;
} vkft_generate_options;

static inline vkft_generate_options vkft_generate_defaults(void)
{
    return (vkft_generate_options){.model = vkft_model_defaults(),
                                   .add_special_tokens = true,
                                   .max_new_tokens = 256,
                                   .temperature = 0.8f,
                                   .top_p = 0.95f,
                                   .top_k = 40,
                                   .seed = 42};
}

typedef struct vkft_generate_observer {
    vkft_observer general;                                        /* its context is that of the others too */
    void (*text)(void *context, const char *text, size_t length); /* whole characters, as they appear */
    void (*token)(void *context, int32_t id);
} vkft_generate_observer;

typedef struct vkft_generate_result {
    uint32_t prompt_tokens, new_tokens;
    double prompt_seconds, new_seconds;
} vkft_generate_result;

bool vkft_generate(const vkft_generate_options *options, const vkft_generate_observer *observer,
                   vkft_generate_result *result, vkft_err *err);

#endif
