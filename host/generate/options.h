/* What a text is continued with, and who hears of it. Strings are borrowed. */
#ifndef VKFT_GENERATE_OPTIONS_H
#define VKFT_GENERATE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "host/session/options.h"
#include "runtime/base/observer.h"

#define VKFT_MAX_STOPS 16

typedef struct vkft_generate_options {
    vkft_model_options model;
    const char *adapter;
    const char *prompt; /* text, or */
    const int32_t *ids; /* token ids (models without a tokenizer) */
    uint32_t id_count;
    bool add_special_tokens; /* BOS as the tokenizer says */
    bool instruction;        /* wrap the prompt in the Alpaca template used for instruction data */
    uint32_t max_new_tokens;
    float temperature;                    /* 0: greedy */
    float top_p;                          /* 1: off */
    uint32_t top_k;                       /* 0: off */
    float min_p;                          /* 0: off */
    float repetition_penalty;             /* 1: off */
    uint32_t no_repeat_ngram_size;        /* 0: off */
    const char *stop[VKFT_MAX_STOPS + 1]; /* the text ends with one of these, up to a NULL */
    /* By the user; otherwise the model's generation_config.json decides. */
    bool max_new_tokens_given, temperature_given, top_p_given, top_k_given, min_p_given, repetition_penalty_given,
        no_repeat_ngram_size_given;
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
                                   .repetition_penalty = 1,
                                   .seed = 42};
}

typedef struct vkft_generate_observer {
    vkft_observer general;                                        /* its context is that of the others too */
    void (*text)(void *context, const char *text, size_t length); /* whole characters, as they appear */
    void (*token)(void *context, int32_t id);
} vkft_generate_observer;

/* Why a text ended. */
typedef enum vkft_text_end {
    VKFT_TEXT_ENDED_BY_TOKEN,  /* the model has ended it */
    VKFT_TEXT_ENDED_BY_STRING, /* it has one of the strings that end it */
    VKFT_TEXT_ENDED_BY_LENGTH, /* max_new_tokens */
    VKFT_TEXT_ENDED_BY_ROOM,   /* no positions are left */
    VKFT_TEXT_INTERRUPTED,
} vkft_text_end;

typedef struct vkft_generate_result {
    uint32_t prompt_tokens, new_tokens;
    uint32_t kept_tokens; /* of the prompt: their keys and values were there already */
    vkft_text_end end;
    double prompt_seconds, new_seconds;
} vkft_generate_result;

#endif
