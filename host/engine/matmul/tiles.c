/* Tile shapes, measured on lavapipe; a GPU's are chosen by reasoning. On lavapipe, per 8-wide vector of W an invocation
 * must do many multiplications, because a load that differs between invocations is a gather there, while a load that is
 * the same for all of them is one scalar load. Where every load is a gather, square tiles are best.
 */
#include "host/engine/matmul/tiles.h"

#define PANEL_BYTES_CPU (4u << 20) /* on a software device, where the panel should stay in the last-level cache */

/* Best for large products first. The last one is for products with few columns, as LoRA's. */
static const vkft_block gpu_blocks[] = {
    {8, 8, 16, 16, 16, 4, 0, true},
    {8, 4, 8, 16, 16, 4, 0, true},
    {4, 4, 16, 4, 16, 4, 0, true},
};
/* One subgroup a workgroup, since barriers cost most; used where VKFT_STRATEGY asks for it. */
static const vkft_block cpu_blocks[] = {
    {4, 4, 2, 4, 8, 1, 0, true},
    {4, 4, 8, 2, 8, 1, 0, false},
};

/* Of shared memory that a block needs, with the tables of its weights. */
static uint32_t block_bytes(const vkft_block *b)
{
    const uint32_t tables = 4 * (16 + 256);
    uint32_t row = 4 * b->depth + 16, m = b->rows * b->lanes_m, n = b->columns * b->lanes_n;
    return (m + n) * row + tables;
}

static bool block_fits(const vkft_caps *caps, const vkft_block *b)
{
    uint32_t width = b->lanes_m * b->lanes_n;
    return width <= caps->workgroup_invocations && block_bytes(b) <= caps->shared_memory_bytes &&
           (!b->subgroup || vkft_caps_subgroup_size(caps, width, b->subgroup));
}

static void add_blocks(vkft_tiles *tiles, const vkft_caps *caps, const vkft_block *blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (block_fits(caps, &blocks[i]))
            tiles->blocks[tiles->block_count++] = blocks[i];
}
#define ADD_BLOCKS(tiles, caps, blocks) add_blocks(tiles, caps, blocks, sizeof(blocks) / sizeof *(blocks))

vkft_tiles vkft_tiles_of(const vkft_caps *caps)
{
    if (!caps->software) {
        /* 8x4 keeps 32 sums and 24 operands in registers, which fits the smallest register files without spilling; 64
         * wide is one or two subgroups everywhere. A panel is as large as scratch, so that a launch fills a wide
         * device. */
        vkft_tiles tiles = {
            .panel = {64, 8, 4, 4},
            .decode = {0, 1, 1, 1},
            .tn = {64, 8, 2, 4},
            .grouped_tn = {64, 8, 2, 1},
            .direct = {{{64, DIRECT_MAX_ROWS, 1, 1}, {64, DIRECT_MAX_ROWS, 1, 1}}, {{64, 8, 1, 1}, {64, 16, 1, 1}}},
            .panel_bytes = VKFT_PANEL_BYTES,
            .tn_workgroups = 512,
            .invocations = 32768};
        ADD_BLOCKS(&tiles, caps, gpu_blocks);
        return tiles;
    }
    uint32_t width = caps->subgroup_size;
    vkft_tiles tiles = {.panel = {width, 32, 2, 4},
                        .decode = {0, 1, 1, 1},
                        .tn = {width, 32, 2, 1},
                        .grouped_tn = {width, 8, 2, 1},
                        .direct = {{{width, DIRECT_MAX_ROWS, 1, 1}, {width, DIRECT_MAX_ROWS, 1, 1}},
                                   {{width, 8, 1, 1}, {width, 16, 1, 1}}},
                        .tn_long_rows = true,
                        .panel_bytes = PANEL_BYTES_CPU,
                        .tn_workgroups = 16,
                        .invocations = 16 * width};
    ADD_BLOCKS(&tiles, caps, cpu_blocks);
    if (!vkft_caps_have(caps, VKFT_CAP_UNIFORM_LOADS)) {
        tiles.panel = (vkft_tile){width, 16, 8, 1};
        tiles.tn = (vkft_tile){width, 16, 8, 1};
        tiles.tn_long_rows = false;
    }
    return tiles;
}

void vkft_tile_specialize(vkft_device *dev, vkft_kernel kernel, vkft_tile t, vkft_dtype operands)
{
    const uint32_t constants[] = {t.rows, t.columns, t.band, operands == VKFT_BF16};
    vkft_kernel_specialize(dev, kernel, t.width, 0, constants, 4);
}

void vkft_tile_specialize_types(vkft_device *dev, vkft_kernel_family family, vkft_tile tile, vkft_dtype operands)
{
    for (vkft_storage type = 0; type < VKFT_STORAGE_COUNT; type++)
        vkft_tile_specialize(dev, vkft_kernel_by_type(family, type), tile,
                             vkft_storage_is_quantized(type) ? operands : VKFT_F32);
}
