/* See gemm.h. */
#include "host/engine/matmul/gemm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"
#include "shaders/matmul/args.h"

static const vkft_strategy *const strategies[VKFT_STRATEGY_COUNT] = {
#define X(name) &vkft_gemm_##name,
    VKFT_STRATEGIES(X)
#undef X
};

/* The strategies that the device can run and nobody forbids. */
static void list_usable(vkft_gemm *gemm, vkft_gemm_class class, const char *only)
{
    const vkft_strategy **usable = gemm->usable[class.storage][class.transposed][class.grouped];
    uint32_t count = 0;
    for (size_t i = 0; i < VKFT_STRATEGY_COUNT; i++) {
        const vkft_strategy *s = strategies[i];
        if ((!only || strcmp(only, s->name) == 0) && vkft_caps_allow_strategy(gemm->caps, s->name) &&
            vkft_caps_have(gemm->caps, vkft_kernel_needs(s->kernel(class))))
            usable[count++] = s;
    }
}

static bool exists(const char *name, vkft_err *err)
{
    for (size_t i = 0; i < VKFT_STRATEGY_COUNT; i++)
        if (strcmp(name, strategies[i]->name) == 0)
            return true;
    return vkft_fail(err, VKFT_ERR_INPUT, "VKFT_STRATEGY=%s: there is no such strategy of matrix products", name);
}

static bool choose(vkft_gemm *gemm, const char *only, vkft_err *err)
{
    for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
        for (int transposed = 0; transposed < 2; transposed++)
            for (int grouped = 0; grouped < 2; grouped++) {
                list_usable(gemm, (vkft_gemm_class){storage, transposed, grouped}, only);
                if (!gemm->usable[storage][transposed][grouped][0])
                    return vkft_fail(err, VKFT_ERR_DEVICE, "no strategy of matrix products for %s weights can be used",
                                     vkft_storage_get(storage)->name);
            }
    return true;
}

bool vkft_gemm_setup(vkft_device *dev, vkft_dtype operands, vkft_err *err)
{
    const char *only = getenv("VKFT_STRATEGY");
    only = only && *only ? only : NULL;
    vkft_gemm *gemm = calloc(1, sizeof *gemm);
    if (!gemm)
        return vkft_fail_memory(err, "while choosing kernels");
    *gemm = (vkft_gemm){
        .caps = vkft_device_get_caps(dev), .tiles = vkft_tiles_of(vkft_device_get_caps(dev)), .operands = operands};
    vkft_device_attach(dev, gemm, free);
    if ((only && !exists(only, err)) || !choose(gemm, only, err))
        return false;
    for (size_t i = 0; i < VKFT_STRATEGY_COUNT; i++)
        strategies[i]->prepare(dev, &gemm->tiles, operands);
    vkft_tile_specialize(dev, VKFT_KERNEL_matmul_tn, gemm->tiles.tn, VKFT_F32);
    vkft_tile_specialize(dev, VKFT_KERNEL_grouped_tn, gemm->tiles.grouped_tn, VKFT_F32);
    return true;
}

const vkft_gemm *vkft_gemm_of(const vkft_device *dev)
{
    const vkft_gemm *gemm = vkft_device_attached(dev);
    assert(gemm);
    return gemm;
}

bool vkft_gemm_drop(vkft_device *dev, const vkft_strategy *strategy, vkft_gemm_class class)
{
    vkft_gemm *gemm = vkft_device_attached(dev);
    const vkft_strategy **usable = gemm->usable[class.storage][class.transposed][class.grouped];
    uint32_t kept = 0;
    for (uint32_t i = 0; usable[i]; i++)
        if (usable[i] != strategy)
            usable[kept++] = usable[i];
    usable[kept] = NULL;
    return kept > 0;
}

void vkft_multiply(const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    if (!ctx->cmds || !p->M || !vkft_product_n(p))
        return;
    const vkft_gemm *gemm = vkft_gemm_of(ctx->dev);
    const vkft_strategy *const *s = gemm->usable[p->w->storage][p->transposed][p->groups != NULL];
    while (s[1] && !(*s)->suits(gemm, ctx, p))
        s++;
    (*s)->record(gemm, ctx, p);
}

uint64_t vkft_product_scratch_bytes(uint32_t rows, uint32_t cols)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < VKFT_STRATEGY_COUNT; i++)
        if (strategies[i]->scratch_bytes)
            bytes = max_u64(bytes, strategies[i]->scratch_bytes(rows, cols));
    return bytes;
}

uint32_t vkft_group_tiles(const vkft_grouping *grouping, uint32_t groups, uint32_t rows)
{
    uint64_t all = min_u64((uint64_t)groups * grouping->max_rows, grouping->rows);
    uint64_t tiles = all / GROUP_TILE + groups;
    return (uint32_t)min_u64(tiles, all) * (GROUP_TILE / rows);
}
