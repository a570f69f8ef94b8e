/* Tile shapes, measured on lavapipe; a GPU's are chosen by what its compiler makes of the kernels. On lavapipe, per
 * 8-wide vector of W an invocation must do many multiplications, because a load that differs between invocations is a
 * gather there, while a load that is the same for all of them is one scalar load. Where every load is a gather, square
 * tiles are best.
 */
#include "host/engine/matmul/tiles.h"

#include <assert.h>
#include <string.h>

#include "runtime/base/size.h"

#define PANEL_BYTES_CPU (4u << 20) /* on a software device, where the panel should stay in the last-level cache */

/* Shapes for a family of chips. Sums, operands and loads in flight must fit its registers without spilling, by its
 * compiler's own word (tools/survey_kernels). Intel's subgroups, asked to be small, read an element of X once for all
 * of their invocations, and hide loads by their many threads rather than by loads in flight. */
typedef struct chip_tiles {
    const vkft_block *blocks; /* largest first, the last one for products with few columns, as LoRA's; then a 0 */
    vkft_tile panel;
} chip_tiles;

/* One subgroup a workgroup, since barriers cost most; used where VKFT_STRATEGY asks for it. */
static const vkft_block software[] = {{4, 4, 2, 4, 8, 1, 0, true}, {4, 4, 8, 2, 8, 1, 0, false}, {0}};
static const vkft_block small[] = {{4, 4, 8, 8, 16, 4, 0, false}, {4, 4, 16, 4, 16, 4, 0, false}, {0}};
static const vkft_block large[] = {
    {8, 8, 16, 16, 16, 4, 0, true}, {8, 4, 8, 16, 16, 4, 0, true}, {4, 4, 16, 4, 16, 4, 0, true}, {0}};
static const vkft_block intel[] = {{8, 4, 16, 16, 16, 4, 8, false}, {4, 4, 8, 8, 16, 4, 8, false}, {0}};
static const vkft_block xe2[] = {{8, 4, 16, 16, 16, 4, 16, false}, {4, 4, 8, 16, 16, 4, 16, false}, {0}};
static const vkft_block adreno[] = {{8, 4, 4, 16, 16, 4, 0, true}, {4, 4, 16, 4, 16, 4, 0, true}, {0}};

/* Of f16 operands. */
static const vkft_block half_software[VKFT_HALF_BLOCKS] = {{2, 4, 4, 4, 0, 1, 0, false}, {1, 4, 4, 4, 0, 1, 0, false}};
static const vkft_block half_gpu[VKFT_HALF_BLOCKS] = {{8, 8, 16, 16, 0, 4, 0, false}, {8, 4, 8, 16, 0, 4, 0, false}};

