/* Lists of token ids. */
#include "formats/tokenizer/ids.h"

#include <stdlib.h>

void vkft_ids_free(vkft_ids *ids)
{
    free(ids->data);
    *ids = (vkft_ids){0};
}

bool vkft_ids_push(vkft_ids *ids, int32_t id, vkft_err *err)
{
    if (ids->count == ids->capacity) {
        if (ids->capacity > UINT32_MAX / 8)
            return vkft_fail(err, VKFT_ERR_MEMORY, "a text has too many tokens");
        uint32_t capacity = ids->capacity ? 2 * ids->capacity : 64;
        int32_t *data = realloc(ids->data, capacity * sizeof *data);
        if (!data)
            return vkft_fail_memory(err, "for %u token ids", capacity);
        ids->data = data;
        ids->capacity = capacity;
    }
    ids->data[ids->count++] = id;
    return true;
}
