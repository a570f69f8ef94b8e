/* What training minimizes, as weights of rows: the gradient of a step is the sum over its trained tokens of
 * weight * d(-log p(token)). An objective is a file beside this one; the loss kernel multiplies by the weights.
 */
#ifndef VKFT_OBJECTIVE_H
#define VKFT_OBJECTIVE_H

#include <stdint.h>

#include "formats/dataset/dataset.h"

typedef struct vkft_objective {
    const char *name;
    /* The weights of a micro batch's trained tokens, sample by sample; step_tokens: trained tokens of the whole step.
     */
    void (*weights)(const vkft_sample *const *samples, uint32_t count, uint64_t step_tokens, float *row_weight);
} vkft_objective;

/* Supervised fine-tuning: the mean loss of a step's trained tokens. */
extern const vkft_objective vkft_objective_sft;

#endif
