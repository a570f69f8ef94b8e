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

/* Appends the strategy, unless it is there. */
static void append(vkft_strategy_list list, const vkft_strategy *strategy)
{
    uint32_t i = 0;
    while (list[i] && list[i] != strategy)
        i++;
    list[i] = strategy;
}

static const vkft_strategy *find(const char *name, size_t length)
{
    for (size_t i = 0; i < VKFT_STRATEGY_COUNT; i++)
        if (strlen(strategies[i]->name) == length && memcmp(strategies[i]->name, name, length) == 0)
            return strategies[i];
    return NULL;
}

static bool forced(void)
{
    const char *names = getenv("VKFT_STRATEGY");
    return names && *names;
}

/* The strategies that VKFT_STRATEGY names, or else those that nobody forbids. */
static bool list_allowed(const vkft_caps *caps, vkft_strategy_list allowed, vkft_err *err)
{
    const char *names = getenv("VKFT_STRATEGY");
    if (!forced()) {
        for (size_t i = 0; i < VKFT_STRATEGY_COUNT; i++)
            if (!(caps->software && strategies[i]->not_on_cpu) && vkft_caps_allow_strategy(caps, strategies[i]->name))
                append(allowed, strategies[i]);
        return true;
    }
    for (const char *name = names;; name++) {
        size_t length = strcspn(name, ",");
        const vkft_strategy *strategy = find(name, length);
        if (!strategy)
            return vkft_fail(err, VKFT_ERR_INPUT, "VKFT_STRATEGY=%s: there is no such strategy of matrix products",
                             names);
        append(allowed, strategy);
        name += length;
        if (!*name)
            return true;
    }
}

static bool is_usable(const vkft_gemm *gemm, const vkft_strategy *s, vkft_gemm_class class)
{
    vkft_kernel kernel = s->kernel(class);
    return kernel != VKFT_KERNEL_COUNT && vkft_kernel_is_built(kernel) &&
           vkft_caps_have(gemm->caps, vkft_kernel_needs(kernel)) && (!s->possible || s->possible(gemm));
}

/* Matrix cores are as if they were not there where strategy coop may not or cannot be used. */
static void forget_cores(vkft_gemm *gemm, const vkft_strategy_list allowed)
{
    const vkft_gemm_class class = {.storage = VKFT_STORAGE_f32};
    uint32_t i = 0;
    while (allowed[i] && allowed[i] != &vkft_gemm_coop)
        i++;
    if (!allowed[i] || !is_usable(gemm, allowed[i], class))
        gemm->coop = NULL;
}

/* Of the allowed strategies those that can compute a class on this device. */
static bool list_usable(vkft_gemm *gemm, const vkft_strategy_list allowed, vkft_gemm_class class, vkft_err *err)
{
    const vkft_strategy **usable = gemm->usable[class.storage][class.transposed][class.grouped];
    for (uint32_t i = 0; allowed[i]; i++)
        if (is_usable(gemm, allowed[i], class))
            append(usable, allowed[i]);
    return usable[0] || vkft_fail(err, VKFT_ERR_DEVICE, "no strategy of matrix products for %s%s weights can be used",
                                  class.grouped ? "experts' " : "", vkft_storage_get(class.storage)->name);
}

/* Fills the lists of all classes and sets up the kernels of what is in them. */
static bool choose(vkft_device *dev, vkft_gemm *gemm, vkft_err *err)
{
    vkft_strategy_list allowed = {0}, used = {0};
    if (!list_allowed(gemm->caps, allowed, err))
        return false;
    forget_cores(gemm, allowed);
    for (vkft_storage storage = 0; storage < VKFT_STORAGE_COUNT; storage++)
        for (int transposed = 0; transposed < 2; transposed++)
            for (int grouped = 0; grouped < 2; grouped++) {
                if (!list_usable(gemm, allowed, (vkft_gemm_class){storage, transposed, grouped}, err))
                    return false;
                for (uint32_t i = 0; gemm->usable[storage][transposed][grouped][i]; i++)
                    append(used, gemm->usable[storage][transposed][grouped][i]);
            }
    for (uint32_t i = 0; used[i]; i++) {
        used[i]->prepare(dev, gemm);
        gemm->outer_blocks |= used[i] == &vkft_gemm_tile;
    }
    return true;
}

bool vkft_gemm_setup(vkft_device *dev, vkft_dtype operands, vkft_err *err)
{
    vkft_gemm *gemm = calloc(1, sizeof *gemm);
    if (!gemm)
        return vkft_fail_memory(err, "while choosing kernels");
    const vkft_caps *caps = vkft_device_get_caps(dev);
    *gemm = (vkft_gemm){.caps = caps,
                        .tiles = vkft_tiles_of(caps),
                        .coop = vkft_coop_tiles_of(caps, forced()),
                        .forced = forced(),
                        .operands = operands};
    vkft_device_attach(dev, gemm, free);
    if (!choose(dev, gemm, err))
        return false;
    vkft_outer_prepare(dev, gemm);
    return true;
}

/* The best strategy for F16 operands; NULL: there is none. */
static const vkft_strategy *best_for_f16(const vkft_caps *caps)
{
    vkft_gemm gemm = {.caps = caps,
                      .tiles = vkft_tiles_of(caps),
                      .coop = vkft_coop_tiles_of(caps, forced()),
                      .forced = forced(),
                      .operands = VKFT_F16};
    const vkft_gemm_class class = {.storage = VKFT_STORAGE_f32};
    vkft_strategy_list allowed = {0};
    vkft_err ignored = {0};
    if (!list_allowed(caps, allowed, &ignored))
        return NULL; /* which vkft_gemm_setup reports */
    forget_cores(&gemm, allowed);
    for (uint32_t i = 0; allowed[i]; i++)
        if (allowed[i]->rounds && is_usable(&gemm, allowed[i], class))
            return allowed[i];
    return NULL;
}

