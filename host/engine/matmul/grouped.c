/* See grouped.h.
 *
 * Groups with many rows on average: the matrices of some groups are decoded to panels in scratch, as in matmul.c, and
 * multiplied in one launch; then those of the next groups. Few rows: the matrices are read in their storage type, those
 * of groups without rows not at all. Which it is depends on how many rows there are together, which the host knows.
 */
#include "host/engine/matmul/grouped.h"

#include "runtime/base/size.h"
#include "shaders/matmul/args.h"
#include "host/engine/matmul/tiles.h"

/* Rows of a group on average up to which its matrix is read as it is stored; measured on lavapipe, where grouped_nt
 * does more rows at a time. */
#define FEW_ROWS_NT 32u
#define FEW_ROWS_NN 8u

static vkft_kernel panel_product(vkft_storage storage)
{
    return vkft_storage_is_quantized(storage) ? VKFT_KERNEL_grouped_matmul_panel_quantized
                                              : VKFT_KERNEL_grouped_matmul_panel;
}

void vkft_grouped_setup(vkft_device *dev, vkft_dtype operands)
{
    vkft_matmul_shapes s = vkft_matmul_shapes_of(dev);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_grouped_nt, s.grouped_nt, operands);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_grouped_nn, s.grouped_nn, operands);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_grouped_panel_nt, s.decode, operands);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_grouped_panel_nn, s.decode, operands);
    vkft_tile_specialize(dev, VKFT_KERNEL_grouped_matmul_panel, s.panel, VKFT_F32);
    vkft_tile_specialize(dev, VKFT_KERNEL_grouped_matmul_panel_quantized, s.panel, operands);
    vkft_tile_specialize(dev, VKFT_KERNEL_grouped_tn, s.grouped_tn, VKFT_F32);
}

/* Y = (add ? Y : 0) + scale * X op(W_g), op(W_g) [K,N]. */
typedef struct product {
    const vkft_matmul_ctx *ctx;
    const vkft_grouping *grouping;
    const vkft_group_weights *w;
    uint64_t X, Y;
    uint32_t N, K;
    bool transposed, add;
    float scale;
} product;

/* Most tiles of `rows` rows that so many groups can have: each begins with a new tile of GROUP_TILE rows. */
static uint32_t most_tiles(const vkft_grouping *grouping, uint32_t groups, uint32_t rows)
{
    uint64_t all = (uint64_t)groups * grouping->most;
    all = min_u64(all, grouping->rows);
    uint64_t tiles = all / GROUP_TILE + groups;
    return (uint32_t)min_u64(tiles, all) * (GROUP_TILE / rows);
}

static double flops_of(const product *p, uint32_t columns, uint32_t depth)
{
    return 2.0 * p->grouping->rows * columns * depth;
}

static void multiply_few(const product *p, const vkft_matmul_shapes *s)
{
    const vkft_tile *t = p->transposed ? &s->grouped_nt : &s->grouped_nn;
    uint32_t columns = p->transposed ? t->width : 8 * t->width; /* of a workgroup */
    struct grouped_args args = {
        .X = p->X,
        .R = p->Y,
        .Y = p->Y,
        .weights = p->w->table,
        .group = p->grouping->table,
        .tiles = most_tiles(p->grouping, p->grouping->groups, t->rows),
        .groups = p->grouping->groups,
        .N = p->N,
        .K = p->K,
        .ldx = p->K,
        .ldy = p->N,
        .add = p->add,
        .scale = p->scale,
    };
    vkft_kernel_family family = p->transposed ? VKFT_FAMILY_grouped_nt : VKFT_FAMILY_grouped_nn;
    uint64_t workgroups = (uint64_t)args.tiles * ceil_div(p->N, columns);
    vkft_launch_workgroups(p->ctx->cmds, vkft_kernel_by_type(family, p->w->storage), &args, sizeof args, workgroups, 1,
                           flops_of(p, p->N, p->K));
}

/* A part of the matrices of some groups: columns n ... n+columns, rows k ... k+depth of op(W). */
typedef struct portion {
    uint32_t first, groups, n, columns, k, depth;
} portion;

/* Runs of 8 in a panel. */
static uint32_t panel_runs(const portion *part, uint32_t tile_columns)
{
    return ceil_div(part->depth, 8) * (uint32_t)round_up(part->columns, tile_columns);
}

static void decode_panels(const product *p, const portion *part, uint32_t tile_columns)
{
    struct grouped_panel_args args = {
        .weights = p->w->table,
        .group = p->grouping->table,
        .P = p->ctx->scratch,
        .row = p->transposed ? part->n : part->k,
        .column = p->transposed ? part->k : part->n,
        .n = part->columns,
        .k = part->depth,
        .tile = tile_columns,
        .first = part->first,
        .stride = panel_runs(part, tile_columns),
    };
    vkft_kernel_family family = p->transposed ? VKFT_FAMILY_grouped_panel_nt : VKFT_FAMILY_grouped_panel_nn;
    uint64_t threads = p->transposed ? (uint64_t)ceil_div(part->depth, 8) * part->columns
                                     : (uint64_t)part->depth * ceil_div(part->columns, 8);
    vkft_launch(p->ctx->cmds, vkft_kernel_by_type(family, p->w->storage), &args, sizeof args, threads, part->groups,
                8.0 * part->groups * part->columns * part->depth);
}

