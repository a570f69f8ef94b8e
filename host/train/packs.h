/* Samples of a split in the packs that stay together: one by one, or several short ones up to a length (--packing).
 *
 * Samples lie end to end in a batch, and attention and positions restart at each, packed or not; packing only decides
 * how many go together.
 */
#ifndef VKFT_PACKS_H
#define VKFT_PACKS_H

#include "host/model/batch.h"
#include "formats/dataset/dataset.h"

/* Samples of one split, borrowed from a dataset, in packs that always stay together; without packing a pack is one
 * sample. */
typedef struct vkft_sample_packs {
    const vkft_sample **samples; /* pack by pack */
    uint32_t *pack;              /* pack i is samples pack[i] .. pack[i+1]; [packs + 1] */
    uint32_t count, packs;
} vkft_sample_packs;

/* The samples with these indices (NULL: the first count). pack_tokens 0: no packing; else packs of at most so many
 * tokens, by best fit: the longest sample first, each into the fullest pack that it fits in. */
bool vkft_sample_packs_new(vkft_sample_packs *split, const vkft_dataset *data, const uint32_t *index, uint32_t count,
                           uint32_t pack_tokens, vkft_err *err);
/* Without packing: two samples after each other stay together. */
void vkft_sample_packs_pair(vkft_sample_packs *split);
/* Adds the packs of another split, spread evenly among those that are there. */
bool vkft_sample_packs_mix(vkft_sample_packs *split, const vkft_sample_packs *more, vkft_err *err);
void vkft_sample_packs_free(vkft_sample_packs *split);

/* Collects the samples of packs order[first] ... order[first+packs-1] (order NULL: in their order; fewer where the
 * split ends); returns their number. samples has room for split->count. */
uint32_t vkft_sample_packs_batch(const vkft_sample_packs *split, const uint32_t *order, uint32_t first, uint32_t packs,
                                 const vkft_sample **samples);

/* The largest batch of batch_size packs that any order can give. */
bool vkft_sample_packs_limits(const vkft_sample_packs *split, uint32_t batch_size, vkft_batch_limits *limits,
                              vkft_err *err);

#endif