bool vkft_gemm_has_f16(const vkft_caps *caps)
{
    return best_for_f16(caps) != NULL;
}

bool vkft_gemm_has_matrix_cores(const vkft_caps *caps)
{
    return best_for_f16(caps) == &vkft_gemm_coop;
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

/* Of one matrix; those of groups are never computed in the same pass. */
static vkft_range weight_range(const vkft_product *p)
{
    uint64_t bytes[VKFT_PARTS];
    if (p->groups || !vkft_storage_part_bytes(p->w->storage, p->w->rows, p->w->cols, bytes))
        return (vkft_range){0};
    return (vkft_range){p->w->part[VKFT_PART_DATA], bytes[VKFT_PART_DATA]};
}

void vkft_product_touch(const vkft_matmul_ctx *ctx, const vkft_product *p, bool scratch)
{
    vkft_range Y = vkft_rows_range(p->Y, p->M, vkft_product_ldy(p), vkft_product_n(p));
    vkft_range X = vkft_rows_range(p->X, p->M, vkft_product_ldx(p), vkft_product_k(p));
    const vkft_touch touch = {
        .reads = {X,
                  weight_range(p),
                  {p->R, p->R ? Y.bytes : 0},
                  vkft_f16_range(p->f16, p->M, vkft_product_k(p)),
                  {p->f16.inverse, p->f16.rows ? p->M * sizeof(float) : 0},
                  {p->branch.Z, (uint64_t)p->M * p->branch.r * sizeof(float)},
                  {p->branch.V, (uint64_t)vkft_product_n(p) * p->branch.r * sizeof(float)}},
        .writes = {Y, {ctx->scratch, scratch ? ctx->scratch_bytes : 0}},
    };
    vkft_commands_touch(ctx->cmds, &touch);
}

/* How the product is computed; *variant: of the strategy's kernels. */
static const vkft_strategy *strategy_for(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p,
                                         const vkft_choice *choice, uint32_t *variant)
{
    *variant = gemm->variant;
    if (choice && choice->strategy && choice->strategy->suits(gemm, ctx, p)) {
        *variant = choice->variant;
        return choice->strategy;
    }
    const vkft_strategy *const *s = gemm->usable[p->w->storage][p->transposed][p->groups != NULL];
    while (s[1] && !(*s)->suits(gemm, ctx, p))
        s++;
    return *s;
}

/* Y += the branch of a product that was computed without it. */
static void add_branch(const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    uint32_t N = vkft_product_n(p);
    vkft_weight V = {.storage = VKFT_STORAGE_f32,
                     .rows = p->transposed ? N : p->branch.r,
                     .cols = p->transposed ? p->branch.r : N,
                     .part = {p->branch.V}};
    vkft_multiply(ctx, &(vkft_product){.w = &V,
                                       .transposed = p->transposed,
                                       .M = p->M,
                                       .X = p->branch.Z,
                                       .R = p->Y,
                                       .Y = p->Y,
                                       .ldy = p->ldy,
                                       .scale = p->branch.scale,
                                       .exact = true});
}

void vkft_multiply_by(const vkft_matmul_ctx *ctx, const vkft_product *p, const vkft_choice *choice)
{
    vkft_gemm gemm = *vkft_gemm_of(ctx->dev);
    const vkft_strategy *strategy = strategy_for(&gemm, ctx, p, choice, &gemm.variant);
    vkft_product product = *p;
    if (!strategy->adds_branch || !strategy->adds_branch(&gemm) || p->scale == 0) /* it is relative to the scale */
        product.branch.r = 0;
    vkft_product_touch(ctx, &product, true);
    strategy->record(&gemm, ctx, &product);
    vkft_commands_touch(ctx->cmds, NULL);
    if (product.branch.r != p->branch.r)
        add_branch(ctx, p);
}

void vkft_multiply(const vkft_matmul_ctx *ctx, const vkft_product *p)
{
    if (!ctx->cmds || !p->M || !vkft_product_n(p))
        return;
    const vkft_gemm *gemm = vkft_gemm_of(ctx->dev);
    vkft_multiply_by(ctx, p, &gemm->choices[p->w->storage][p->transposed][p->groups != NULL][vkft_product_size_of(p)]);
}

uint64_t vkft_product_scratch_bytes(uint32_t rows, uint32_t cols)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < VKFT_STRATEGY_COUNT; i++)
        if (strategies[i]->scratch_bytes)
            bytes = max_u64(bytes, strategies[i]->scratch_bytes(rows, cols));
    return bytes;
}

uint32_t vkft_row_tiles(const vkft_product *p, uint32_t M, uint32_t rows)
{
    return p->groups ? M / rows + p->groups->groups : ceil_div(M, rows);
}

/* A group's last tile is half full on average; one of fewer rows than a tile has a tile all the same. */
uint32_t vkft_likely_row_tiles(const vkft_product *p, uint32_t M, uint32_t rows)
{
    uint32_t groups = p->groups ? p->groups->groups : 0;
    return groups ? max_u32(M / rows + groups / 2, min_u32(groups, M)) : ceil_div(M, rows);
}

uint32_t vkft_group_tiles(const vkft_grouping *grouping, uint32_t groups, uint32_t rows)
{
    uint64_t all = min_u64((uint64_t)groups * grouping->max_rows, grouping->rows);
    uint64_t tiles = all / GROUP_TILE + groups;
    return (uint32_t)min_u64(tiles, all) * (GROUP_TILE / rows);
}
