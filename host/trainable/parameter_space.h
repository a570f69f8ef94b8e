/* The flat f32 space in which all trained parameters lie, as host code sees it, and the device buffers that it is cut
 * into. No tensor spans two buffers.
 */
#ifndef VKFT_PARAMETER_SPACE_H
#define VKFT_PARAMETER_SPACE_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/memory.h"

#define VKFT_PARAMETER_SPACE_PARTS 64u
/* Floats of a part, unless a tensor alone is larger. */
#define VKFT_PARAMETER_SPACE_FLOATS (VKFT_BUFFER_BYTES / sizeof(float))

typedef struct vkft_parameter_space {
    uint64_t first[VKFT_PARAMETER_SPACE_PARTS + 1]; /* float with which each part begins, and the length of all */
    uint64_t address[VKFT_PARAMETER_SPACE_PARTS];   /* device addresses */
    uint32_t parts;
} vkft_parameter_space;

/* A tensor in the space: `floats` from `offset` on, the last ones padding. */
typedef struct vkft_parameter_tensor {
    uint64_t offset, floats;
    uint32_t rows, cols;
    bool embedding;      /* its rows are looked up */
    bool hidden;         /* the matrix of a linear layer inside a block, for an optimizer that goes by matrices */
    bool frozen;         /* for an optimizer that leaves it as it is */
    float lora_scale;    /* for such an optimizer: of a B whose A is the tensor before it; else 0 */
    bool loraplus;       /* learns at the rate that LoRA+ multiplies */
    bool lora_embedding; /* is LoRA on an embedding, for which LoRA+ has another rate */
} vkft_parameter_tensor;

/* All tensors, in order of their offsets; the space is theirs without gaps. */
typedef struct vkft_parameter_tensors {
    vkft_parameter_tensor *list;
    uint32_t count;
} vkft_parameter_tensors;

/* All of it in one place. */
static inline vkft_parameter_space vkft_parameter_space_whole(uint64_t floats, uint64_t address)
{
    return (vkft_parameter_space){.first = {0, floats}, .address = {address}, .parts = 1};
}

static inline uint64_t vkft_parameter_space_length(const vkft_parameter_space *flat)
{
    return flat->first[flat->parts];
}

/* Appends a tensor of so many floats and returns its offset. Starts a new part if the current one would exceed
 * max_floats. After VKFT_PARAMETER_SPACE_PARTS parts, the last one takes everything. */
static inline uint64_t vkft_parameter_space_append(vkft_parameter_space *flat, uint64_t floats, uint64_t max_floats)
{
    uint64_t end = vkft_parameter_space_length(flat), last = flat->parts ? end - flat->first[flat->parts - 1] : 0;
    bool fits = last + floats <= max_floats || flat->parts == VKFT_PARAMETER_SPACE_PARTS;
    if (!flat->parts || (last && !fits))
        flat->parts++; /* the new part begins where the others end: first[parts - 1] is `end` */
    flat->first[flat->parts] = end + floats;
    return end;
}

/* The device address of value number `offset`, of so many bytes each. */
static inline uint64_t vkft_parameter_space_value(const vkft_parameter_space *flat, uint64_t offset, uint32_t bytes)
{
    uint32_t part = flat->parts - 1;
    assert(flat->parts && offset < vkft_parameter_space_length(flat));
    while (flat->first[part] > offset)
        part--;
    return flat->address[part] + (offset - flat->first[part]) * bytes;
}

static inline uint64_t vkft_parameter_space_at(const vkft_parameter_space *flat, uint64_t offset)
{
    return vkft_parameter_space_value(flat, offset, sizeof(float));
}

static inline uint64_t vkft_parameter_space_bf16_at(const vkft_parameter_space *copies, uint64_t offset)
{
    return vkft_parameter_space_value(copies, offset, sizeof(uint16_t));
}

#endif