static const chip_tiles chips[VKFT_GENERATION_COUNT] = {
    [VKFT_GENERATION_OTHER] = {small, {64, 8, 4, 4}},   [VKFT_GENERATION_SOFTWARE] = {software, {0}}, /* see below */
    [VKFT_GENERATION_GCN] = {large, {64, 16, 4, 4}},    [VKFT_GENERATION_RDNA] = {large, {64, 16, 4, 4}},
    [VKFT_GENERATION_RDNA3] = {large, {64, 16, 4, 4}},  [VKFT_GENERATION_RDNA4] = {large, {64, 8, 4, 4}},
    [VKFT_GENERATION_NVIDIA] = {large, {32, 8, 8, 4}},  [VKFT_GENERATION_TURING] = {large, {32, 8, 8, 4}},
    [VKFT_GENERATION_INTEL] = {intel, {64, 8, 4, 4}},   [VKFT_GENERATION_XE2] = {xe2, {64, 8, 4, 4}},
    [VKFT_GENERATION_ADRENO] = {adreno, {64, 8, 4, 4}},
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

static void add_blocks(vkft_tiles *tiles, const vkft_caps *caps, vkft_generation generation)
{
    for (const vkft_block *b = chips[generation].blocks; b->rows; b++)
        if (block_fits(caps, b)) {
            assert(tiles->block_count < VKFT_BLOCKS);
            tiles->blocks[tiles->block_count++] = *b;
        }
}

static vkft_tiles gpu_tiles(const vkft_caps *caps)
{
    /* 64 wide is one or two subgroups everywhere. A panel is as large as scratch, so that a launch fills a wide device.
     */
    return (vkft_tiles){
        .panel = chips[vkft_caps_generation(caps)].panel,
        .decode = {0, 1, 1, 1},
        .tn = {64, 8, 2, 4},
        .grouped_tn = {64, 8, 2, 1},
        .direct = {{{64, DIRECT_MAX_ROWS, 1, 1}, {64, DIRECT_MAX_ROWS, 1, 1}}, {{64, 8, 1, 1}, {64, 8, 1, 1}}},
        .panel_bytes = VKFT_PANEL_BYTES,
        .tn_workgroups = 512,
        .invocations = 32768};
}

static vkft_tiles cpu_tiles(const vkft_caps *caps)
{
    uint32_t width = caps->subgroup_size;
    vkft_tiles tiles = {.panel = {width, 32, 2, 4},
                        .panel64 = {width, 32, 4, 2},
                        .decode = {0, 1, 1, 1},
                        .tn = {width, 64, 2, 1},
                        .grouped_tn = {width, 8, 2, 1},
                        .direct = {{{width, DIRECT_MAX_ROWS, 1, 1}, {width, DIRECT_MAX_ROWS, 1, 1}},
                                   {{width, 8, 1, 1}, {width, 16, 1, 1}}},
                        .tn_long_rows = true,
                        .panel_bytes = PANEL_BYTES_CPU,
                        .tn_workgroups = 16,
                        .invocations = 16 * width};
    if (!vkft_caps_have(caps, VKFT_CAP_UNIFORM_LOADS)) {
        tiles.panel = (vkft_tile){width, 16, 8, 1};
        tiles.tn = (vkft_tile){width, 16, 8, 1};
        tiles.tn_long_rows = false;
    }
    return tiles;
}

vkft_tiles vkft_tiles_of(const vkft_caps *caps)
{
    vkft_tiles tiles = caps->software ? cpu_tiles(caps) : gpu_tiles(caps);
    add_blocks(&tiles, caps, vkft_caps_generation(caps));
    if (!tiles.block_count) /* it cannot be asked for subgroups of the wanted size */
        add_blocks(&tiles, caps, VKFT_GENERATION_OTHER);
    memcpy(tiles.half, caps->software ? half_software : half_gpu, sizeof tiles.half);
    return tiles;
}

vkft_split vkft_block_split(const vkft_tiles *tiles, const vkft_block *b, uint32_t M, uint32_t N, uint32_t K,
                            uint32_t min_slice, uint64_t room)
{
    uint64_t workgroups = (uint64_t)ceil_div(M, b->rows * b->lanes_m) * ceil_div(N, b->columns * b->lanes_n);
    uint64_t parts = tiles->invocations / (workgroups * b->lanes_m * b->lanes_n), longest = K / min_slice,
             fit = room / sizeof(float) / ((uint64_t)M * N);
    uint32_t slices = (uint32_t)max_u64(1, min_u64(parts, min_u64(longest, fit)));
    uint32_t slice = slices == 1 ? K : (uint32_t)round_up(ceil_div(K, slices), b->depth);
    return (vkft_split){workgroups, ceil_div(K, slice), slice};
}

double vkft_block_cost(const vkft_tiles *tiles, const vkft_block *b, const vkft_split *split)
{
    double tile = (double)b->rows * b->lanes_m * b->columns * b->lanes_n;
    double fill = (double)(split->workgroups * split->slices * b->lanes_m * b->lanes_n) / tiles->invocations;
    double each = 1 + 2 * (1.0 / b->rows + 1.0 / b->columns);
    return (double)split->workgroups * tile * each / (fill < 1 ? fill : 1);
}

void vkft_tile_specialize(vkft_device *dev, vkft_kernel kernel, vkft_tile t, vkft_dtype operands)
{
    const uint32_t constants[] = {t.rows, t.columns, t.band, operands == VKFT_BF16};
    vkft_kernel_specialize(dev, kernel, t.width, 0, constants, 4);
}

void vkft_tile_specialize_types(vkft_device *dev, vkft_kernel_family family, uint32_t variant, vkft_tile tile,
                                vkft_dtype operands)
{
    for (vkft_storage type = 0; type < VKFT_STORAGE_COUNT; type++) {
        vkft_kernel kernel = vkft_kernel_by_type(family, type);
        if (kernel != VKFT_KERNEL_COUNT)
            vkft_tile_specialize(dev, vkft_kernel_variant(kernel, variant), tile,
                                 vkft_storage_is_quantized(type) ? operands : VKFT_F32);
    }
}
