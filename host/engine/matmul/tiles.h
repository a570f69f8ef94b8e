/* Tile shapes of matrix products and how much of a weight is decoded at a time. */
#ifndef VKFT_TILES_H
#define VKFT_TILES_H

#include "runtime/kernels.h"
#include "host/engine/matmul/weight.h"

#define VKFT_PANEL_BYTES (32ull << 20) /* of panels at most */
#define VKFT_WIDEST_TILE 256u          /* columns of a tile at most on any device; what scratch is rounded up to */
#define DIRECT_MAX_ROWS 8u             /* up to here the storage type is multiplied directly; with groups: on average */
/* Measured on lavapipe, where grouped_nt does more rows at a time. */
#define DIRECT_MAX_GROUP_ROWS_NT 32u

/* Register tile of one invocation, and how many column tiles are computed before the next row tile. */
typedef struct vkft_tile {
    uint32_t width; /* 0: of the kernels that make panels, whose width is not chosen */
    uint32_t rows, columns, band;
} vkft_tile;

/* The part of a product that a workgroup of strategy tile computes: rows * lanes_m by columns * lanes_n, with lanes_m *
 * lanes_n invocations and `depth` of K at a time. */
typedef struct vkft_block {
    uint32_t rows, columns; /* of an invocation; columns: a multiple of 4 */
    uint32_t lanes_m, lanes_n;
    uint32_t depth;    /* a multiple of 8 */
    uint32_t band;     /* as in vkft_tile */
    uint32_t subgroup; /* the size of subgroups to ask for; 0: any. If it divides lanes_n, all of a subgroup have the
                          same rows */
    bool prefetch;     /* loads of a step are in flight while the one before is multiplied */
} vkft_block;
#define VKFT_BLOCKS 4u /* at most */
_Static_assert(VKFT_BLOCKS < VKFT_KERNEL_VARIANTS, "each has a pipeline");
#define VKFT_HALF_BLOCKS                                                                                               \
    2u /* of f16 operands (gemm_dot.c): a large one, and one for products that have too few of it */

typedef struct vkft_tiles {
    vkft_block blocks[VKFT_BLOCKS];
    uint32_t block_count;                             /* 0: none fits the device */
    vkft_block half[VKFT_HALF_BLOCKS];                /* of which depth, subgroup and prefetch mean nothing */
    vkft_tile panel, panel64, decode, tn, grouped_tn; /* decode: of the kernels that make panels */
    vkft_tile direct[2][2]; /* [grouped][transposed]; grouped: rows divide GROUP_TILE, as panel's do */
    bool tn_long_rows;      /* matmul_tn: the longer dimension of Y runs over tile rows, else over invocations */
    uint64_t panel_bytes;
    uint32_t tn_workgroups; /* matmul_tn is cut in slices up to this many workgroups */
    uint32_t invocations;   /* that keep the device busy */
} vkft_tiles;

vkft_tiles vkft_tiles_of(const vkft_caps *caps);

/* A product of M by N sums of length K in blocks: workgroups of a slice of K, slices and their length. */
typedef struct vkft_split {
    uint64_t workgroups;
    uint32_t slices, slice;
} vkft_split;

/* Cuts K where there are too few workgroups for the device: into slices of at least min_slice, whose M * N partial sums
 * each fit `room` bytes together. */
vkft_split vkft_block_split(const vkft_tiles *tiles, const vkft_block *block, uint32_t M, uint32_t N, uint32_t K,
                            uint32_t min_slice, uint64_t room);
/* Relative time: multiplications with padding, and their share of the loads from shared memory, on the part of the
 * device that the workgroups fill. */
double vkft_block_cost(const vkft_tiles *tiles, const vkft_block *block, const vkft_split *split);

/* Sets width and constants of a kernel. operands: F32, or BF16 to which it is to round them. */
void vkft_tile_specialize(vkft_device *dev, vkft_kernel kernel, vkft_tile tile, vkft_dtype operands);
/* The same for a variant of all kernels of a family, of which those of quantized types alone may round. */
void vkft_tile_specialize_types(vkft_device *dev, vkft_kernel_family family, uint32_t variant, vkft_tile tile,
                                vkft_dtype operands);

#endif
