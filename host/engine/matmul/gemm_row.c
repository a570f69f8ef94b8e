/* Products of few rows on a GPU: kernel matmul_row, whose subgroups share columns. Generation is made of these.
 *
 * Reduction order: k ascends in steps within an invocation, whose sums subgroupAdd joins in the device's order.
 */
#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

#define TILE 8u /* columns of a workgroup */

/* Pipelines: few rows and one, and few rows of operands that are not aligned. */
enum { FEW, ONE, ANY_ALIGNMENT, VARIANTS };

static uint32_t rows_of(uint32_t variant)
{
    return variant == ONE ? 1 : DIRECT_MAX_ROWS;
}

static vkft_kernel kernel_of(vkft_gemm_class class)
{
    return class.grouped || !class.transposed ? VKFT_KERNEL_COUNT
                                              : vkft_kernel_by_type(VKFT_FAMILY_matmul_row, class.storage);
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    for (vkft_storage type = 0; type < VKFT_STORAGE_COUNT; type++)
        for (uint32_t variant = 0; variant < VARIANTS; variant++) {
            bool rounds = gemm->operands == VKFT_BF16 && vkft_storage_is_quantized(type);
            const uint32_t constants[] = {rows_of(variant),        variant == ONE ? 4 : 2, 1, rounds, TILE,
                                          variant != ANY_ALIGNMENT};
            vkft_kernel_specialize(dev, vkft_kernel_variant(vkft_kernel_by_type(VKFT_FAMILY_matmul_row, type), variant),
                                   max_u32(64, gemm->caps->subgroup_size), 0, constants,
                                   sizeof constants / sizeof *constants);
        }
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    (void)gemm, (void)ctx;
    return p->M <= DIRECT_MAX_ROWS;
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    vkft_product_touch(ctx, p, false);
    struct matmul_args args = {.W = vkft_weight_ref(p->w),
                               .X = p->X,
                               .R = p->R,
                               .Y = p->Y,
                               .M = p->M,
                               .N = vkft_product_n(p),
                               .K = vkft_product_k(p),
                               .ldx = vkft_product_ldx(p),
                               .ldy = vkft_product_ldy(p),
                               .add = p->R != 0,
                               .scale = p->scale};
    uint32_t variant = !vkft_product_is_aligned(p) ? ANY_ALIGNMENT
                       : gemm->variant             ? min_u32(gemm->variant - 1, ONE)
                       : p->M == 1                 ? ONE
                                                   : FEW;
    uint64_t workgroups = (uint64_t)ceil_div(p->M, rows_of(variant)) * ceil_div(args.N, TILE);
    vkft_launch_workgroups(ctx->cmds, vkft_kernel_variant(kernel_of(vkft_product_class(p)), variant), &args,
                           sizeof args, workgroups, 1, 2.0 * p->M * args.N * args.K);
}

const vkft_strategy vkft_gemm_row = {.name = "row",
                                     .not_on_cpu = true,
                                     .variants = VARIANTS,
                                     .kernel = kernel_of,
                                     .prepare = prepare,
                                     .suits = suits,
                                     .record = record};
