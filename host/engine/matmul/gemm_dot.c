/* Products of f16 rows without matrix cores: matmul_dot multiplies them by W, which it decodes to f16, in tiles in
 * shared memory; sums are f32. What is said of rows, weights and slices in gemm_coop.c holds here, too.
 *
 * Strategy `dot` is for devices that multiply a pair of f16 and add to f32 in one instruction, at twice the rate of
 * f32. Strategy `half` does the same by two f32 instructions. That is no faster than strategy `tile`, so it is used
 * only where VKFT_STRATEGY names it: to test the rest of the kernel on devices that have no such instruction.
 *
 * Reduction order is fixed by shapes, scratch and device.
 */
#include "host/engine/matmul/gemm.h"
#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

/* Pipelines of a kernel: each block, and the last of them for weights whose runs are not aligned. */
enum { LARGE, SMALL, ANY_ALIGNMENT, VARIANTS };
_Static_assert(SMALL + 1 == VKFT_HALF_BLOCKS, "each has a pipeline");

static const vkft_block *block_of(const vkft_gemm *gemm, uint32_t variant)
{
    return &gemm->tiles.half[variant == LARGE ? LARGE : SMALL];
}

static uint32_t tile_rows(const vkft_block *b)
{
    return b->rows * b->lanes_m;
}

static uint32_t tile_columns(const vkft_block *b)
{
    return b->columns * b->lanes_n;
}

/* Workgroups that keep the device busy. */
static uint32_t busy(const vkft_gemm *gemm, const vkft_block *b)
{
    return max_u32(1, gemm->tiles.invocations / (b->lanes_m * b->lanes_n));
}

static uint32_t variant_of(const vkft_gemm *gemm, const vkft_product *p, uint32_t M)
{
    const vkft_block *large = block_of(gemm, LARGE), *small = block_of(gemm, SMALL);
    if (!vkft_product_has_runs(p))
        return ANY_ALIGNMENT;
    if (gemm->variant)
        return gemm->variant - 1;
    return vkft_f16_is_large(p, M, tile_rows(large), tile_columns(large), tile_rows(small), busy(gemm, large)) ? LARGE
                                                                                                               : SMALL;
}

static uint32_t shapes(const vkft_gemm *gemm)
{
    (void)gemm;
    return VKFT_HALF_BLOCKS;
}

static bool suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    return vkft_f16_suits(gemm, ctx, p, tile_rows(block_of(gemm, LARGE)));
}

/* families: [grouped][transposed] */
static vkft_kernel kernel_of(const vkft_kernel_family families[2][2], vkft_gemm_class class)
{
    return vkft_kernel_by_type(families[class.grouped][class.transposed], class.storage);
}

static vkft_f16_launch launch_of(const vkft_gemm *gemm, const vkft_product *p, uint32_t M, vkft_kernel kernel)
{
    uint32_t variant = variant_of(gemm, p, M);
    const vkft_block *b = block_of(gemm, variant);
    return (vkft_f16_launch){.kernel = vkft_kernel_variant(kernel, variant),
                             .workgroups =
                                 vkft_row_tiles(p, M, tile_rows(b)) * ceil_div(vkft_product_n(p), tile_columns(b)),
                             .busy = busy(gemm, b)};
}

static void prepare(vkft_device *dev, const vkft_gemm *gemm, const vkft_kernel_family families[2][2])
{
    for (uint32_t variant = 0; variant < VARIANTS; variant++)
        for (uint32_t i = 0; i < 4 * VKFT_STORAGE_COUNT; i++) {
            const vkft_block *b = block_of(gemm, variant);
            const uint32_t constants[] = {b->rows,    b->columns, b->band,
                                          b->lanes_m, b->lanes_n, variant != ANY_ALIGNMENT};
            vkft_kernel kernel = kernel_of(families, (vkft_gemm_class){i / 4, i / 2 % 2, i % 2});
            vkft_kernel_specialize(dev, vkft_kernel_variant(kernel, variant), b->lanes_m * b->lanes_n, b->subgroup,
                                   constants, sizeof constants / sizeof *constants);
        }
}

static bool fits(const vkft_gemm *gemm)
{
    const vkft_block *b = block_of(gemm, LARGE);
    return gemm->operands == VKFT_F16 && b->lanes_m * b->lanes_n <= gemm->caps->workgroup_invocations;
}

static bool dot_possible(const vkft_gemm *gemm)
{
    return fits(gemm) && !gemm->coop;
}

static bool half_possible(const vkft_gemm *gemm)
{
    return fits(gemm) && gemm->forced;
}

#define STRATEGY(form)                                                                                                 \
    static const vkft_kernel_family form##_families[2][2] = {                                                          \
        {VKFT_FAMILY_##form##_nn, VKFT_FAMILY_##form##_nt},                                                            \
        {VKFT_FAMILY_grouped_##form##_nn, VKFT_FAMILY_grouped_##form##_nt},                                            \
    };                                                                                                                 \
    static vkft_kernel form##_kernel(vkft_gemm_class class)                                                            \
    {                                                                                                                  \
        return kernel_of(form##_families, class);                                                                      \
    }                                                                                                                  \
    static void form##_prepare(vkft_device *dev, const vkft_gemm *gemm)                                                \
    {                                                                                                                  \
        prepare(dev, gemm, form##_families);                                                                           \
    }                                                                                                                  \
    static vkft_f16_launch form##_choose(const vkft_gemm *gemm, const vkft_product *p, uint32_t M)                     \
    {                                                                                                                  \
        return launch_of(gemm, p, M, form##_kernel(vkft_product_class(p)));                                            \
    }                                                                                                                  \
    static void form##_record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p)                \
    {                                                                                                                  \
        vkft_f16_record(gemm, ctx, p, tile_rows(block_of(gemm, LARGE)), form##_choose);                                \
    }                                                                                                                  \
    const vkft_strategy vkft_gemm_##form = {.name = #form,                                                             \
                                            .not_on_cpu = true,                                                        \
                                            .rounds = true,                                                            \
                                            .variants = VARIANTS,                                                      \
                                            .shapes = shapes,                                                          \
                                            .kernel = form##_kernel,                                                   \
                                            .possible = form##_possible,                                               \
                                            .prepare = form##_prepare,                                                 \
                                            .scratch_bytes = vkft_f16_scratch_bytes,                                   \
                                            .suits = suits,                                                            \
                                            .record = form##_record};

STRATEGY(dot)
STRATEGY(half)
