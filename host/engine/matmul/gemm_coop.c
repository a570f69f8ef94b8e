/* Products on matrix cores: matmul_coop multiplies rows of f16, each scaled by a power of two, by W, which it decodes
 * to f16. Operands are rounded once, sums are f32. What makes X may have made such rows of it (ops/f16_rows.h);
 * otherwise rows_f16 converts X first.
 *
 * A weight is rounded as it is: trained weights are far below f16's largest value, 65504; one that is not becomes an
 * infinity, which shows in the loss at once. Weights that a run trains through an adapter's own matrices (`exact`) are
 * left to other strategies.
 *
 * A product's branch is some more of K: Y is written once, and not read again for it.
 *
 * Converted rows are in scratch: as many at a time as there is room for. Where Y has too few tiles for the device, K is
 * cut in slices and matmul_sum adds them, in order.
 *
 * Reduction order is fixed by shapes, scratch and device.
 */
#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

#define MIN_ROWS 256u  /* of X, that scratch has room for at least */
#define MIN_SLICE 256u /* of K */
#define ALIGNMENT 256u /* of what is in scratch */

static const vkft_kernel_family families[2][2] = {
    /* [grouped][transposed] */
    {VKFT_FAMILY_coop_nn, VKFT_FAMILY_coop_nt},
    {VKFT_FAMILY_grouped_coop_nn, VKFT_FAMILY_grouped_coop_nt},
};

static vkft_kernel kernel_of(vkft_gemm_class class)
{
    return vkft_kernel_by_type(families[class.grouped][class.transposed], class.storage);
}

static bool possible(const vkft_gemm *gemm)
{
    return gemm->operands == VKFT_F16 && gemm->coop;
}

static bool adds_branch(const vkft_gemm *gemm)
{
    return gemm->coop->branch;
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    const vkft_coop_tiles *tiles = gemm->coop;
    for (vkft_coop_size size = 0; tiles && size < VKFT_COOP_SIZES; size++) {
        const vkft_coop_tile *t = &tiles->sizes[size];
        const uint32_t constants[] = {tiles->M,     tiles->N,        tiles->K,
                                      t->bm,        t->bn,           t->sm,
                                      t->sn,        tiles->subgroup, size != VKFT_COOP_UNALIGNED,
                                      tiles->ahead, tiles->branch};
        for (uint32_t i = 0; i < 4 * VKFT_STORAGE_COUNT; i++) {
            vkft_gemm_class class = {i / 4, i / 2 % 2, i % 2};
            vkft_kernel_specialize(dev, vkft_kernel_variant(kernel_of(class), size), vkft_coop_width(tiles, size),
                                   tiles->subgroup, constants, sizeof constants / sizeof *constants);
        }
    }
}

uint32_t vkft_f16_row_length(uint32_t K)
{
    return (uint32_t)round_up(K, COOP_STEP);
}

uint64_t vkft_f16_inverse_bytes(uint32_t M)
{
    return round_up(M * sizeof(float), ALIGNMENT);
}

uint64_t vkft_f16_rows_bytes(uint32_t M, uint32_t K)
{
    return vkft_f16_inverse_bytes(M) + round_up((uint64_t)M * vkft_f16_row_length(K) * 2, ALIGNMENT);
}

uint64_t vkft_f16_scratch_bytes(uint32_t rows, uint32_t cols)
{
    return vkft_f16_rows_bytes(MIN_ROWS, max_u32(rows, cols));
}

/* Rows to multiply at a time: those that scratch has room for, whole tiles of them if there are several parts. */
static uint32_t rows_in(const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t tile)
{
    if (p->f16.rows)
        return p->M;
    uint32_t K = vkft_product_k(p);
    uint64_t row_bytes = sizeof(float) + vkft_f16_row_length(K) * 2ull;
    uint32_t rows = (uint32_t)min_u64(ctx->scratch_bytes / row_bytes, p->M);
    while (rows && vkft_f16_rows_bytes(rows, K) > ctx->scratch_bytes)
        rows--;
    return rows == p->M ? rows : rows / tile * tile;
}

