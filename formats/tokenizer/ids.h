/* A growing list of token ids. */
#ifndef VKFT_TOKENIZER_IDS_H
#define VKFT_TOKENIZER_IDS_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef struct vkft_ids {
    int32_t *data;
    uint32_t count, capacity;
} vkft_ids;
void vkft_ids_free(vkft_ids *ids);
bool vkft_ids_push(vkft_ids *ids, int32_t id, vkft_err *err);

#endif
