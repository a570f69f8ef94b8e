/* Products by panels on a software device that loads an element of X once for all invocations: those of gemm_panel.c,
 * whose kernels load two elements of a panel at a time. Sums have the same bits.
 *
 * Reduction order: as in gemm_panel.c.
 */
#include "host/engine/matmul/gemm.h"

/* Pipelines: of products with more columns than a tile of gemm_panel.c has, and of others, as LoRA's. */
enum { WIDE, NARROW, VARIANTS };

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

static vkft_tile tile_of(const vkft_gemm *gemm, uint32_t variant)
{
    return variant == NARROW ? gemm->tiles.panel : gemm->tiles.panel64;
}

static uint32_t variant_of(const vkft_gemm *gemm, const vkft_product *p)
{
    if (gemm->variant)
        return gemm->variant - 1;
    return vkft_product_n(p) <= gemm->tiles.panel.columns * gemm->tiles.panel.width ? NARROW : WIDE;
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm)
{
    for (uint32_t variant = 0; variant < VARIANTS; variant++)
        vkft_panel_specialize(dev, gemm, products, variant, tile_of(gemm, variant));
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    return vkft_panel_suits(gemm, ctx, p, tile_of(gemm, variant_of(gemm, p)));
}

static void record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    uint32_t variant = variant_of(gemm, p);
    vkft_kernel kernel = vkft_kernel_variant(product_of(vkft_product_class(p)), variant);
    vkft_panel_record(gemm, ctx, p, kernel, tile_of(gemm, variant));
}

const vkft_strategy vkft_gemm_panel64 = {.name = "panel64",
                                         .variants = VARIANTS,
                                         .kernel = product_of,
                                         .possible = possible,
                                         .prepare = prepare,
                                         .suits = suits,
                                         .record = record};