bool vkft_f16_suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t tile)
{
    return !p->exact && (gemm->forced || !vkft_product_has_few_rows(p)) && rows_in(ctx, p, tile) > 0;
}

bool vkft_f16_is_large(const vkft_product *p, uint32_t M, uint32_t rows, uint32_t columns, uint32_t small_rows,
                       uint32_t busy)
{
    uint64_t row_tiles = vkft_likely_row_tiles(p, M, rows), column_tiles = ceil_div(vkft_product_n(p), columns);
    return row_tiles * column_tiles >= busy &&
           (!p->groups || 2 * row_tiles * rows <= 3ull * vkft_likely_row_tiles(p, M, small_rows) * small_rows);
}

/* Into how many slices to cut K: enough workgroups for the device, no slice too short, sums within `room`. */
static uint32_t slices(const vkft_f16_launch *launch, uint32_t K, uint64_t outputs, uint64_t room)
{
    uint64_t parts = launch->busy / launch->workgroups;
    return (uint32_t)max_u64(1, min_u64(parts, min_u64(K / MIN_SLICE, room / sizeof(float) / outputs)));
}

/* Rows `first` to first + M of X in scratch. */
static vkft_f16_rows convert(const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t first, uint32_t M)
{
    uint32_t K = vkft_product_k(p), ldx = vkft_product_ldx(p);
    const vkft_f16_rows f16 = {ctx->scratch + vkft_f16_inverse_bytes(M), ctx->scratch, vkft_f16_row_length(K)};
    const struct rows_f16_args args = {.X = p->X + (uint64_t)first * ldx * sizeof(float),
                                       .Y = f16.rows,
                                       .inverse = f16.inverse,
                                       .K = K,
                                       .ldx = ldx,
                                       .ldy = f16.stride};
    vkft_launch_workgroups(ctx->cmds, VKFT_KERNEL_rows_f16, &args, sizeof args, M, 1, 4.0 * M * K);
    return f16;
}

/* Of the two kinds of kernels, which begin alike. */
typedef union product_args {
    struct matmul_coop_args plain;
    struct grouped_coop_args grouped;
} product_args;
_Static_assert(sizeof(struct matmul_coop_args) == sizeof(struct grouped_coop_args), "one size for all launches");

/* Rows `first` to first + M of the product. */
static void record_rows(const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t first, uint32_t M,
                        const vkft_f16_launch *launch)
{
    uint32_t N = vkft_product_n(p), K = vkft_product_k(p), ldy = vkft_product_ldy(p);
    uint64_t offset = (uint64_t)first * ldy * sizeof(float);
    bool converted = !p->f16.rows;
    const vkft_f16_rows X = converted ? convert(ctx, p, first, M) : p->f16;
    product_args launch_args;
    struct matmul_coop_args *args = &launch_args.plain;
    *args = (struct matmul_coop_args){.W = vkft_weight_ref(p->w),
                                      .X = X.rows,
                                      .inverse = X.inverse,
                                      .R = p->R ? p->R + offset : 0,
                                      .Y = p->Y + offset,
                                      .M = M,
                                      .N = N,
                                      .K = K,
                                      .ldx = X.stride,
                                      .ldy = ldy,
                                      .slice = vkft_f16_row_length(K),
                                      .add = p->R != 0,
                                      .scale = p->scale};
    if (p->groups) {
        launch_args.grouped.weights = p->weights;
        launch_args.grouped.group = p->groups->table;
        launch_args.grouped.groups = p->groups->groups;
        launch_args.grouped.first = first;
    } else if (p->branch.r) {
        args->Z = p->branch.Z + (uint64_t)first * p->branch.r * sizeof(float);
        args->V = p->branch.V;
        args->r = p->branch.r;
        args->branch = p->branch.scale / p->scale;
    }
    struct matmul_sum_args sum = {.R = args->R, .Y = args->Y, .n = M * N, .add = args->add, .scale = p->scale};
    uint32_t parts = 1, steps = args->slice / COOP_STEP;
    uint64_t used = converted ? vkft_f16_rows_bytes(M, K) : 0;
    if (ldy == N && used < ctx->scratch_bytes)
        parts = slices(launch, K, sum.n, ctx->scratch_bytes - used);
    while (steps % parts) /* slices are of one length, so that the kernel has no end to remember */
        parts--;
    if (parts > 1) {
        args->slice = steps / parts * COOP_STEP;
        sum.parts = parts;
        sum.partial = args->Y = ctx->scratch + used;
        args->add = 0;
        args->scale = 1.0f;
    } else if (!converted) {
        vkft_product_touch(ctx, p, false);
    }
    vkft_launch_workgroups(ctx->cmds, launch->kernel, &launch_args, sizeof launch_args, launch->workgroups, parts,
                           2.0 * M * N * (K + p->branch.r));
    if (parts > 1)
        vkft_launch(ctx->cmds, VKFT_KERNEL_matmul_sum, &sum, sizeof sum, sum.n, 1, (double)parts * sum.n);
}

