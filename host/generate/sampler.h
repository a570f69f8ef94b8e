/* Choosing the next token from logits. */
#ifndef VKFT_SAMPLER_H
#define VKFT_SAMPLER_H

#include <stdint.h>

typedef struct vkft_sampler {
    float temperature; /* 0: the largest logit, the first of equals */
    float top_p;       /* 1: off */
    uint32_t top_k;    /* 0: off */
    uint64_t seed;
} vkft_sampler;

/* The token for step number `index`. Order as in llama.cpp and transformers: top-k, top-p, then the draw, all after
 * dividing by the temperature. scratch: [vocab_size] entries. Test: test_sampler */
typedef struct vkft_candidate {
    float logit;
    uint32_t id;
} vkft_candidate;
uint32_t vkft_sample_token(const vkft_sampler *sampler, const float *logits, uint32_t vocab_size, uint64_t index,
                           vkft_candidate *scratch);

#endif
