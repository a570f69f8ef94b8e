/* Choosing the next token from logits. */
#ifndef VKFT_SAMPLER_H
#define VKFT_SAMPLER_H

#include <stdint.h>

typedef struct vkft_sampler {
    float temperature; /* 0: the largest logit, the first of equals */
    float top_p;       /* 1: off */
    uint32_t top_k;    /* 0: off */
    float min_p;       /* 0: off */
    uint64_t seed;
} vkft_sampler;

typedef struct vkft_candidate {
    float logit;
    uint32_t id;
} vkft_candidate;

/* The tokens that may be drawn, the likeliest first, and how many there are; temperature above 0. Order as in
 * transformers: the temperature, then top-k, top-p and min-p. A logit may be -infinity. candidates: [vocab_size].
 * Test: test_sampler */
uint32_t vkft_sampler_filter(const vkft_sampler *sampler, const float *logits, uint32_t vocab_size,
                             vkft_candidate *candidates);

/* The token for step number `index`. scratch: [vocab_size] entries. Test: test_sampler */
uint32_t vkft_sample_token(const vkft_sampler *sampler, const float *logits, uint32_t vocab_size, uint64_t index,
                           vkft_candidate *scratch);

#endif
