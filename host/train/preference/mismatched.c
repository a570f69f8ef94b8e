/* See mismatched.h. */
#include "host/train/preference/mismatched.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"

/* The sample whose answer goes to the prompt of sample i: the one before, or its own where that would leave nothing to
 * predict. */
static const vkft_sample *donor(const vkft_sample_packs *split, uint32_t i, uint32_t group)
{
    uint32_t first = i / group * group, count = min_u32(group, split->count - first);
    const vkft_sample *own = split->samples[i], *other = split->samples[first + (i - first + count - 1) % count];
    return own->prompt_length + (other->length - other->prompt_length) >= 2 ? other : own;
}

static void join(const vkft_sample *prompt, const vkft_sample *answer, uint32_t max_length, int32_t **memory,
                 vkft_sample *out)
{
    uint32_t before = prompt->prompt_length,
             length = min_u32(before + answer->length - answer->prompt_length, max_length);
    int32_t *ids = *memory, *labels = ids + length;
    for (uint32_t i = 0; i < length; i++) {
        ids[i] = i < before ? prompt->ids[i] : answer->ids[answer->prompt_length + i - before];
        labels[i] = i < before ? VKFT_IGNORE_LABEL : ids[i];
    }
    *memory += 2ull * length;
    *out = (vkft_sample){.ids = ids,
                         .labels = labels,
                         .length = length,
                         .trained = length - max_u32(before, 1),
                         .prompt_length = before,
                         .answer = prompt->answer};
}

bool vkft_mismatched_new(vkft_mismatched *m, const vkft_sample_packs *split, vkft_dataset *data, uint32_t group,
                         uint32_t max_length, vkft_err *err)
{
    uint64_t tokens = 0;
    *m = (vkft_mismatched){.count = split->count};
    for (uint32_t i = 0; i < split->count; i++) { /* answers change places; none gets more tokens by that */
        const vkft_sample *other = donor(split, i, group);
        tokens += split->samples[i]->prompt_length + other->length - other->prompt_length;
    }
    m->samples = malloc((split->count + 1ull) * sizeof *m->samples);
    m->memory = malloc((2 * tokens + 1) * sizeof *m->memory);
    int32_t *next = m->memory;
    if (!m->samples || !m->memory) {
        vkft_mismatched_free(m);
        return vkft_fail_memory(err, "for the data");
    }
    for (uint32_t i = 0; i < split->count; i++) {
        join(split->samples[i], donor(split, i, group), max_length, &next, &m->samples[i]);
        data->samples[split->samples[i] - data->samples].mismatched = &m->samples[i];
    }
    const vkft_dataset all = {.samples = m->samples, .count = m->count};
    return vkft_sample_packs_new(&m->packs, &all, NULL, m->count, 0, err);
}

void vkft_mismatched_free(vkft_mismatched *m)
{
    vkft_sample_packs_free(&m->packs);
    free(m->samples);
    free(m->memory);
    memset(m, 0, sizeof *m);
}
