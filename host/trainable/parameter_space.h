/* The flat f32 space in which all trained parameters lie one behind the other, as host code sees it, and the device
 * buffers that it is cut into. No tensor lies across a cut.
 */
#ifndef VKFT_FLAT_H
#define VKFT_FLAT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/memory.h"

#define VKFT_FLAT_PARTS 64u
#define VKFT_FLAT_FLOATS (VKFT_BUFFER_BYTES / sizeof(float)) /* of a part, unless a tensor alone is larger */

typedef struct vkft_flat {
    uint64_t first[VKFT_FLAT_PARTS + 1]; /* float with which each part begins, and the length of all */
    uint64_t address[VKFT_FLAT_PARTS];   /* device addresses */
    uint32_t parts;
} vkft_flat;

/* All of it in one place. */
static inline vkft_flat vkft_flat_whole(uint64_t floats, uint64_t address)
{
    return (vkft_flat){.first = {0, floats}, .address = {address}, .parts = 1};
}

static inline uint64_t vkft_flat_length(const vkft_flat *flat)
{
    return flat->first[flat->parts];
}

/* Appends a tensor of so many floats and gives its offset; begins a part when the last one would have more than `most`.
 * Once there are VKFT_FLAT_PARTS the last grows. */
static inline uint64_t vkft_flat_append(vkft_flat *flat, uint64_t floats, uint64_t most)
{
    uint64_t end = vkft_flat_length(flat), last = flat->parts ? end - flat->first[flat->parts - 1] : 0;
    bool fits = last + floats <= most || flat->parts == VKFT_FLAT_PARTS;
    if (!flat->parts || (last && !fits))
        flat->parts++; /* the new part begins where the others end: first[parts - 1] is `end` */
    flat->first[flat->parts] = end + floats;
    return end;
}

/* The device address of float number `offset`. */
static inline uint64_t vkft_flat_at(const vkft_flat *flat, uint64_t offset)
{
    uint32_t part = flat->parts - 1;
    assert(flat->parts && offset < vkft_flat_length(flat));
    while (flat->first[part] > offset)
        part--;
    return flat->address[part] + (offset - flat->first[part]) * sizeof(float);
}

#endif
