/* See grouped.h. Kernels read the matrices in their storage type: a group has too few rows for decoding its matrix to memory first. */
#include "grouped.h"

#include "args.h"

typedef struct tile {
    uint32_t rows, columns;
} tile;

static const tile nt_tile = {GROUP_TILE, 1}, nn_tile = {GROUP_TILE / 2, 1}, tn_tile = {8, 2};

static const vkft_kernel nt[VKFT_WEIGHT_TYPES] = {VKFT_KERNEL_grouped_nt_f32, VKFT_KERNEL_grouped_nt_f16, VKFT_KERNEL_grouped_nt_bf16,
                                                  VKFT_KERNEL_grouped_nt_nf4, VKFT_KERNEL_grouped_nt_fp4};
static const vkft_kernel nn[VKFT_WEIGHT_TYPES] = {VKFT_KERNEL_grouped_nn_f32, VKFT_KERNEL_grouped_nn_f16, VKFT_KERNEL_grouped_nn_bf16,
                                                  VKFT_KERNEL_grouped_nn_nf4, VKFT_KERNEL_grouped_nn_fp4};
static const vkft_kernel tn[1] = {VKFT_KERNEL_grouped_tn};

static void specialize(vkft_device *dev, const vkft_kernel *kernels, uint32_t count, uint32_t width, tile t)
{
    const uint32_t constants[] = {t.rows, t.columns, 1};
    for (uint32_t i = 0; i < count; i++)
        vkft_kernel_specialize(dev, kernels[i], width, constants, 3);
}

void vkft_grouped_setup(vkft_device *dev)
{
    const vkft_device_info *info = vkft_device_get_info(dev);
    uint32_t width = info->type == VKFT_DEVICE_CPU ? info->subgroup_size : 64;
    specialize(dev, nt, VKFT_WEIGHT_TYPES, width, nt_tile);
    specialize(dev, nn, VKFT_WEIGHT_TYPES, width, nn_tile);
    specialize(dev, tn, 1, width, tn_tile);
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

/* Most tiles of GROUP_TILE rows that the groups can have: each begins with a new one. */
static uint32_t most_tiles(const vkft_grouping *grouping)
{
    uint64_t tiles = (uint64_t)grouping->rows / GROUP_TILE + grouping->groups;
    return tiles < grouping->rows ? (uint32_t)tiles : grouping->rows;
}

/* columns: of Y that one workgroup makes. */
static void multiply(const vkft_matmul_ctx *ctx, vkft_kernel kernel, const vkft_grouping *grouping, struct grouped_args args, uint32_t rows,
                     uint32_t columns)
{
    args.tiles = most_tiles(grouping) * (GROUP_TILE / rows);
    args.groups = grouping->groups;
    args.group = grouping->table;
    uint64_t threads = args.tiles * ceil_div(args.N, columns) * vkft_kernel_width(ctx->dev, kernel);
    vkft_launch(ctx->cmds, kernel, &args, sizeof args, threads, 1, 1, 2.0 * grouping->rows * args.N * args.K);
}

void vkft_grouped_nt(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint64_t X, const vkft_group_weights *w, uint64_t Y, bool add,
                     float scale)
{
    if (!ctx->cmds || !grouping->rows)
        return;
    vkft_kernel kernel = nt[vkft_weight_type(w->dtype)];
    struct grouped_args args = {.X = X, .R = Y, .Y = Y, .weights = w->table, .N = w->rows, .K = w->cols, .ldx = w->cols, .ldy = w->rows,
                                .add = add, .scale = scale, .double_quant = w->double_quant};
    multiply(ctx, kernel, grouping, args, nt_tile.rows, vkft_kernel_width(ctx->dev, kernel));
}

void vkft_grouped_nn(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint64_t X, const vkft_group_weights *w, uint64_t Y, bool add,
                     float scale)
{
    if (!ctx->cmds || !grouping->rows)
        return;
    vkft_kernel kernel = nn[vkft_weight_type(w->dtype)];
    struct grouped_args args = {.X = X, .R = Y, .Y = Y, .weights = w->table, .N = w->cols, .K = w->rows, .ldx = w->rows, .ldy = w->cols,
                                .add = add, .scale = scale, .double_quant = w->double_quant};
    multiply(ctx, kernel, grouping, args, nn_tile.rows, 8 * vkft_kernel_width(ctx->dev, kernel));
}

void vkft_grouped_tn(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint32_t M, uint32_t N, uint64_t X, uint64_t Z, uint64_t y,
                     float scale)
{
    if (!ctx->cmds || !grouping->rows)
        return;
    /* The longer dimension runs over invocations. */
    bool swap = M > N;
    struct grouped_tn_args args = {.X = swap ? Z : X, .Z = swap ? X : Z, .Y = y, .group = grouping->table, .M = swap ? N : M, .N = swap ? M : N,
                                   .ldx = swap ? N : M, .ldz = swap ? M : N, .row = swap ? 1 : N, .column = swap ? N : 1, .scale = scale};
    uint32_t width = vkft_kernel_width(ctx->dev, VKFT_KERNEL_grouped_tn);
    uint64_t workgroups = ceil_div(args.M, tn_tile.rows) * ceil_div(args.N, (uint64_t)tn_tile.columns * width);
    vkft_launch(ctx->cmds, VKFT_KERNEL_grouped_tn, &args, sizeof args, workgroups * width, grouping->groups, 1, 2.0 * M * N * grouping->rows);
}