void vkft_f16_record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t tile,
                     vkft_f16_choose *choose)
{
    uint32_t rows = p->exact ? 0 : rows_in(ctx, p, tile);
    for (uint32_t first = 0; rows && first < p->M; first += rows) {
        uint32_t M = min_u32(rows, p->M - first);
        const vkft_f16_launch launch = choose(gemm, p, M);
        record_rows(ctx, p, first, M, &launch);
    }
    if (!rows)
        vkft_commands_fail(ctx->cmds, "products in f16 cannot be one with %s weights %s",
                           vkft_storage_get(p->w->storage)->name,
                           p->exact ? "that is to be exact" : "without scratch memory");
}

static uint32_t shapes(const vkft_gemm *gemm)
{
    (void)gemm;
    return VKFT_COOP_SIZES;
}

/* Rows of a tile at most. */
static uint32_t tile_of(const vkft_gemm *gemm)
{
    return gemm->coop->sizes[VKFT_COOP_LARGE].bm;
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    return vkft_f16_suits(gemm, ctx, p, tile_of(gemm));
}

static vkft_coop_size size_of(const vkft_gemm *gemm, const vkft_product *p, uint32_t M)
{
    const vkft_coop_tiles *tiles = gemm->coop;
    if (!vkft_product_has_runs(p))
        return VKFT_COOP_UNALIGNED;
    if (gemm->variant)
        return (vkft_coop_size)(gemm->variant - 1);
    const vkft_coop_tile *large = &tiles->sizes[VKFT_COOP_LARGE];
    return vkft_f16_is_large(p, M, large->bm, large->bn, tiles->sizes[VKFT_COOP_SMALL].bm, tiles->workgroups)
               ? VKFT_COOP_LARGE
               : VKFT_COOP_SMALL;
}

static vkft_f16_launch choose(const vkft_gemm *gemm, const vkft_product *p, uint32_t M)
{
    vkft_coop_size size = size_of(gemm, p, M);
    const vkft_coop_tile *t = &gemm->coop->sizes[size];
    return (vkft_f16_launch){.kernel = vkft_kernel_variant(kernel_of(vkft_product_class(p)), size),
                             .workgroups = vkft_row_tiles(p, M, t->bm) * ceil_div(vkft_product_n(p), t->bn),
                             .busy = gemm->coop->workgroups};
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    vkft_f16_record(gemm, ctx, p, tile_of(gemm), choose);
}

const vkft_strategy vkft_gemm_coop = {.name = "coop",
                                      .not_on_cpu = true,
                                      .rounds = true,
                                      .variants = VKFT_COOP_SIZES,
                                      .shapes = shapes,
                                      .kernel = kernel_of,
                                      .possible = possible,
                                      .adds_branch = adds_branch,
                                      .prepare = prepare,
                                      .scratch_bytes = vkft_f16_scratch_bytes,
                                      .suits = suits,
                                      .record = record};
