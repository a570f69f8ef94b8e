/* Products by panels on a software device that loads an element of X once for all invocations: those of gemm_panel.c,
 * whose kernels load two elements of a panel at a time. Sums have the same bits.
 *
 * Reduction order: as in gemm_panel.c.
 */
#include "host/engine/matmul/gemm.h"

static const vkft_kernel products[2][2] = {
    /* [grouped][quantized] */
    {VKFT_KERNEL_matmul_panel64, VKFT_KERNEL_matmul_panel64_quantized},
    {VKFT_KERNEL_grouped_matmul_panel64, VKFT_KERNEL_grouped_matmul_panel64_quantized},
};

static vkft_kernel product_of(vkft_gemm_class class)
{
    return products[class.grouped][vkft_storage_is_quantized(class.storage)];
}

static bool possible(const vkft_gemm *gemm)
{
    return gemm->caps->software && vkft_caps_have(gemm->caps, VKFT_CAP_UNIFORM_LOADS);
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    vkft_panel_specialize(dev, gemm, products, gemm->tiles.panel64);
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    return vkft_panel_suits(gemm, ctx, p, gemm->tiles.panel64);
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    vkft_panel_record(gemm, ctx, p, product_of(vkft_product_class(p)), gemm->tiles.panel64);
}

const vkft_strategy vkft_gemm_panel64 = {
    .name = "panel64", .kernel = product_of, .possible = possible, .prepare = prepare, .suits = suits, .record = record};
