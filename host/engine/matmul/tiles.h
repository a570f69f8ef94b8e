/* Tile shapes of matrix products and how much of a weight is decoded at a time. Internal to host. */
#ifndef VKFT_TILES_H
#define VKFT_TILES_H

#include "runtime/base/size.h"
#include "runtime/kernels.h"
#include "host/engine/matmul/matmul.h"

#define VKFT_PANEL_K 2048u           /* most rows of a panel, a multiple of 8 */
#define VKFT_PANEL_BYTES (32u << 20) /* most bytes of panels */
#define VKFT_WIDEST_TILE 256u        /* most columns of a tile on any device; what scratch is rounded up to */
#define VKFT_FEW_ROWS 8u             /* up to here the storage type is multiplied directly */

/* Register tile of one invocation, and how many column tiles are walked together. */
typedef struct vkft_tile {
    uint32_t width; /* 0: of the kernels that make panels, whose width is not chosen */
    uint32_t rows, columns, group;
} vkft_tile;

typedef struct vkft_matmul_shapes {
    vkft_tile panel, few, tn, decode;             /* decode: of the kernels that make panels */
    vkft_tile grouped_nt, grouped_nn, grouped_tn; /* rows divide GROUP_TILE, as panel's do */
    bool tn_long_rows; /* matmul_tn: the longer dimension of Y runs over tile rows, else over invocations */
    uint64_t panel_bytes;
    uint32_t tn_workgroups; /* matmul_tn is cut in slices up to this many workgroups */
} vkft_matmul_shapes;

vkft_matmul_shapes vkft_matmul_shapes_of(const vkft_device *dev);

/* Sets width and constants of a kernel. operands: F32, or BF16 to which it is to round them. */
void vkft_tile_specialize(vkft_device *dev, vkft_kernel kernel, vkft_tile tile, vkft_dtype operands);
/* The same for all kernels of a family, of which those of quantized types alone may round. */
void vkft_tile_specialize_types(vkft_device *dev, vkft_kernel_family family, vkft_tile tile, vkft_dtype operands);

/* Bytes of a panel for products over k. */
uint64_t vkft_panel_bytes(uint32_t k, uint32_t columns);

#endif
