/* Gradients of matrices, Y = R + scale * X^T Z: kernels matmul_outer where strategy tile is used, otherwise matmul_tn;
 * for groups, grouped_outer and grouped_tn; matmul_outer_f16 and matmul_tn_f16 where X or Z is rows in f16.
 *
 * K is the number of tokens. Without groups it is cut into slices until the device has enough to do, and matmul_sum
 * adds the slices in order; the cut depends on shapes and device alone.
 */
#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

#define MIN_SLICE_K 64u /* rows of a slice at least */

/* How many slices of K: enough workgroups for the device, no slice too short, partial sums within scratch. */
static uint32_t slices(const vkft_matmul_ctx *ctx, const vkft_tiles *tiles, const vkft_outer_product *p,
                       uint64_t workgroups)
{
    uint64_t parts = tiles->tn_workgroups / workgroups, longest = p->K / MIN_SLICE_K,
             room = ctx->scratch_bytes / sizeof(float) / ((uint64_t)p->M * p->N);
    return (uint32_t)max_u64(1, min_u64(parts, min_u64(longest, room)));
}

/* Its transpose is the same product: M and N change places. */
static void swap(struct matmul_tn_args *args)
{
    const struct matmul_tn_args was = *args;
    args->X = was.Z;
    args->Z = was.X;
    args->M = was.N;
    args->N = was.M;
    args->ldx = was.ldz;
    args->ldz = was.ldx;
    args->row = was.column;
    args->column = was.row;
}

/* Pipelines of matmul_outer and grouped_outer: each block, and the last of them for operands that are not aligned. */
enum { ANY_ALIGNMENT = VKFT_BLOCKS, VARIANTS };

static const vkft_block *block_of(const vkft_tiles *tiles, uint32_t variant)
{
    return &tiles->blocks[min_u32(variant, tiles->block_count - 1)];
}

/* Rows of X in f16 always are. */
static bool is_aligned(const struct matmul_tn_args *a)
{
    return (a->inverse || (a->X % 16 == 0 && a->M % 4 == 0 && a->ldx % 4 == 0)) && a->Z % 16 == 0 && a->N % 4 == 0 &&
           a->ldz % 4 == 0;
}

/* With groups each is a slice. */
static vkft_split split_by_blocks(const vkft_tiles *tiles, const struct matmul_tn_args *args, uint32_t groups,
                                  uint64_t room, uint32_t *variant)
{
    vkft_split best = {0};
    double best_cost = 0;
    bool aligned = is_aligned(args);
    for (uint32_t i = aligned ? 0 : ANY_ALIGNMENT; i < (aligned ? tiles->block_count : VARIANTS); i++) {
        const vkft_block *b = block_of(tiles, i);
        vkft_split split = vkft_block_split(tiles, b, args->M, args->N, args->K, MIN_SLICE_K, groups ? 0 : room);
        if (groups)
            split.slices = groups;
        double cost = vkft_block_cost(tiles, b, &split);
        if (!best.slices || cost < best_cost) {
            best = split;
            best_cost = cost;
            *variant = i;
        }
    }
    return best;
}

static vkft_split split_by_rows(const vkft_matmul_ctx *ctx, const vkft_tiles *tiles, const vkft_outer_product *p,
                                const struct matmul_tn_args *args)
{
    uint64_t workgroups =
        (uint64_t)ceil_div(args->M, tiles->tn.rows) * ceil_div(args->N, tiles->tn.columns * tiles->tn.width);
    uint32_t parts = slices(ctx, tiles, p, workgroups);
    uint32_t slice = parts > 1 ? (uint32_t)round_up(ceil_div(p->K, parts), 8) : p->K;
    return (vkft_split){workgroups, ceil_div(p->K, slice), slice};
}

/* Narrow blocks are long in M. An operand in f16 is matmul_outer_f16's X and matmul_tn_f16's Z. */
static bool is_swapped(const vkft_gemm *gemm, const vkft_outer_product *p)
{
    if (p->X16.rows || p->Z16.rows)
        return gemm->outer_blocks ? p->Z16.rows != 0 : p->X16.rows != 0;
    return gemm->outer_blocks ? p->M < p->N : (p->M > p->N) != gemm->tiles.tn_long_rows;
}

static vkft_range range_of(uint64_t address, vkft_f16_rows f16, uint32_t K, uint32_t stride, uint32_t columns)
{
    return f16.rows ? vkft_f16_range(f16, K, columns) : vkft_rows_range(address, K, stride, columns);
}

