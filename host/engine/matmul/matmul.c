/* See matmul.h.
 *
 * Two ways to multiply by a weight. Few rows: matmul_nt and matmul_nn read W in its storage type. Many rows: a panel of
 * W is decoded to f32 in scratch, in a layout made for the multiplication (panel_*), and matmul_panel multiplies it;
 * one kernel then serves all types and both directions, and the price is a few percent from some hundred rows on.
 * Panels are cut along K as well, so that one column tile of the panel and one row tile of X stay in a second-level
 * cache.
 *
 * Reduction order is fixed by shapes and device alone: within a panel k ascends, panels and slices are added in order.
 */
#include "host/engine/matmul/matmul.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"
#include "shaders/matmul/args.h"
#include "host/engine/matmul/tiles.h"

#define MIN_SLICE_K 64u /* least rows of a slice of matmul_tn */

/* Products with quantized weights may round their operands, so they have a pipeline of their own. */
static vkft_kernel panel_product(vkft_storage storage)
{
    return vkft_storage_is_quantized(storage) ? VKFT_KERNEL_matmul_panel_quantized : VKFT_KERNEL_matmul_panel;
}

void vkft_matmul_setup(vkft_device *dev, vkft_dtype operands)
{
    vkft_matmul_shapes s = vkft_matmul_shapes_of(dev);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_matmul_nt, s.few, operands);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_matmul_nn, s.few, operands);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_panel_nt, s.decode, operands);
    vkft_tile_specialize_types(dev, VKFT_FAMILY_panel_nn, s.decode, operands);
    vkft_tile_specialize(dev, VKFT_KERNEL_matmul_panel, s.panel, VKFT_F32);
    vkft_tile_specialize(dev, VKFT_KERNEL_matmul_panel_quantized, s.panel, operands);
    vkft_tile_specialize(dev, VKFT_KERNEL_matmul_tn, s.tn, VKFT_F32);
}

uint64_t vkft_matmul_scratch_bytes(uint32_t rows, uint32_t cols)
{
    uint64_t nt = round_up(min_u32(cols, VKFT_PANEL_K), 8) * round_up(rows, VKFT_WIDEST_TILE) * sizeof(float);
    uint64_t nn = round_up(min_u32(rows, VKFT_PANEL_K), 8) * round_up(cols, VKFT_WIDEST_TILE) * sizeof(float);
    uint64_t bytes = max_u64(nt, nn);
    return min_u64(bytes, VKFT_PANEL_BYTES);
}

/* Y = R + scale * X op(W) with op(W) [K,N]: W itself, or its transpose. */
typedef struct product {
    const vkft_matmul_ctx *ctx;
    const vkft_weight *w;
    uint64_t X, R, Y;
    uint32_t M, N, K, ldx, ldy;
    bool transposed;
    float scale;
} product;

static void multiply_few(const product *p, const vkft_matmul_shapes *s)
{
    struct matmul_args args = {
        .W = vkft_weight_ref(p->w),
        .X = p->X,
        .R = p->R,
        .Y = p->Y,
        .M = p->M,
        .N = p->N,
        .K = p->K,
        .ldx = p->ldx,
        .ldy = p->ldy,
        .add = p->R != 0,
        .scale = p->scale,
    };
    vkft_kernel_family family = p->transposed ? VKFT_FAMILY_matmul_nt : VKFT_FAMILY_matmul_nn;
    uint32_t tile_columns = p->transposed ? s->few.width : 8 * s->few.width; /* matmul_nn: 8 columns an invocation */
    uint64_t workgroups = (uint64_t)ceil_div(p->M, s->few.rows) * ceil_div(p->N, tile_columns);
    vkft_launch_workgroups(p->ctx->cmds, vkft_kernel_by_type(family, p->w->storage), &args, sizeof args, workgroups, 1,
                           2.0 * p->M * p->N * p->K);
}

/* Decodes columns n ... n+columns, rows k ... k+depth of op(W) to scratch. */
static void decode_panel(const product *p, uint32_t n, uint32_t columns, uint32_t k, uint32_t depth,
                         uint32_t tile_columns)
{
    struct panel_args args = {
        .W = vkft_weight_ref(p->w),
        .P = p->ctx->scratch,
        .row = p->transposed ? n : k,
        .column = p->transposed ? k : n,
        .n = columns,
        .k = depth,
        .tile = tile_columns,
    };
    vkft_kernel_family family = p->transposed ? VKFT_FAMILY_panel_nt : VKFT_FAMILY_panel_nn;
    uint64_t threads = p->transposed ? (uint64_t)ceil_div(depth, 8) * columns : (uint64_t)depth * ceil_div(columns, 8);
    vkft_launch(p->ctx->cmds, vkft_kernel_by_type(family, p->w->storage), &args, sizeof args, threads, 1,
                8.0 * columns * depth);
}

static void multiply_panel(const product *p, const vkft_matmul_shapes *s, uint32_t n, uint32_t columns, uint32_t k,
                           uint32_t depth)
{
    uint64_t offset = n * sizeof(float), Y = p->Y + offset, R = k ? Y : p->R ? p->R + offset : 0;
    struct matmul_panel_args args = {
        .X = p->X + k * sizeof(float),
        .P = p->ctx->scratch,
        .R = R,
        .Y = Y,
        .M = p->M,
        .N = columns,
        .K = depth,
        .ldx = p->ldx,
        .ldy = p->ldy,
        .add = R != 0,
        .scale = p->scale,
    };
    uint64_t workgroups =
        (uint64_t)ceil_div(p->M, s->panel.rows) * ceil_div(columns, s->panel.columns * s->panel.width);
    vkft_launch_workgroups(p->ctx->cmds, panel_product(p->w->storage), &args, sizeof args, workgroups, 1,
                           2.0 * p->M * columns * depth);
}

