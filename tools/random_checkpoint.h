/* Writes checkpoints with random weights, of any architecture and size: for tests, and for measuring memory and time at
 * real sizes. */
#ifndef VKFT_RANDOM_CHECKPOINT_H
#define VKFT_RANDOM_CHECKPOINT_H

#include <stdint.h>

#include "formats/config/config.h"

typedef struct vkft_random_checkpoint {
    vkft_dtype dtype; /* F32, F16 or BF16, of every tensor */
    uint32_t shards;  /* files; 0 and 1 mean a single one without an index */
    uint64_t seed;
    double deviation; /* standard deviation of the matrices, initializer_range in config.json; gains are 1, biases 0 */
    uint32_t threads; /* 0: one per core */
} vkft_random_checkpoint;

/* Writes the weights of a model as transformers names them into an existing directory, streaming. The same options give
 * the same bytes whatever the number of threads. config.json is the caller's to write. Error: whatever writing reports.
 */
bool vkft_random_checkpoint_write(const vkft_config *config, const char *dir, const vkft_random_checkpoint *options,
                                  vkft_err *err);

#endif
