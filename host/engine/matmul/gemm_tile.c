/* Products of many rows through tiles in shared memory, decoded where they are multiplied: kernels matmul_tile_nt and
 * matmul_tile_nn and, for groups, grouped_tile_nt and grouped_tile_nn. Each has a pipeline for each shape of the
 * device's list (tiles.h).
 *
 * The shape is chosen for each product by an estimate (vkft_block_cost). Where its workgroups are too few, K is cut in
 * slices, which matmul_sum adds.
 *
 * Reduction order: k ascends within a slice, slices are added in order; both follow from shapes and device alone.
 */
#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

#define MIN_SLICE_K 256u /* of a slice at least, so that adding slices costs little beside computing them */

static const vkft_kernel_family families[2][2] = {
    /* [grouped][transposed] */
    {VKFT_FAMILY_matmul_tile_nn, VKFT_FAMILY_matmul_tile_nt},
    {VKFT_FAMILY_grouped_tile_nn, VKFT_FAMILY_grouped_tile_nt},
};

static vkft_kernel kernel_of(vkft_gemm_class class)
{
    return vkft_kernel_by_type(families[class.grouped][class.transposed], class.storage);
}

static bool possible(const vkft_gemm *gemm)
{
    return gemm->tiles.block_count > 0; /* the list holds what fits the device */
}

/* Pipelines of a kernel: each block, and the last of them for operands that are not aligned. */
enum { ANY_ALIGNMENT = VKFT_BLOCKS, VARIANTS };

static const vkft_block *block_of(const vkft_gemm *gemm, uint32_t variant)
{
    return &gemm->tiles.blocks[min_u32(variant, gemm->tiles.block_count - 1)];
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    for (uint32_t variant = 0; variant < VARIANTS; variant++)
        for (uint32_t i = 0; i < 4 * VKFT_STORAGE_COUNT; i++) {
            const vkft_block *b = block_of(gemm, variant);
            vkft_gemm_class class = {i / 4, i / 2 % 2, i % 2};
            bool rounds = gemm->operands == VKFT_BF16 && vkft_storage_is_quantized(class.storage);
            const uint32_t constants[] = {b->rows,    b->columns,  b->band,
                                          rounds,     b->lanes_m,  b->lanes_n,
                                          b->depth,   b->subgroup, variant != ANY_ALIGNMENT,
                                          b->prefetch};
            vkft_kernel_specialize(dev, vkft_kernel_variant(kernel_of(class), variant), b->lanes_m * b->lanes_n,
                                   b->subgroup, constants, sizeof constants / sizeof *constants);
        }
}

static uint32_t shapes(const vkft_gemm *gemm)
{
    return gemm->tiles.block_count;
}

/* Loops of an invocation, which a software device ends after a number of iterations: steps along K and, where operands
 * are not aligned, the elements of each. */
static bool loops_end(const vkft_gemm *gemm, const vkft_product *p)
{
    bool aligned = vkft_product_is_aligned(p);
    const vkft_block *b = block_of(gemm, aligned ? 0 : ANY_ALIGNMENT);
    uint64_t elements = b->rows * b->depth / b->lanes_n + b->columns * b->depth / b->lanes_m + 3;
    return !gemm->caps->loop_limit ||
           ceil_div(vkft_product_k(p), b->depth) * (aligned ? 1 : elements) <= gemm->caps->loop_limit;
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    if (!loops_end(gemm, p))
        return false;
    return !vkft_product_has_few_rows(p) || !vkft_gemm_direct.suits(gemm, ctx, p);
}

/* How a product is cut. */
typedef struct cut {
    uint32_t variant;
    vkft_split split;
} cut;

/* Slices lie one after the other in scratch, so Y must, too. */
static cut cut_with(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t variant)
{
    const vkft_block *b = block_of(gemm, variant);
    uint32_t N = vkft_product_n(p), M = p->M, tile = b->rows * b->lanes_m;
    if (p->groups)
        M = vkft_likely_row_tiles(p, M, tile) * tile;
    return (cut){variant, vkft_block_split(&gemm->tiles, b, M, N, vkft_product_k(p), MIN_SLICE_K,
                                           vkft_product_ldy(p) == N ? ctx->scratch_bytes : 0)};
}

static double cost_of(const vkft_gemm *gemm, const cut *c)
{
    return vkft_block_cost(&gemm->tiles, block_of(gemm, c->variant), &c->split);
}

static cut best_cut(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    if (!vkft_product_is_aligned(p))
        return cut_with(gemm, ctx, p, ANY_ALIGNMENT);
    if (gemm->variant)
        return cut_with(gemm, ctx, p, min_u32(gemm->variant, gemm->tiles.block_count) - 1);
    cut best = cut_with(gemm, ctx, p, 0);
    for (uint32_t i = 1; i < gemm->tiles.block_count; i++) {
        cut other = cut_with(gemm, ctx, p, i);
        if (cost_of(gemm, &other) < cost_of(gemm, &best))
            best = other;
    }
    return best;
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    const cut c = best_cut(gemm, ctx, p);
    const vkft_block *b = block_of(gemm, c.variant);
    struct matmul_tile_args args = {.W = vkft_weight_ref(p->w),
                                    .X = p->X,
                                    .R = p->R,
                                    .Y = p->Y,
                                    .M = p->M,
                                    .N = vkft_product_n(p),
                                    .K = vkft_product_k(p),
                                    .ldx = vkft_product_ldx(p),
                                    .ldy = vkft_product_ldy(p),
                                    .slice = c.split.slice,
                                    .add = p->R != 0,
                                    .scale = p->scale,
                                    .weights = p->weights,
                                    .group = p->groups ? p->groups->table : 0,
                                    .groups = p->groups ? p->groups->groups : 0};
    uint64_t workgroups =
        (uint64_t)vkft_row_tiles(p, p->M, b->rows * b->lanes_m) * ceil_div(args.N, b->columns * b->lanes_n);
    if (c.split.slices > 1) {
        args.Y = ctx->scratch;
        args.add = 0;
        args.scale = 1.0f;
    } else {
        vkft_product_touch(ctx, p, false);
    }
    vkft_kernel kernel = vkft_kernel_variant(kernel_of(vkft_product_class(p)), c.variant);
    vkft_launch_workgroups(ctx->cmds, kernel, &args, sizeof args, workgroups, c.split.slices,
                           2.0 * p->M * args.N * args.K);
    if (c.split.slices == 1)
        return;
    struct matmul_sum_args sum = {.partial = ctx->scratch,
                                  .R = p->R,
                                  .Y = p->Y,
                                  .n = p->M * args.N,
                                  .parts = c.split.slices,
                                  .add = p->R != 0,
                                  .scale = p->scale};
    vkft_launch(ctx->cmds, VKFT_KERNEL_matmul_sum, &sum, sizeof sum, sum.n, 1, (double)c.split.slices * sum.n);
}

const vkft_strategy vkft_gemm_tile = {.name = "tile",
                                      .not_on_cpu = true,
                                      .variants = VARIANTS,
                                      .shapes = shapes,
                                      .kernel = kernel_of,
                                      .possible = possible,
                                      .prepare = prepare,
                                      .suits = suits,
                                      .record = record};
