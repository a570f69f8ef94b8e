/* Keys and values of all positions so far, of each of the decoder's layers; with an encoder also those of its tokens.
 */
#ifndef VKFT_KV_CACHE_H
#define VKFT_KV_CACHE_H

#include "host/model/decoder.h"
#include "host/session/session.h"

typedef struct vkft_kv_cache {
    const vkft_stack *decoder; /* of the session's model */
    vkft_kv *layers;           /* where they are; placeholders before the session's start */
    vkft_buffer *buffers;
} vkft_kv_cache;

/* For all positions and source tokens of the session's limits; allocated with the session. */
bool vkft_kv_cache_open(vkft_kv_cache *cache, vkft_session *session, vkft_err *err);
void vkft_kv_cache_close(vkft_kv_cache *cache, vkft_device *dev);

#endif
