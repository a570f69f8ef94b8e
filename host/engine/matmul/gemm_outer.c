/* Gradients of matrices, Y = R + scale * X^T Z: kernels matmul_tn and, for groups, grouped_tn.
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

static void record_plain(const vkft_matmul_ctx *ctx, const vkft_tiles *tiles, const vkft_outer_product *p)
{
    uint32_t M = p->M, N = p->N, ldx = p->ldx ? p->ldx : M;
    struct matmul_tn_args args = {.X = p->X,
                                  .Z = p->Z,
                                  .R = p->R,
                                  .Y = p->Y,
                                  .M = M,
                                  .N = N,
                                  .K = p->K,
                                  .ldx = ldx,
                                  .ldz = N,
                                  .row = N,
                                  .column = 1,
                                  .slice = p->K,
                                  .add = p->R != 0,
                                  .scale = p->scale};
    if ((M > N) != tiles->tn_long_rows) {
        args.X = p->Z;
        args.Z = p->X;
        args.M = N;
        args.N = M;
        args.ldx = N;
        args.ldz = ldx;
        args.row = 1;
        args.column = N;
    }
    uint64_t workgroups =
        (uint64_t)ceil_div(args.M, tiles->tn.rows) * ceil_div(args.N, tiles->tn.columns * tiles->tn.width);
    uint32_t parts = slices(ctx, tiles, p, workgroups);
    if (parts > 1) {
        args.slice = (uint32_t)round_up(ceil_div(p->K, parts), 8);
        args.Y = ctx->scratch;
        args.add = 0;
        args.scale = 1.0f;
        parts = ceil_div(p->K, args.slice);
    }
    vkft_range Y = vkft_rows_range(p->Y, M, N, N);
    const vkft_touch touch = {
        .reads = {vkft_rows_range(p->X, p->K, ldx, M), vkft_rows_range(p->Z, p->K, N, N), {p->R, p->R ? Y.bytes : 0}},
        .writes = {Y, {ctx->scratch, args.Y != p->Y ? ctx->scratch_bytes : 0}}};
    vkft_commands_touch(ctx->cmds, &touch);
    vkft_launch_workgroups(ctx->cmds, VKFT_KERNEL_matmul_tn, &args, sizeof args, workgroups, parts, 2.0 * M * N * p->K);
    if (args.Y != p->Y) {
        struct matmul_sum_args sum = {.partial = ctx->scratch,
                                      .R = p->R,
                                      .Y = p->Y,
                                      .n = M * N,
                                      .parts = parts,
                                      .add = p->R != 0,
                                      .scale = p->scale};
        vkft_launch(ctx->cmds, VKFT_KERNEL_matmul_sum, &sum, sizeof sum, sum.n, 1, (double)parts * sum.n);
    }
    vkft_commands_touch(ctx->cmds, NULL);
}

static void record_groups(const vkft_matmul_ctx *ctx, const vkft_tiles *tiles, const vkft_outer_product *p)
{
    bool swap = p->M > p->N; /* the longer dimension runs over invocations */
    uint32_t M = p->M, N = p->N;
    vkft_tile tile = tiles->grouped_tn;
    struct grouped_tn_args args = {.X = swap ? p->Z : p->X,
                                   .Z = swap ? p->X : p->Z,
                                   .Y = p->Y,
                                   .group = p->groups->table,
                                   .M = swap ? N : M,
                                   .N = swap ? M : N,
                                   .ldx = swap ? N : M,
                                   .ldz = swap ? M : N,
                                   .row = swap ? 1 : N,
                                   .column = swap ? N : 1,
                                   .scale = p->scale};
    uint64_t workgroups = (uint64_t)ceil_div(args.M, tile.rows) * ceil_div(args.N, tile.columns * tile.width);
    vkft_launch_workgroups(ctx->cmds, VKFT_KERNEL_grouped_tn, &args, sizeof args, workgroups, p->groups->groups,
                           2.0 * M * N * p->groups->rows);
}

void vkft_multiply_outer(const vkft_matmul_ctx *ctx, const vkft_outer_product *p)
{
    if (ctx->cmds && p->M && p->N && p->K)
        (p->groups ? record_groups : record_plain)(ctx, &vkft_gemm_of(ctx->dev)->tiles, p);
}