static void multiply_panels(const product *p, const portion *part, const vkft_matmul_shapes *s)
{
    uint32_t tile_columns = s->panel.columns * s->panel.width;
    uint64_t Y = p->Y + part->n * sizeof(float);
    struct grouped_matmul_panel_args args = {
        .X = p->X + part->k * sizeof(float),
        .P = p->ctx->scratch,
        .R = Y,
        .Y = Y,
        .group = p->grouping->table,
        .tiles = most_tiles(p->grouping, part->groups, s->panel.rows),
        .first = part->first,
        .groups = part->groups,
        .stride = panel_runs(part, tile_columns),
        .N = part->columns,
        .K = part->depth,
        .ldx = p->K,
        .ldy = p->N,
        .add = p->add || part->k,
        .scale = p->scale,
    };
    uint64_t workgroups = (uint64_t)args.tiles * ceil_div(part->columns, tile_columns);
    vkft_launch_workgroups(p->ctx->cmds, panel_product(p->w->storage), &args, sizeof args, workgroups, 1,
                           flops_of(p, part->columns, part->depth) * part->groups / p->grouping->groups);
}

static void multiply(const product *p)
{
    if (!p->ctx->cmds || !p->grouping->rows)
        return;
    vkft_matmul_shapes s = vkft_matmul_shapes_of(p->ctx->dev);
    uint32_t G = p->grouping->groups, tile_columns = s.panel.columns * s.panel.width;
    uint64_t limit = min_u64(p->ctx->scratch_bytes, s.panel_bytes);
    uint32_t tiles = (uint32_t)(limit / vkft_panel_bytes(p->K, tile_columns));
    uint64_t few = (uint64_t)G * (p->transposed ? FEW_ROWS_NT : FEW_ROWS_NN);
    if (p->grouping->rows <= few || p->N < tile_columns / 2 || tiles == 0) {
        multiply_few(p, &s);
        return;
    }
    uint32_t columns = min_u32(tiles, ceil_div(p->N, tile_columns)) * tile_columns;
    uint32_t groups = min_u32((uint32_t)(limit / vkft_panel_bytes(p->K, columns)), G);
    for (uint32_t g = 0; g < G; g += groups)
        for (uint32_t n = 0; n < p->N; n += columns)
            for (uint32_t k = 0; k < p->K; k += VKFT_PANEL_K) {
                const portion part = {g, min_u32(groups, G - g),         n, min_u32(columns, p->N - n),
                                      k, min_u32(VKFT_PANEL_K, p->K - k)};
                decode_panels(p, &part, tile_columns);
                multiply_panels(p, &part, &s);
            }
}

void vkft_grouped_nt(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint64_t X, const vkft_group_weights *w,
                     uint64_t Y, bool add, float scale)
{
    multiply(&(product){.ctx = ctx,
                        .grouping = grouping,
                        .w = w,
                        .X = X,
                        .Y = Y,
                        .N = w->rows,
                        .K = w->cols,
                        .transposed = true,
                        .add = add,
                        .scale = scale});
}

void vkft_grouped_nn(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint64_t X, const vkft_group_weights *w,
                     uint64_t Y, bool add, float scale)
{
    multiply(&(product){.ctx = ctx,
                        .grouping = grouping,
                        .w = w,
                        .X = X,
                        .Y = Y,
                        .N = w->cols,
                        .K = w->rows,
                        .add = add,
                        .scale = scale});
}

void vkft_grouped_tn(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint32_t M, uint32_t N, uint64_t X,
                     uint64_t Z, uint64_t y, float scale)
{
    if (!ctx->cmds || !grouping->rows)
        return;
    /* The longer dimension runs over invocations. */
    bool swap = M > N;
    struct grouped_tn_args args = {.X = swap ? Z : X,
                                   .Z = swap ? X : Z,
                                   .Y = y,
                                   .group = grouping->table,
                                   .M = swap ? N : M,
                                   .N = swap ? M : N,
                                   .ldx = swap ? N : M,
                                   .ldz = swap ? M : N,
                                   .row = swap ? 1 : N,
                                   .column = swap ? N : 1,
                                   .scale = scale};
    vkft_tile tile = vkft_matmul_shapes_of(ctx->dev).grouped_tn;
    uint64_t workgroups = (uint64_t)ceil_div(args.M, tile.rows) * ceil_div(args.N, tile.columns * tile.width);
    vkft_launch_workgroups(ctx->cmds, VKFT_KERNEL_grouped_tn, &args, sizeof args, workgroups, grouping->groups,
                           2.0 * M * N * grouping->rows);
}
