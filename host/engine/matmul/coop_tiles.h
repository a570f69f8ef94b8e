/* Tiles of products on matrix cores (gemm_coop.c), by what the driver lists. */
#ifndef VKFT_COOP_TILES_H
#define VKFT_COOP_TILES_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/caps.h"

/* What a workgroup computes of Y, and each of its subgroups of that. */
typedef struct vkft_coop_tile {
    uint32_t bm, bn, sm, sn;
} vkft_coop_tile;

typedef enum vkft_coop_size {
    VKFT_COOP_LARGE,
    VKFT_COOP_SMALL,     /* where large tiles would be too few for the device */
    VKFT_COOP_UNALIGNED, /* for matrices whose runs are not aligned (shaders/matmul/storage/weight.glsl) */
    VKFT_COOP_SIZES,
} vkft_coop_size;

typedef struct vkft_coop_tiles {
    uint32_t M, N, K; /* a matrix shape of f16 operands and f32 sums */
    uint32_t subgroup;
    uint32_t workgroups; /* that keep such a device busy */
    bool ahead;          /* registers suffice to load a step while the one before is multiplied */
    bool branch;         /* the product adds its branch */
    bool forced_only;    /* not known to be faster than f32 products: used where VKFT_STRATEGY=coop asks for it */
    vkft_coop_tile sizes[VKFT_COOP_SIZES];
} vkft_coop_tiles;

/* The best row for the device; NULL: its driver lists no shape that the table has. forced: of all rows, else of those
 * that are known to be fast. */
const vkft_coop_tiles *vkft_coop_tiles_of(const vkft_caps *caps, bool forced);

static inline uint32_t vkft_coop_width(const vkft_coop_tiles *tiles, vkft_coop_size size)
{
    const vkft_coop_tile *t = &tiles->sizes[size];
    return t->bm / t->sm * (t->bn / t->sn) * tiles->subgroup;
}

#endif
