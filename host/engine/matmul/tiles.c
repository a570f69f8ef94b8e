/* Tile shapes, measured on lavapipe; a GPU's are chosen by reasoning. On lavapipe, per 8-wide vector of W an invocation
 * must do many multiplications, because a load that differs between invocations is a gather there, while a load that is
 * the same for all of them is one scalar load. Where every load is a gather, square tiles are best.
 */
#include "host/engine/matmul/tiles.h"

#define PANEL_BYTES_CPU (4u << 20) /* on a software device, where the panel should stay in the last-level cache */

vkft_tiles vkft_tiles_of(const vkft_caps *caps)
{
    if (!caps->software) {
        /* 8x4 keeps 32 sums and 24 operands in registers, which fits the smallest register files without spilling; 64
         * wide is one or two subgroups everywhere. A panel is as large as scratch, so that a launch fills a wide
         * device. */
        return (vkft_tiles){
            .panel = {64, 8, 4, 4},
            .decode = {0, 1, 1, 1},
            .tn = {64, 8, 2, 4},
            .grouped_tn = {64, 8, 2, 1},
            .direct = {{{64, DIRECT_MAX_ROWS, 1, 1}, {64, DIRECT_MAX_ROWS, 1, 1}}, {{64, 8, 1, 1}, {64, 16, 1, 1}}},
            .panel_bytes = VKFT_PANEL_BYTES,
            .tn_workgroups = 512};
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
                        .tn_workgroups = 16};
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
