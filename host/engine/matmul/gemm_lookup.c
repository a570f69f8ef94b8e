/* Products of few rows with 4-bit weights on a software device: those of gemm_direct.c, whose kernels look the 16
 * values up across a subgroup of 8, the width of AVX2. Sums have the same bits.
 *
 * Reduction order: k ascends.
 */
#include "host/engine/matmul/gemm.h"

#define SUBGROUP 8u

static const vkft_kernel_family families[2] = {VKFT_FAMILY_lookup_nt, VKFT_FAMILY_grouped_lookup_nt}; /* [grouped] */

static vkft_kernel kernel_of(vkft_gemm_class class)
{
    return class.transposed ? vkft_kernel_by_type(families[class.grouped], class.storage) : VKFT_KERNEL_COUNT;
}

static bool possible(const vkft_gemm *gemm)
{
    return gemm->caps->software && gemm->caps->subgroup_size == SUBGROUP;
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    for (int grouped = 0; grouped < 2; grouped++)
        vkft_direct_specialize(dev, gemm, grouped, true, families[grouped]);
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    (void)gemm, (void)ctx, (void)p;
    return true;
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    vkft_direct_record(gemm, ctx, p, kernel_of(vkft_product_class(p)));
}

const vkft_strategy vkft_gemm_lookup = {
    .name = "lookup", .kernel = kernel_of, .possible = possible, .prepare = prepare, .suits = suits, .record = record};
