/* Products that read W as it is stored: for few rows, where decoding it first would cost more than it saves, and for
 * whatever no other strategy can do. Kernels matmul_nt, matmul_nn and, for groups, grouped_nt and grouped_nn, which
 * leave out the matrices of groups without rows.
 *
 * Reduction order: k ascends.
 */
#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

static const vkft_kernel_family families[2][2] = {
    /* [grouped][transposed] */
    {VKFT_FAMILY_matmul_nn, VKFT_FAMILY_matmul_nt},
    {VKFT_FAMILY_grouped_nn, VKFT_FAMILY_grouped_nt},
};

static vkft_kernel kernel_of(vkft_gemm_class class)
{
    return vkft_kernel_by_type(families[class.grouped][class.transposed], class.storage);
}

static vkft_tile tile_of(const vkft_gemm *gemm, const vkft_product *p)
{
    vkft_tile tile = gemm->tiles.direct[p->groups != NULL][p->transposed];
    if (!p->groups && p->M == 1)
        tile.rows = 1;
    return tile;
}

/* Plain products have a second pipeline, for one row: generation multiplies no others. */
void vkft_direct_specialize(vkft_device *dev, const vkft_gemm *gemm, bool grouped, bool transposed,
                            vkft_kernel_family family)
{
    vkft_tile tile = gemm->tiles.direct[grouped][transposed];
    vkft_tile_specialize_types(dev, family, 0, tile, gemm->operands);
    tile.rows = 1;
    if (!grouped)
        vkft_tile_specialize_types(dev, family, 1, tile, gemm->operands);
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    for (int grouped = 0; grouped < 2; grouped++)
        for (int transposed = 0; transposed < 2; transposed++)
            vkft_direct_specialize(dev, gemm, grouped, transposed, families[grouped][transposed]);
}

#define LONGEST_SUM 32768u /* one after the other; the rounding errors of more would show in a gradient */

/* matmul_nn and grouped_nn make one iteration for each k. */
static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    (void)ctx;
    uint32_t limit = gemm->caps->loop_limit;
    return p->transposed || vkft_product_k(p) <= (limit ? min_u32(LONGEST_SUM, limit / 2 + 1) : LONGEST_SUM);
}

static void record_plain(const vkft_matmul_ctx *ctx, const vkft_product *p, vkft_kernel kernel, vkft_tile t,
                         uint32_t tile_columns)
{
    struct matmul_args args = {
        .W = vkft_weight_ref(p->w),
        .X = p->X,
        .R = p->R,
        .Y = p->Y,
        .M = p->M,
        .N = vkft_product_n(p),
        .K = vkft_product_k(p),
        .ldx = vkft_product_ldx(p),
        .ldy = vkft_product_ldy(p),
        .add = p->R != 0,
        .scale = p->scale,
    };
    uint64_t workgroups = (uint64_t)ceil_div(p->M, t.rows) * ceil_div(args.N, tile_columns);
    vkft_launch_workgroups(ctx->cmds, vkft_kernel_variant(kernel, p->M == 1), &args, sizeof args, workgroups, 1,
                           2.0 * p->M * args.N * args.K);
}

static void record_groups(const vkft_matmul_ctx *ctx, const vkft_product *p, vkft_kernel kernel, vkft_tile t,
                          uint32_t tile_columns)
{
    struct grouped_args args = {
        .X = p->X,
        .R = p->R,
        .Y = p->Y,
        .weights = p->weights,
        .group = p->groups->table,
        .tiles = vkft_group_tiles(p->groups, p->groups->groups, t.rows),
        .groups = p->groups->groups,
        .N = vkft_product_n(p),
        .K = vkft_product_k(p),
        .ldx = vkft_product_ldx(p),
        .ldy = vkft_product_ldy(p),
        .add = p->R != 0,
        .scale = p->scale,
    };
    uint64_t workgroups = (uint64_t)args.tiles * ceil_div(args.N, tile_columns);
    vkft_launch_workgroups(ctx->cmds, kernel, &args, sizeof args, workgroups, 1, 2.0 * p->M * args.N * args.K);
}

void vkft_direct_record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, vkft_kernel kernel)
{
    vkft_tile t = tile_of(gemm, p);
    vkft_product_touch(ctx, p, false);
    uint32_t tile_columns = p->transposed ? t.width : 8 * t.width; /* without transposition: 8 columns an invocation */
    (p->groups ? record_groups : record_plain)(ctx, p, kernel, t, tile_columns);
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    vkft_direct_record(gemm, ctx, p, kernel_of(vkft_product_class(p)));
}

const vkft_strategy vkft_gemm_direct = {
    .name = "direct", .kernel = kernel_of, .prepare = prepare, .suits = suits, .record = record};
