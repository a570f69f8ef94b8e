/* Continues texts on a session: the prompt in chunks, then one token at a time, over a cache of keys and values. The
 * session may train between two texts.
 *
 * Order of use: open (before the session's plan) - begin, which tells what a prompt needs of the session, or
 * vkft_generator_limits for prompts that are not known yet - the session's start - begin and produce, any number of
 * times - close (before the session's).
 */
#ifndef VKFT_GENERATOR_H
#define VKFT_GENERATOR_H

#include "formats/config/generation_config.h"
#include "host/generate/kv_cache.h"
#include "host/generate/settings.h"

typedef struct vkft_generator {
    vkft_session *session;
    vkft_generation_config model_defaults; /* what the model's authors say */
    vkft_pass *encode, *next;              /* encode: NULL without an encoder */
    vkft_kv_cache cache;
    vkft_buffer logits;
    float *logits_host;
    vkft_candidate *candidates;

    /* Set after opening. */
    uint32_t max_positions; /* that a text may fill; 0: all that the model has */
    bool keeps; /* nothing changes the weights between texts: what two texts have in common at their beginning is
                   computed once */

    /* Of the text that was begun. */
    const vkft_generate_options *options;
    const vkft_generate_observer *observer;
    vkft_generation_settings settings;
    uint32_t positions; /* that the prompt and what is generated may fill */
    uint32_t cached;    /* of ids: their keys and values are in the cache */
    vkft_ids ids; /* prompt and what was generated; with an encoder the decoder's first token and what was generated */
    vkft_ids source; /* with an encoder: the prompt */
    uint32_t prompt_tokens;
    vkft_text text; /* what was generated, where it is searched for the strings that end it */
} vkft_generator;

/* The generator keeps its place until it is closed. */
bool vkft_generator_open(vkft_generator *gen, vkft_session *session, vkft_err *err);
void vkft_generator_close(vkft_generator *gen);

/* A prompt of these tokens, continued as the options and the model's generation_config.json say. Borrows options and
 * observer until the next text. *limits: what the session must be planned for. Error: it has no tokens, or more than
 * the model takes. */
bool vkft_generator_begin(vkft_generator *gen, const vkft_generate_options *options,
                          const vkft_generate_observer *observer, const int32_t *ids, uint32_t count,
                          vkft_batch_limits *limits, vkft_err *err);
/* Error: the tokenizer has made an id that the model has no row for. */
bool vkft_generator_check_ids(const vkft_session *session, const vkft_ids *ids, vkft_err *err);
/* What texts of so many tokens, prompt included, need of the session; of a model without an encoder. */
vkft_batch_limits vkft_generator_limits(uint32_t positions);
/* The strings that end the present text: the user's, else those of the model's authors; NULL past the last one. */
const char *vkft_generator_stop(const vkft_generator *gen, uint32_t index);
/* Gives the observer the text as it appears, special tokens left out, and the tokens. */
bool vkft_generator_produce(vkft_generator *gen, vkft_generate_result *result, vkft_err *err);

#endif
