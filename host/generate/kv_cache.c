/* One buffer a layer: keys, values, keys of the source, values of the source. See kv_cache.h. */
#include "host/generate/kv_cache.h"

#include <stdlib.h>

#include "runtime/base/size.h"

/* Keys or values of so many tokens of one layer. */
static uint64_t padded_bytes(const vkft_attention_shape *shape, uint32_t tokens)
{
    return round_up((uint64_t)tokens * shape->Hk * shape->D * sizeof(float), VKFT_BUFFER_ALIGNMENT);
}

static uint64_t layer_bytes(const vkft_layer *layer, const vkft_batch_limits *limits)
{
    return 2 * padded_bytes(&layer->attention, limits->positions) +
           2 * padded_bytes(&layer->cross_attention, limits->source_tokens);
}

static uint64_t cache_bytes(const void *owner, const vkft_limits *limits)
{
    const vkft_kv_cache *cache = owner;
    uint64_t bytes = 0;
    for (uint32_t l = 0; l < cache->decoder->count; l++)
        bytes += layer_bytes(&cache->decoder->layers[l], &limits->batch);
    return bytes;
}

static bool allocate(void *owner, vkft_session *session, vkft_err *err)
{
    vkft_kv_cache *cache = owner;
    const vkft_batch_limits *limits = &session->plan.limits.batch;
    for (uint32_t l = 0; l < cache->decoder->count; l++) {
        const vkft_layer *layer = &cache->decoder->layers[l];
        vkft_buffer *buffer = &cache->buffers[l];
        uint64_t own = padded_bytes(&layer->attention, limits->positions),
                 cross = padded_bytes(&layer->cross_attention, limits->source_tokens);
        if (!vkft_buffer_new(session->dev, layer_bytes(layer, limits), VKFT_MEMORY_DEVICE, "KV cache", buffer, err))
            return false;
        uint64_t at = buffer->address;
        cache->layers[l] = (vkft_kv){at, at + own, at + 2 * own, at + 2 * own + cross};
    }
    return true;
}

bool vkft_kv_cache_open(vkft_kv_cache *cache, vkft_session *session, vkft_err *err)
{
    uint32_t layers = session->model.decoder.count;
    *cache = (vkft_kv_cache){.decoder = &session->model.decoder,
                             .layers = calloc(layers, sizeof *cache->layers),
                             .buffers = calloc(layers, sizeof *cache->buffers)};
    if (!cache->layers || !cache->buffers)
        return vkft_fail_memory(err, "for the KV cache");
    for (uint32_t l = 0; l < layers; l++)
        cache->layers[l] = (vkft_kv){VKFT_PLACEHOLDER_ADDRESS, VKFT_PLACEHOLDER_ADDRESS, VKFT_PLACEHOLDER_ADDRESS,
                                     VKFT_PLACEHOLDER_ADDRESS};
    vkft_session_need(session, (vkft_holding){"KV cache", VKFT_MEMORY_DEVICE, cache_bytes, allocate, cache});
    return true;
}

void vkft_kv_cache_close(vkft_kv_cache *cache, vkft_device *dev)
{
    for (uint32_t l = 0; cache->buffers && l < cache->decoder->count; l++)
        vkft_buffer_free(dev, &cache->buffers[l]);
    free(cache->layers);
    free(cache->buffers);
    *cache = (vkft_kv_cache){0};
}
