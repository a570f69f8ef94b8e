/* A Hugging Face checkpoint directory: config.json and the weights, safetensors or PyTorch's own, in one file or in
 * shards with an index. */
#ifndef VKFT_HF_CHECKPOINT_H
#define VKFT_HF_CHECKPOINT_H

#include "formats/tensors/tensor_file.h"

typedef struct vkft_hf_checkpoint {
    char *dir;
    char **shard_names; /* sorted; file names inside dir */
    vkft_tensor_file *shards;
    uint32_t shard_count;
    vkft_shard_tensor *tensors; /* shard by shard, in the order of their data */
    uint32_t count;
    const char *index;    /* name of the index file; NULL: a single file */
    uint64_t total_bytes; /* of all tensors */
} vkft_hf_checkpoint;

/* Whether there are weights in a directory. */
bool vkft_hf_checkpoint_find(const char *dir, bool *found, vkft_err *err);
/* Error: no such directory; no weights in it; a shard that is missing or bad; a tensor that the index
 * promises and the shard lacks; a tensor in two places. */
bool vkft_hf_checkpoint_open(const char *dir, vkft_hf_checkpoint *checkpoint, vkft_err *err);
void vkft_hf_checkpoint_close(vkft_hf_checkpoint *checkpoint); /* zeroes it */

#endif
