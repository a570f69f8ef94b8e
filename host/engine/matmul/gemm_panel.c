/* Products that decode W first: a panel of W becomes f32 in scratch, in a layout made for the multiplication (kernels
 * panel_*), and matmul_panel multiplies it. One kernel then serves all storage types and both directions, and the price
 * is a few percent from some hundred rows on; f32 weights go through panels too, for the layout. With groups the
 * matrices of some groups are decoded and multiplied in one launch, then those of the next groups.
 *
 * Panels are cut along K as well, so that one column tile of the panel and one row tile of X stay in a second-level
 * cache.
 *
 * Strategy panel64 is for a software device that loads an element of X once for all invocations: its kernels load two
 * elements of a panel at a time. Its sums have the same bits.
 *
 * Reduction order is fixed by shapes and device alone: within a panel k ascends, panels are added in order.
 */
#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

#define PANEL_K 2048u /* rows of a panel at most, a multiple of 8 */

static const vkft_kernel_family decoders[2][2] = {
    /* [grouped][transposed] */
    {VKFT_FAMILY_panel_nn, VKFT_FAMILY_panel_nt},
    {VKFT_FAMILY_grouped_panel_nn, VKFT_FAMILY_grouped_panel_nt},
};

/* Products with quantized weights may round their operands, so they have a pipeline of their own: [grouped][quantized].
 */
typedef vkft_kernel kernels_of_panels[2][2];

static const kernels_of_panels products = {
    {VKFT_KERNEL_matmul_panel, VKFT_KERNEL_matmul_panel_quantized},
    {VKFT_KERNEL_grouped_matmul_panel, VKFT_KERNEL_grouped_matmul_panel_quantized},
};
static const kernels_of_panels products64 = {
    {VKFT_KERNEL_matmul_panel64, VKFT_KERNEL_matmul_panel64_quantized},
    {VKFT_KERNEL_grouped_matmul_panel64, VKFT_KERNEL_grouped_matmul_panel64_quantized},
};

/* Pipelines of panel64: of products with more columns than a tile of strategy panel has, and of others, as LoRA's. */
enum { WIDE, NARROW, VARIANTS };

static vkft_kernel decoder_of(vkft_gemm_class class)
{
    return vkft_kernel_by_type(decoders[class.grouped][class.transposed], class.storage);
}

static vkft_kernel product_of(vkft_gemm_class class)
{
    return products[class.grouped][vkft_storage_is_quantized(class.storage)];
}

static vkft_kernel product64_of(vkft_gemm_class class)
{
    return products64[class.grouped][vkft_storage_is_quantized(class.storage)];
}

static bool possible64(const vkft_gemm *gemm)
{
    return gemm->caps->software && vkft_caps_have(gemm->caps, VKFT_CAP_UNIFORM_LOADS);
}

static vkft_tile tile64_of(const vkft_gemm *gemm, uint32_t variant)
{
    return variant == NARROW ? gemm->tiles.panel : gemm->tiles.panel64;
}

static uint32_t variant_of(const vkft_gemm *gemm, const vkft_product *p)
{
    if (gemm->variant)
        return gemm->variant - 1;
    return vkft_product_n(p) <= gemm->tiles.panel.columns * gemm->tiles.panel.width ? NARROW : WIDE;
}

static void specialize(vkft_device *dev, const vkft_gemm *gemm, const kernels_of_panels kernels, uint32_t variant,
                       vkft_tile tile)
{
    vkft_dtype operands = gemm->operands;
    for (int grouped = 0; grouped < 2; grouped++) {
        for (int transposed = 0; transposed < 2; transposed++)
            vkft_tile_specialize_types(dev, decoders[grouped][transposed], 0, gemm->tiles.decode, operands);
        vkft_tile_specialize(dev, vkft_kernel_variant(kernels[grouped][false], variant), tile, VKFT_F32);
        vkft_tile_specialize(dev, vkft_kernel_variant(kernels[grouped][true], variant), tile, operands);
    }
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    specialize(dev, gemm, products, 0, gemm->tiles.panel);
}

