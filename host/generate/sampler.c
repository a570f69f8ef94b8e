/* Temperature, top-k, nucleus and min-p sampling. Sources: Holtzman et al. 2020 (nucleus), Nguyen et al. 2024 (min-p).
 */
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

/* exp(logit), scaled so that the likeliest has 1. */
static double weight(const vkft_candidate *sorted, uint32_t i)
{
    return exp((double)sorted[i].logit - (double)sorted[0].logit);
}

uint32_t vkft_sampler_filter(const vkft_sampler *sampler, const float *logits, uint32_t vocab_size,
                             vkft_candidate *candidates)
{
    for (uint32_t i = 0; i < vocab_size; i++)
        candidates[i] = (vkft_candidate){logits[i] / sampler->temperature, i};
    qsort(candidates, vocab_size, sizeof *candidates, likelier_first);
    uint32_t n = sampler->top_k && sampler->top_k < vocab_size ? sampler->top_k : vocab_size;
    while (n > 1 && candidates[n - 1].logit == -INFINITY)
        n--;
    double total = 0, kept = 0;
    for (uint32_t i = 0; i < n; i++)
        total += weight(candidates, i);
    uint32_t nucleus = 0;
    do
        kept += weight(candidates, nucleus++);
    while (nucleus < n && kept < (double)sampler->top_p * total);
    while (nucleus > 1 && weight(candidates, nucleus - 1) < (double)sampler->min_p)
        nucleus--;
    return nucleus;
}

uint32_t vkft_sample_token(const vkft_sampler *sampler, const float *logits, uint32_t vocab_size, uint64_t index,
                           vkft_candidate *scratch)
{
    if (sampler->temperature <= 0)
        return largest(logits, vocab_size);
    uint32_t n = vkft_sampler_filter(sampler, logits, vocab_size, scratch);
    double kept = 0;
    for (uint32_t i = 0; i < n; i++)
        kept += weight(scratch, i);
    double draw = vkft_random_uniform(sampler->seed, VKFT_STREAM_SAMPLE, index) * kept;
    for (uint32_t i = 0; i + 1 < n; i++) {
        draw -= weight(scratch, i);
        if (draw < 0)
            return scratch[i].id;
    }
    return scratch[n - 1].id;
}
