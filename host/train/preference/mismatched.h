/* Prompts with answers that do not belong to them, for KTO. */
#ifndef VKFT_MISMATCHED_H
#define VKFT_MISMATCHED_H

#include "host/train/packs.h"

typedef struct vkft_mismatched {
    vkft_sample *samples; /* one for each sample of a split, in its order; their ids and labels are in memory */
    uint32_t count;
    int32_t *memory;
    vkft_sample_packs packs; /* the same, one by one */
} vkft_mismatched;

/* Of each run of `group` samples of the split, the prompt of one with the answer of the one before it, the first one's
 * with the last one's, as in TRL; cut to max_length tokens. data: whose samples these are; each gets its own. */
bool vkft_mismatched_new(vkft_mismatched *m, const vkft_sample_packs *split, vkft_dataset *data, uint32_t group,
                         uint32_t max_length, vkft_err *err);
void vkft_mismatched_free(vkft_mismatched *m);

#endif