static void prepare64(vkft_device *dev, const vkft_gemm *gemm)
{
    for (uint32_t variant = 0; variant < VARIANTS; variant++)
        specialize(dev, gemm, products64, variant, tile64_of(gemm, variant));
}

static uint64_t panel_bytes(uint32_t k, uint32_t columns)
{
    return round_up(min_u32(k, PANEL_K), 8) * columns * sizeof(float);
}

static uint64_t scratch_bytes(uint32_t rows, uint32_t cols)
{
    uint64_t nt = panel_bytes(cols, (uint32_t)round_up(rows, VKFT_WIDEST_TILE)),
             nn = panel_bytes(rows, (uint32_t)round_up(cols, VKFT_WIDEST_TILE));
    return min_u64(max_u64(nt, nn), VKFT_PANEL_BYTES);
}

static uint32_t tile_columns(vkft_tile tile)
{
    return tile.columns * tile.width;
}

/* Bytes of scratch that panels may take. */
static uint64_t room(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx)
{
    return min_u64(ctx->scratch_bytes, gemm->tiles.panel_bytes);
}

/* Column tiles of a panel that there is room for. */
static uint32_t tiles_in(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, vkft_tile tile)
{
    return (uint32_t)(room(gemm, ctx) / panel_bytes(vkft_product_k(p), tile_columns(tile)));
}

static bool suits_in(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, vkft_tile tile)
{
    if (!tiles_in(gemm, ctx, p, tile))
        return false;
    if (!p->groups)
        return p->M > DIRECT_MAX_ROWS || !vkft_gemm_direct.suits(gemm, ctx, p);
    /* How many rows there are on average is all that the host knows of groups. */
    uint64_t few = (uint64_t)p->groups->groups * (p->transposed ? DIRECT_MAX_GROUP_ROWS_NT : DIRECT_MAX_ROWS);
    return p->M > few && vkft_product_n(p) >= tile_columns(tile) / 2;
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    return suits_in(gemm, ctx, p, gemm->tiles.panel);
}

static bool suits64(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    return suits_in(gemm, ctx, p, tile64_of(gemm, variant_of(gemm, p)));
}

/* A part of the matrices of some groups: columns n ... n+columns, rows k ... k+depth of op(W). */
typedef struct portion {
    uint32_t first, groups, n, columns, k, depth;
} portion;

/* Runs of 8 in a panel. */
static uint32_t panel_runs(const portion *part, uint32_t tile)
{
    return ceil_div(part->depth, 8) * (uint32_t)round_up(part->columns, tile);
}

static void decode(const vkft_matmul_ctx *ctx, const vkft_product *p, const portion *part, uint32_t tile)
{
    uint32_t row = p->transposed ? part->n : part->k, column = p->transposed ? part->k : part->n;
    uint64_t threads = p->transposed ? (uint64_t)ceil_div(part->depth, 8) * part->columns
                                     : (uint64_t)part->depth * ceil_div(part->columns, 8);
    double flops = 8.0 * part->groups * part->columns * part->depth;
    vkft_kernel kernel = decoder_of(vkft_product_class(p));
    if (p->groups) {
        struct grouped_panel_args args = {
            .weights = p->weights,
            .group = p->groups->table,
            .P = ctx->scratch,
            .row = row,
            .column = column,
            .n = part->columns,
            .k = part->depth,
            .tile = tile,
            .first = part->first,
            .stride = panel_runs(part, tile),
        };
        vkft_launch(ctx->cmds, kernel, &args, sizeof args, threads, part->groups, flops);
    } else {
        struct panel_args args = {
            .W = vkft_weight_ref(p->w),
            .P = ctx->scratch,
            .row = row,
            .column = column,
            .n = part->columns,
            .k = part->depth,
            .tile = tile,
        };
        vkft_launch(ctx->cmds, kernel, &args, sizeof args, threads, 1, flops);
    }
}