static void record_plain(const vkft_matmul_ctx *ctx, const vkft_gemm *gemm, const vkft_outer_product *p)
{
    uint32_t M = p->M, N = p->N;
    struct matmul_tn_args args = {.X = p->X,
                                  .Z = p->Z,
                                  .R = p->R,
                                  .Y = p->Y,
                                  .M = M,
                                  .N = N,
                                  .K = p->K,
                                  .ldx = p->ldx ? p->ldx : M,
                                  .ldz = N,
                                  .row = N,
                                  .column = 1,
                                  .add = p->R != 0,
                                  .scale = p->scale,
                                  .inverse = p->X16.inverse ? p->X16.inverse : p->Z16.inverse};
    if (p->X16.rows) {
        args.X = p->X16.rows;
        args.ldx = p->X16.stride;
    }
    if (p->Z16.rows) {
        args.Z = p->Z16.rows;
        args.ldz = p->Z16.stride;
    }
    if (is_swapped(gemm, p))
        swap(&args);
    uint32_t variant = 0;
    vkft_split split = gemm->outer_blocks ? split_by_blocks(&gemm->tiles, &args, 0, ctx->scratch_bytes, &variant)
                                          : split_by_rows(ctx, &gemm->tiles, p, &args);
    args.slice = split.slice;
    if (split.slices > 1) {
        args.Y = ctx->scratch;
        args.add = 0;
        args.scale = 1.0f;
    }
    vkft_range Y = vkft_rows_range(p->Y, M, N, N);
    const vkft_touch touch = {.reads = {range_of(p->X, p->X16, p->K, p->ldx ? p->ldx : M, M),
                                        range_of(p->Z, p->Z16, p->K, N, N),
                                        {p->R, p->R ? Y.bytes : 0},
                                        {args.inverse, args.inverse ? p->K * sizeof(float) : 0}},
                              .writes = {Y, {ctx->scratch, split.slices > 1 ? ctx->scratch_bytes : 0}}};
    vkft_commands_touch(ctx->cmds, &touch);
    static const vkft_kernel kernels[2][2] = {/* [in f16][in blocks] */
                                              {VKFT_KERNEL_matmul_tn, VKFT_KERNEL_matmul_outer},
                                              {VKFT_KERNEL_matmul_tn_f16, VKFT_KERNEL_matmul_outer_f16}};
    vkft_kernel kernel = kernels[args.inverse != 0][gemm->outer_blocks];
    vkft_launch_workgroups(ctx->cmds, vkft_kernel_variant(kernel, variant), &args, sizeof args, split.workgroups,
                           split.slices, 2.0 * M * N * p->K);
    if (split.slices > 1) {
        struct matmul_sum_args sum = {.partial = ctx->scratch,
                                      .R = p->R,
                                      .Y = p->Y,
                                      .n = M * N,
                                      .parts = split.slices,
                                      .add = p->R != 0,
                                      .scale = p->scale};
        vkft_launch(ctx->cmds, VKFT_KERNEL_matmul_sum, &sum, sizeof sum, sum.n, 1, (double)split.slices * sum.n);
    }
    vkft_commands_touch(ctx->cmds, NULL);
}

static void record_groups(const vkft_matmul_ctx *ctx, const vkft_gemm *gemm, const vkft_outer_product *p)
{
    vkft_tile tile = gemm->tiles.grouped_tn;
    struct matmul_tn_args one = {
        .X = p->X, .Z = p->Z, .M = p->M, .N = p->N, .K = p->K, .ldx = p->M, .ldz = p->N, .row = p->N, .column = 1};
    vkft_kernel kernel = VKFT_KERNEL_grouped_tn;
    vkft_split split = {0};
    if (gemm->outer_blocks) {
        uint32_t variant = 0;
        if (one.M < one.N)
            swap(&one);
        split = split_by_blocks(&gemm->tiles, &one, p->groups->groups, 0, &variant);
        kernel = vkft_kernel_variant(VKFT_KERNEL_grouped_outer, variant);
    } else {
        if (one.M > one.N) /* the longer dimension runs over invocations */
            swap(&one);
        split.workgroups = (uint64_t)ceil_div(one.M, tile.rows) * ceil_div(one.N, tile.columns * tile.width);
    }
    struct grouped_tn_args args = {.X = one.X,
                                   .Z = one.Z,
                                   .Y = p->Y,
                                   .group = p->groups->table,
                                   .M = one.M,
                                   .N = one.N,
                                   .ldx = one.ldx,
                                   .ldz = one.ldz,
                                   .row = one.row,
                                   .column = one.column,
                                   .scale = p->scale};
    vkft_launch_workgroups(ctx->cmds, kernel, &args, sizeof args, split.workgroups, p->groups->groups,
                           2.0 * p->M * p->N * p->groups->rows);
}

void vkft_multiply_outer(const vkft_matmul_ctx *ctx, const vkft_outer_product *p)
{
    if (ctx->cmds && p->M && p->N && p->K)
        (p->groups ? record_groups : record_plain)(ctx, vkft_gemm_of(ctx->dev), p);
}

void vkft_outer_prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    vkft_tile_specialize(dev, VKFT_KERNEL_matmul_tn, gemm->tiles.tn, VKFT_F32);
    vkft_tile_specialize(dev, VKFT_KERNEL_matmul_tn_f16, gemm->tiles.tn, VKFT_F32);
    vkft_tile_specialize(dev, VKFT_KERNEL_grouped_tn, gemm->tiles.grouped_tn, VKFT_F32);
    for (uint32_t variant = 0; gemm->outer_blocks && variant < VARIANTS; variant++) {
        const vkft_block *b = block_of(&gemm->tiles, variant);
        const uint32_t constants[] = {
            b->rows,    b->columns, b->band, 0, b->lanes_m, b->lanes_n, b->depth, b->subgroup, variant != ANY_ALIGNMENT,
            b->prefetch};
        static const vkft_kernel kernels[] = {VKFT_KERNEL_matmul_outer, VKFT_KERNEL_matmul_outer_f16,
                                              VKFT_KERNEL_grouped_outer};
        for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
            vkft_kernel_specialize(dev, vkft_kernel_variant(kernels[k], variant), b->lanes_m * b->lanes_n, b->subgroup,
                                   constants, sizeof constants / sizeof *constants);
    }
}
