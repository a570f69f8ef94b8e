/* A checkpoint in shards: model.safetensors.index.json up to a zero byte, then the headers of a.safetensors and
 * b.safetensors, each up to the next, and data that both have. Every byte that a tensor claims is there. */
#include <stdlib.h>

#include "formats/convert/hf_checkpoint.h"
#include "tests/fuzz/common/memory_files.h"

#define PARTS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"model.safetensors.index.json", "a.safetensors", "b.safetensors"};
    static const uint8_t prefix[8];
    const uint8_t *parts[PARTS];
    size_t lengths[PARTS], at = 0, made_size;
    uint8_t *made[PARTS] = {0};
    for (int i = 0; i < PARTS; i++) {
        parts[i] = data + at;
        lengths[i] = text_length(data + at, size - at);
        at += lengths[i] < size - at ? lengths[i] + 1 : lengths[i];
    }
    memory_files_clear();
    memory_file(names[0], parts[0], lengths[0]);
    for (int i = 1; i < PARTS; i++)
        if (lengths[i]) {
            made[i] = join_file(prefix, sizeof prefix, 0, parts[i], lengths[i], 1, data + at, size - at, &made_size);
            memory_file(names[i], made[i], made_size);
        }
    vkft_err err = {0};
    vkft_hf_checkpoint checkpoint;
    if (vkft_hf_checkpoint_open("d", &checkpoint, &err)) {
        volatile uint8_t sum = 0;
        for (uint32_t s = 0; s < checkpoint.shard_count; s++)
            for (uint32_t i = 0; i < checkpoint.shards[s].count; i++) {
                const vkft_file_tensor *tensor = &checkpoint.shards[s].tensors[i];
                const uint8_t *bytes = vkft_tensor_file_data(&checkpoint.shards[s], tensor);
                if (tensor->bytes)
                    sum = (uint8_t)(sum + bytes[0] + bytes[tensor->bytes - 1]);
            }
        for (uint32_t i = 0; i < checkpoint.count; i++)
            if (!checkpoint.tensors[i].tensor || !checkpoint.tensors[i].shard)
                abort();
    } else if (!err.message[0]) {
        abort();
    }
    vkft_hf_checkpoint_close(&checkpoint);
    for (int i = 1; i < PARTS; i++)
        free(made[i]);
    return 0;
}