static void multiply(const vkft_matmul_ctx *ctx, const vkft_product *p, const portion *part, vkft_kernel kernel,
                     vkft_tile tile)
{
    uint64_t offset = part->n * sizeof(float), X = p->X + part->k * sizeof(float), Y = p->Y + offset;
    uint64_t R = part->k ? Y : p->R ? p->R + offset : 0;
    uint32_t column_tiles = ceil_div(part->columns, tile_columns(tile));
    uint32_t ldx = vkft_product_ldx(p), ldy = vkft_product_ldy(p);
    double flops = 2.0 * p->M * part->columns * part->depth;
    if (p->groups) {
        struct grouped_matmul_panel_args args = {
            .X = X,
            .P = ctx->scratch,
            .R = R,
            .Y = Y,
            .group = p->groups->table,
            .tiles = vkft_group_tiles(p->groups, part->groups, tile.rows),
            .first = part->first,
            .groups = part->groups,
            .stride = panel_runs(part, tile_columns(tile)),
            .N = part->columns,
            .K = part->depth,
            .ldx = ldx,
            .ldy = ldy,
            .add = R != 0,
            .scale = p->scale,
        };
        vkft_launch_workgroups(ctx->cmds, kernel, &args, sizeof args, (uint64_t)args.tiles * column_tiles, 1,
                               flops * part->groups / p->groups->groups);
    } else {
        struct matmul_panel_args args = {
            .X = X,
            .P = ctx->scratch,
            .R = R,
            .Y = Y,
            .M = p->M,
            .N = part->columns,
            .K = part->depth,
            .ldx = ldx,
            .ldy = ldy,
            .add = R != 0,
            .scale = p->scale,
        };
        vkft_launch_workgroups(ctx->cmds, kernel, &args, sizeof args,
                               (uint64_t)ceil_div(p->M, tile.rows) * column_tiles, 1, flops);
    }
}

static void record_with(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, vkft_kernel product,
                        vkft_tile tile)
{
    uint32_t N = vkft_product_n(p), K = vkft_product_k(p), G = p->groups ? p->groups->groups : 1;
    uint32_t width = tile_columns(tile), tiles = tiles_in(gemm, ctx, p, tile);
    if (!tiles) {
        vkft_commands_fail(ctx->cmds, "a product with %s weights has no scratch memory for a panel",
                           vkft_storage_get(p->w->storage)->name);
        return;
    }
    uint32_t columns = min_u32(tiles, ceil_div(N, width)) * width;
    uint32_t groups = min_u32((uint32_t)(room(gemm, ctx) / panel_bytes(K, columns)), G);
    for (uint32_t g = 0; g < G; g += groups)
        for (uint32_t n = 0; n < N; n += columns)
            for (uint32_t k = 0; k < K; k += PANEL_K) {
                const portion part = {g, min_u32(groups, G - g), n, min_u32(columns, N - n),
                                      k, min_u32(PANEL_K, K - k)};
                decode(ctx, p, &part, width);
                multiply(ctx, p, &part, product, tile);
            }
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    record_with(gemm, ctx, p, product_of(vkft_product_class(p)), gemm->tiles.panel);
}

static void record64(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    uint32_t variant = variant_of(gemm, p);
    vkft_kernel kernel = vkft_kernel_variant(product64_of(vkft_product_class(p)), variant);
    record_with(gemm, ctx, p, kernel, tile64_of(gemm, variant));
}

const vkft_strategy vkft_gemm_panel = {.name = "panel",
                                       .kernel = product_of,
                                       .prepare = prepare,
                                       .scratch_bytes = scratch_bytes,
                                       .suits = suits,
                                       .record = record};

const vkft_strategy vkft_gemm_panel64 = {.name = "panel64",
                                         .variants = VARIANTS,
                                         .kernel = product64_of,
                                         .possible = possible64,
                                         .prepare = prepare64,
                                         .suits = suits64,
                                         .record = record64};
