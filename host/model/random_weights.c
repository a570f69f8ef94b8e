/* See random_weights.h. */
#include "host/model/random_weights.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/random.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

#define SEED 20
#define CHUNK (1u << 20) /* bytes made and uploaded at a time */

/* Random bytes number first to first + count - 1 of a stream; first is a multiple of 8. The same on machines of either
 * byte order. */
static void random_bytes(uint64_t stream, uint64_t first, uint64_t count, uint8_t *bytes)
{
    for (uint64_t i = 0; i < count; i += 8) {
        uint64_t word = vkft_random_bits(SEED, stream, (first + i) / 8);
        for (uint64_t b = 0; b < 8 && i + b < count; b++)
            bytes[i + b] = (uint8_t)(word >> 8 * b);
    }
}

static bool make_constant(vkft_device *dev, vkft_buffer *buffer, uint64_t offset, const struct vkft_tensor_spec *t,
                          vkft_err *err)
{
    const float one = vkft_string_ends_with(t->name, ".bias") ? 0.0f : 1.0f;
    uint32_t pattern;
    memcpy(&pattern, &one, sizeof pattern);
    return vkft_buffer_fill(dev, buffer, offset, 4ull * t->rows * t->cols, pattern, err);
}

/* The element that a random byte stands for, in the storage type: (2 byte - 255) 2^-13, whose mean is 0. */
static void make_elements(const vkft_storage_type *type, uint8_t elements[256 * 4])
{
    float values[256];
    for (int i = 0; i < 256; i++)
        values[i] = (float)(2 * i - 255) * 0x1p-13f;
    type->codec->encode(values, 256, elements, NULL);
}

/* Elements or codes. */
static bool make_data(vkft_device *dev, vkft_buffer *buffer, uint64_t offset, const struct vkft_tensor_spec *t,
                      uint64_t bytes, uint64_t stream, vkft_err *err)
{
    const vkft_storage_type *type = vkft_storage_get(t->storage);
    const bool coded = vkft_storage_is_quantized(t->storage);
    const uint32_t size = coded ? 1 : type->bits / 8;
    uint8_t elements[256 * 4], *random = malloc(CHUNK), *chunk = coded ? random : malloc(CHUNK);
    bool ok = (random && chunk) || vkft_fail_memory(err, "for random weights");
    if (!coded)
        make_elements(type, elements);
    for (uint64_t at = 0; ok && at < bytes; at += CHUNK) {
        uint64_t part = min_u64(bytes - at, CHUNK);
        random_bytes(stream, at / size, part / size, random);
        for (uint64_t i = 0; !coded && i < part / size; i++)
            memcpy(chunk + i * size, elements + random[i] * size, size);
        ok = vkft_buffer_write(dev, buffer, offset + at, chunk, part, err);
    }
    if (!coded)
        free(chunk);
    free(random);
    return ok;
}

/* Scales of blocks, as the type keeps them, past the data. They have both signs, because the mean of NF4's codes is not
 * 0: a matrix whose elements have a mean makes all rows of a model's states alike, layer by layer, and nothing that is
 * computed of such states is exact. bytes: without padding. */
static bool make_scales(vkft_device *dev, vkft_buffer *buffer, uint64_t offset, const struct vkft_tensor_spec *t,
                        const uint64_t bytes[VKFT_PARTS], uint64_t stream, vkft_err *err)
{
    const vkft_storage_type *type = vkft_storage_get(t->storage);
    const uint64_t blocks = ceil_div_u64((uint64_t)t->rows * t->cols, type->block);
    float *scales = malloc(blocks * sizeof *scales);
    void *part[VKFT_PARTS] = {NULL};
    uint8_t random[8];
    bool ok = scales != NULL;
    for (uint32_t p = VKFT_PART_SCALES; ok && p < VKFT_PARTS; p++)
        ok = !bytes[p] || (part[p] = calloc(1, bytes[p])) != NULL;
    ok = ok || vkft_fail_memory(err, "for random weights");
    for (uint64_t i = 0; ok && i < blocks; i++) {
        if (i % 8 == 0)
            random_bytes(stream, i, 8, random);
        const float sign = random[i % 8] % 2 ? -1 : 1;
        scales[i] = sign * (float)(384 + random[i % 8]) * 0x1p-13f * 0.640625f; /* 0.03 to 0.05, exact */
    }
    if (ok)
        type->codec->finish(scales, t->rows, t->cols, part, &t->weight->offset);
    for (uint32_t p = VKFT_PART_SCALES; ok && p < VKFT_PARTS; p++) {
        offset += t->bytes[p - 1];
        ok = !bytes[p] || vkft_buffer_write(dev, buffer, offset, part[p], bytes[p], err);
    }
    for (uint32_t p = 0; p < VKFT_PARTS; p++)
        free(part[p]);
    free(scales);
    return ok;
}

bool vkft_random_weights_make(vkft_device *dev, vkft_buffer *buffer, uint64_t offset,
                              const struct vkft_tensor_spec *tensor, uint32_t index, vkft_err *err)
{
    uint64_t bytes[VKFT_PARTS];
    if (tensor->vector)
        return make_constant(dev, buffer, offset, tensor, err);
    vkft_storage_part_bytes(tensor->storage, tensor->rows, tensor->cols, bytes);
    tensor->weight->offset = 0;
    return make_data(dev, buffer, offset, tensor, bytes[VKFT_PART_DATA], 2ull * index, err) &&
           (!vkft_storage_is_quantized(tensor->storage) ||
            make_scales(dev, buffer, offset, tensor, bytes, 2ull * index + 1, err));
}