static void multiply(const product *p)
{
    if (!p->ctx->cmds || !p->M || !p->N)
        return;
    vkft_matmul_shapes s = vkft_matmul_shapes_of(p->ctx->dev);
    uint32_t tile_columns = s.panel.columns * s.panel.width;
    uint64_t limit = min_u64(p->ctx->scratch_bytes, s.panel_bytes);
    uint32_t tiles = (uint32_t)(limit / vkft_panel_bytes(p->K, tile_columns));
    /* matmul_nn makes one iteration for each k. */
    uint32_t loop_limit = vkft_device_get_caps(p->ctx->dev)->loop_limit;
    bool short_walk = p->transposed || !loop_limit || p->K <= loop_limit / 2 + 1;
    if ((p->M <= VKFT_FEW_ROWS && short_walk) || tiles == 0) {
        multiply_few(p, &s);
        return;
    }
    uint32_t most = min_u32(tiles, ceil_div(p->N, tile_columns)) * tile_columns;
    for (uint32_t n = 0; n < p->N; n += most)
        for (uint32_t k = 0; k < p->K; k += VKFT_PANEL_K) {
            uint32_t columns = min_u32(most, p->N - n), depth = min_u32(VKFT_PANEL_K, p->K - k);
            decode_panel(p, n, columns, k, depth, tile_columns);
            multiply_panel(p, &s, n, columns, k, depth);
        }
}

void vkft_matmul_nt(const vkft_matmul_ctx *ctx, uint32_t M, uint64_t X, uint32_t ldx, const vkft_weight *w, uint64_t R,
                    uint64_t Y, uint32_t ldy, float scale)
{
    multiply(&(product){.ctx = ctx,
                        .w = w,
                        .X = X,
                        .R = R,
                        .Y = Y,
                        .M = M,
                        .N = w->rows,
                        .K = w->cols,
                        .ldx = ldx,
                        .ldy = ldy,
                        .transposed = true,
                        .scale = scale});
}

void vkft_matmul_nn(const vkft_matmul_ctx *ctx, uint32_t M, uint64_t X, uint32_t ldx, const vkft_weight *w, uint64_t R,
                    uint64_t Y, uint32_t ldy, float scale)
{
    multiply(&(product){.ctx = ctx,
                        .w = w,
                        .X = X,
                        .R = R,
                        .Y = Y,
                        .M = M,
                        .N = w->cols,
                        .K = w->rows,
                        .ldx = ldx,
                        .ldy = ldy,
                        .transposed = false,
                        .scale = scale});
}

/* How many slices of K: enough workgroups for the device, no slice too short, partial sums within scratch. */
static uint32_t slices(const vkft_matmul_ctx *ctx, const vkft_matmul_shapes *s, uint32_t M, uint32_t N, uint32_t K,
                       uint64_t workgroups)
{
    uint64_t parts = s->tn_workgroups / workgroups;
    uint64_t most = K / MIN_SLICE_K, fit = ctx->scratch_bytes / sizeof(float) / ((uint64_t)M * N);
    return (uint32_t)max_u64(1, min_u64(parts, min_u64(most, fit)));
}

void vkft_matmul_tn(const vkft_matmul_ctx *ctx, uint32_t M, uint32_t N, uint32_t K, uint64_t X, uint32_t ldx,
                    uint64_t Z, uint64_t R, uint64_t Y, float scale)
{
    if (!ctx->cmds || !M || !N)
        return;
    vkft_matmul_shapes s = vkft_matmul_shapes_of(ctx->dev);
    struct matmul_tn_args args = {.X = X,
                                  .Z = Z,
                                  .R = R,
                                  .Y = Y,
                                  .M = M,
                                  .N = N,
                                  .K = K,
                                  .ldx = ldx,
                                  .ldz = N,
                                  .row = N,
                                  .column = 1,
                                  .slice = K,
                                  .add = R != 0,
                                  .scale = scale};
    if ((M > N) != s.tn_long_rows) {
        args.X = Z;
        args.Z = X;
        args.M = N;
        args.N = M;
        args.ldx = N;
        args.ldz = ldx;
        args.row = 1;
        args.column = N;
    }
    uint64_t workgroups = (uint64_t)ceil_div(args.M, s.tn.rows) * ceil_div(args.N, s.tn.columns * s.tn.width);
    uint32_t parts = slices(ctx, &s, M, N, K, workgroups);
    if (parts > 1) {
        args.slice = (uint32_t)round_up(ceil_div(K, parts), 8);
        args.Y = ctx->scratch;
        args.add = 0;
        args.scale = 1.0f;
        parts = ceil_div(K, args.slice);
    }
    vkft_launch_workgroups(ctx->cmds, VKFT_KERNEL_matmul_tn, &args, sizeof args, workgroups, parts, 2.0 * M * N * K);
    if (args.Y == Y)
        return;
    struct matmul_sum_args sum = {
        .partial = ctx->scratch, .R = R, .Y = Y, .n = M * N, .parts = parts, .add = R != 0, .scale = scale};
    vkft_launch(ctx->cmds, VKFT_KERNEL_matmul_sum, &sum, sizeof sum, sum.n, 1, (double)parts * sum.n);
}
