/* What changes the logits before a token is chosen, greedily or not: repetition is made less likely, and tokens are
 * forbidden. As transformers' logits processors of the same names do it, in their order. */
#ifndef VKFT_TOKEN_RULES_H
#define VKFT_TOKEN_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/config/generation_config.h"
#include "host/generate/sampler.h"

/* Its lists are borrowed. */
typedef struct vkft_token_rules {
    float repetition_penalty;      /* p: a logit of a token that is there already becomes l < 0 ? l*p : l/p; 1: off */
    uint32_t no_repeat_ngram_size; /* n: no n tokens in a row come twice; 0: off */
    vkft_token_list bad_words;     /* sequences that are not completed, a -1 past each */
    vkft_token_list suppress, begin_suppress; /* never taken; not taken first. Numbers that are no tokens are ignored */
    vkft_token_list eos;
    uint32_t begin;      /* how many tokens the prompt has */
    uint32_t min_length; /* the end is not taken before there are so many tokens, the prompt's included */
} vkft_token_rules;

/* ids: prompt and what was generated. logits: [vocab_size]. scratch: [vocab_size] entries. false: every token is
 * forbidden. Source: Keskar et al. 2019 (repetition penalty). Test: test_token_rules */
bool vkft_token_rules_apply(const vkft_token_rules *rules, const int32_t *ids, uint32_t count, float *logits,
                            uint32_t vocab_size, vkft_candidate *scratch);

#endif
