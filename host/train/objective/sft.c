/* Supervised fine-tuning: every trained token of a step counts the same, as in the Hugging Face Trainer. */
#include "host/train/objective/objective.h"

void vkft_sft_weights(const vkft_sample *const *samples, uint32_t count, uint64_t step_tokens, float *row_weight)
{
    const float weight = (float)(1.0 / (double)step_tokens);
    for (uint32_t s = 0; s < count; s++)
        for (uint32_t i = 0; i < samples[s]->trained; i++)
            *row_weight++ = weight;
}

const vkft_objective vkft_objective_sft = {.name = "sft"};
