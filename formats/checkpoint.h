/* A Hugging Face checkpoint directory: config.json and the weights in one safetensors file or in shards with an index. */
#ifndef VKFT_CHECKPOINT_H
#define VKFT_CHECKPOINT_H

#include "safetensors.h"

typedef struct vkft_checkpoint_tensor {
    const vkft_safetensors *shard;
    const vkft_safetensors_tensor *tensor;
} vkft_checkpoint_tensor;

typedef struct vkft_checkpoint {
    char *dir;
    char **shard_names; /* sorted; file names inside dir */
    vkft_safetensors *shards;
    uint32_t shard_count;
    vkft_checkpoint_tensor *tensors; /* shard by shard, in the order of their data */
    uint32_t count;
    bool has_index;
    uint64_t total_bytes; /* of all tensors */
} vkft_checkpoint;

#define VKFT_CHECKPOINT_SINGLE "model.safetensors"
#define VKFT_CHECKPOINT_INDEX "model.safetensors.index.json"

/* Error: no such directory; no safetensors in it (a pickle checkpoint is named as such); a shard that is missing or bad; a tensor that the index
 * promises and the shard lacks; a tensor in two places. */
bool vkft_checkpoint_open(const char *dir, vkft_checkpoint *checkpoint, vkft_err *err);
void vkft_checkpoint_close(vkft_checkpoint *checkpoint); /* zeroes it */

#endif
