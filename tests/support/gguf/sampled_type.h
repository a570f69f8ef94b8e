/* Types of GGUF files share all but their decoder, which test_ggml_weights reads with each of them; on a software
 * device, where a pipeline takes a third of a second to compile, other tests take one or a few of the ten. */
#ifndef VKFT_TEST_SAMPLED_TYPE_H
#define VKFT_TEST_SAMPLED_TYPE_H

#include "formats/tensors/storage.h"

/* Whether the type takes part: others always, of those in GGUF files every `of`-th one, another one for each turn. */
static inline bool vkft_test_sampled_type(vkft_storage storage, uint32_t turn, uint32_t of)
{
    return !vkft_storage_get(storage)->codec->whole_blocks || ((uint32_t)storage + turn) % of == 0;
}

/* The first of such types from this one on; VKFT_STORAGE_COUNT: there are no more. */
static inline vkft_storage vkft_test_next_type(vkft_storage storage, uint32_t turn, uint32_t of)
{
    while (storage < VKFT_STORAGE_COUNT && !vkft_test_sampled_type(storage, turn, of))
        storage++;
    return storage;
}

#endif
