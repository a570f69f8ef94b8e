/* Temperature, top-k and nucleus sampling. Source: Holtzman et al. 2020 (nucleus). */
#include "host/generate/sampler.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/random.h"

static uint32_t largest(const float *logits, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static int likelier_first(const void *pa, const void *pb)
{
    const vkft_candidate *a = pa, *b = pb;
    if (a->logit != b->logit)
        return a->logit < b->logit ? 1 : -1;
    return a->id < b->id ? -1 : a->id > b->id;
}

uint32_t vkft_sample_token(const vkft_sampler *sampler, const float *logits, uint32_t vocab_size, uint64_t index,
                           vkft_candidate *scratch)
{
    if (sampler->temperature <= 0)
        return largest(logits, vocab_size);
    for (uint32_t i = 0; i < vocab_size; i++)
        scratch[i] = (vkft_candidate){logits[i] / sampler->temperature, i};
    qsort(scratch, vocab_size, sizeof *scratch, likelier_first);
    uint32_t n = sampler->top_k && sampler->top_k < vocab_size ? sampler->top_k : vocab_size;

    double total = 0;
    for (uint32_t i = 0; i < n; i++)
        total += exp((double)scratch[i].logit - (double)scratch[0].logit);
    double kept = 0;
    uint32_t nucleus = 0;
    do
        kept += exp((double)scratch[nucleus++].logit - (double)scratch[0].logit);
    while (nucleus < n && kept < (double)sampler->top_p * total);

    double draw = vkft_random_uniform(sampler->seed, VKFT_STREAM_SAMPLE, index) * kept;
    for (uint32_t i = 0; i + 1 < nucleus; i++) {
        draw -= exp((double)scratch[i].logit - (double)scratch[0].logit);
        if (draw < 0)
            return scratch[i].id;
    }
    return scratch[nucleus - 1].id;
}
