/* How products are computed: a list of strategies, best first, and the choice among them.
 *
 * A strategy is one file and one row of VKFT_STRATEGIES. It is used for a storage type, a direction and plain or
 * grouped rows (a class) when the device has what its kernels need, neither a quirk nor the kind of device forbids it,
 * and its self-test passed (gemm_selftest.c). The strategies that are left are found once, by vkft_gemm_setup; of
 * these, a product takes the first one that `suits` it.
 */
#ifndef VKFT_GEMM_H
#define VKFT_GEMM_H

#include "host/engine/matmul/coop_tiles.h"
#include "host/engine/matmul/product.h"
#include "host/engine/matmul/tiles.h"

/* Products that use the same kernels. */
typedef struct vkft_gemm_class {
    vkft_storage storage;
    bool transposed, grouped;
} vkft_gemm_class;

typedef struct vkft_gemm vkft_gemm;

typedef struct vkft_strategy {
    const char *name;
    bool not_on_cpu;                           /* a software device uses it only where VKFT_STRATEGY names it */
    bool rounds;                               /* operands of f32; products that are exact are left to others */
    uint32_t variants;                         /* of its kernels, each of which the self-test tries; 0: they have one */
    uint32_t (*shapes)(const vkft_gemm *gemm); /* how many variants, from 1 on, the tuner tries; NULL: none */
    /* The kernel that a class stands and falls with, for its needs and for messages; VKFT_KERNEL_COUNT: the strategy
     * does not compute this class. */
    vkft_kernel (*kernel)(vkft_gemm_class class);
    /* Whether the device and the operands allow it, beyond what its kernels need; NULL: always. */
    bool (*possible)(const vkft_gemm *gemm);
    /* Whether it adds a product's branch, too; NULL: never. The branch is a product of its own then. */
    bool (*adds_branch)(const vkft_gemm *gemm);
    /* Chooses widths and constants of its kernels. */
    void (*prepare)(vkft_device *dev, const vkft_gemm *gemm);
    /* Scratch for a weight of this shape; NULL: none. */
    uint64_t (*scratch_bytes)(uint32_t rows, uint32_t cols);
    /* Whether to compute this product so. Of the last strategy that is left it is not asked. */
    bool (*suits)(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *product);
    void (*record)(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *product);
} vkft_strategy;

/* Best first; vkft_gemm_<name> in gemm_<name>.c, half in gemm_dot.c, panel64 in gemm_panel.c. */
#define VKFT_STRATEGIES(X) X(coop) X(dot) X(half) X(tile) X(row) X(panel64) X(panel) X(lookup) X(direct)

enum {
#define X(name) VKFT_STRATEGY_INDEX_##name,
    VKFT_STRATEGIES(X)
#undef X
        VKFT_STRATEGY_COUNT
};

#define X(name) extern const vkft_strategy vkft_gemm_##name;
VKFT_STRATEGIES(X)
#undef X

/* What is left of the strategies for one class, best first; NULL after the last. */
typedef const vkft_strategy *vkft_strategy_list[VKFT_STRATEGY_COUNT + 1];

/* Sizes of products that the tuner tells apart; rows are those of a group on average. */
typedef enum vkft_product_size {
    VKFT_PRODUCT_FEW,    /* at most DIRECT_MAX_ROWS rows */
    VKFT_PRODUCT_NARROW, /* at most 64 columns, as LoRA's */
    VKFT_PRODUCT_SMALL,
    VKFT_PRODUCT_LARGE,
    VKFT_PRODUCT_SIZES
} vkft_product_size;

/* How the tuner wants products computed. */
typedef struct vkft_choice {
    const vkft_strategy *strategy; /* NULL: as without a tuner */
    uint32_t variant;              /* as in vkft_gemm */
    bool decided;
    double ms; /* of the product that was timed */
} vkft_choice;

struct vkft_gemm {
    const vkft_caps *caps;
    vkft_tiles tiles;
    const vkft_coop_tiles *coop; /* NULL: no matrix cores that are known to be fast, or none at all */
    bool forced;                 /* VKFT_STRATEGY names the strategies, which then need not be the fastest */
    uint32_t variant;            /* 1 + the variant that products use, of self-test and tuner; 0: by their shape */
    bool outer_blocks;           /* gradients of matrices are computed in blocks, too */
    vkft_dtype operands;
    bool attention; /* attention may use matrix cores, too (ops/attention_kernels.h) */
    vkft_strategy_list usable[VKFT_STORAGE_COUNT][2][2];               /* [storage][transposed][grouped] */
    vkft_choice choices[VKFT_STORAGE_COUNT][2][2][VKFT_PRODUCT_SIZES]; /* [storage][transposed][grouped] */
    char notice[512]; /* the first strategy that failed its self-test; "": none did */
};

/* Chooses tiles and strategies for this device; once, before the first product is recorded. operands: what products
 * with quantized weights round the decoded weights, and what they are multiplied by, to: F32 (nothing) or BF16; sums
 * are f32. Like bnb_4bit_compute_dtype, but bitsandbytes also rounds the sums; we do not. F16: products that are not
 * `exact` may use strategies that round to f16, whatever the weights' type; products by other strategies round
 * nothing. The environment variable VKFT_STRATEGY names the strategies to use, best first ("panel,direct"), for tests
 * and measurements; a quirk or the kind of device forbids none of these. Error: a strategy does not exist, or nothing
 * is left for a class. */
bool vkft_gemm_setup(vkft_device *dev, vkft_dtype operands, vkft_err *err);

/* Whether products can have F16 operands on this device; and whether matrix cores multiply them. */
bool vkft_gemm_has_f16(const vkft_caps *caps);
bool vkft_gemm_has_matrix_cores(const vkft_caps *caps);

const vkft_gemm *vkft_gemm_of(const vkft_device *dev); /* after vkft_gemm_setup */

/* Multiplies small odd-shaped matrices by each strategy that is left for these storage types, compares the results with
 * the CPU's and drops strategies that are wrong. What was found is kept beside the pipeline cache for this device,
 * driver and build of the kernels and not computed again. Error: nothing is left for a class, with the kernel; or the
 * device fails. */
bool vkft_gemm_selftest(vkft_device *dev, const bool storages[VKFT_STORAGE_COUNT], bool grouped, vkft_err *err);

/* Forgets what was found, so that it is computed again; and says beforehand that a strategy is wrong for a class, after
 * vkft_gemm_setup with the operands in question. */
void vkft_gemm_forget(vkft_device *dev);
void vkft_gemm_distrust(vkft_device *dev, const vkft_strategy *strategy, vkft_gemm_class class);

/* Takes the strategy from the class's list; false: it was the last one. Internal to matmul/. */
bool vkft_gemm_drop(vkft_device *dev, const vkft_strategy *strategy, vkft_gemm_class class);

/* For strategies whose kernels read W as it is stored (gemm_direct.c, gemm_lookup.c): chooses the constants of a
 * family, and records a product by one of its kernels. Internal to matmul/. */
void vkft_direct_specialize(vkft_device *dev, const vkft_gemm *gemm, bool grouped, bool transposed,
                            vkft_kernel_family family);
void vkft_direct_record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, vkft_kernel kernel);

/* For strategies that multiply rows of f16 (gemm_coop.c, gemm_dot.c): how one computes M rows of a product; `busy`: the
 * workgroups that keep the device busy. Internal to matmul/. */
typedef struct vkft_f16_launch {
    vkft_kernel kernel;
    uint32_t workgroups, busy;
} vkft_f16_launch;
typedef vkft_f16_launch vkft_f16_choose(const vkft_gemm *gemm, const vkft_product *p, uint32_t M);

/* Whether M rows fill the device with large tiles of `rows` by `columns`, and groups are not so small that with these
 * they multiply half as much again as with tiles of small_rows. */
bool vkft_f16_is_large(const vkft_product *p, uint32_t M, uint32_t rows, uint32_t columns, uint32_t small_rows,
                       uint32_t busy);
/* tile: so many rows a workgroup computes at most. */
bool vkft_f16_suits(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t tile);
void vkft_f16_record(const vkft_gemm *gemm, const vkft_matmul_ctx *ctx, const vkft_product *p, uint32_t tile,
                     vkft_f16_choose *choose);
uint64_t vkft_f16_scratch_bytes(uint32_t rows, uint32_t cols);

/* Chooses widths and constants of the kernels of gradients. Internal to matmul/. */
void vkft_outer_prepare(vkft_device *dev, const vkft_gemm *gemm);

/* A product by a choice, if it has a strategy and that suits the product; otherwise by the best strategy that does. */
void vkft_multiply_by(const vkft_matmul_ctx *ctx, const vkft_product *product, const vkft_choice *choice);

static inline vkft_gemm_class vkft_product_class(const vkft_product *p)
{
    return (vkft_gemm_class){p->w->storage, p->transposed, p->groups != NULL};
}

/* Says what the launches of a product touch, so that products whose order does not matter run at the same time. A
 * strategy whose launches leave scratch alone says so before it records them. */
void vkft_product_touch(const vkft_matmul_ctx *ctx, const vkft_product *p, bool scratch);

/* Rows of f32 in memory. */
static inline vkft_range vkft_rows_range(uint64_t address, uint64_t rows, uint64_t stride, uint64_t columns)
{
    return (vkft_range){address, ((rows - 1) * stride + columns) * sizeof(float)};
}

/* M rows of K in f16, without their factors. Zeros of which there are none. */
static inline vkft_range vkft_f16_range(vkft_f16_rows f16, uint32_t M, uint32_t K)
{
    uint64_t elements = (M - 1ull) * f16.stride + vkft_f16_row_length(K);
    return f16.rows ? (vkft_range){f16.rows, elements * 2} : (vkft_range){0};
}

/* Columns of Y, and the length of its sums. */
static inline uint32_t vkft_product_n(const vkft_product *p)
{
    return p->transposed ? p->w->rows : p->w->cols;
}

static inline uint32_t vkft_product_k(const vkft_product *p)
{
    return p->transposed ? p->w->cols : p->w->rows;
}

static inline uint32_t vkft_product_ldx(const vkft_product *p)
{
    return p->ldx ? p->ldx : vkft_product_k(p);
}

static inline uint32_t vkft_product_ldy(const vkft_product *p)
{
    return p->ldy ? p->ldy : vkft_product_n(p);
}

/* Whether W is better read as it is stored; of groups the host knows the average alone. */
static inline bool vkft_product_has_few_rows(const vkft_product *p)
{
    return p->M <= (uint64_t)DIRECT_MAX_ROWS * (p->groups ? p->groups->groups : 1);
}

static inline vkft_product_size vkft_product_size_of(const vkft_product *p)
{
    uint64_t N = vkft_product_n(p);
    return vkft_product_has_few_rows(p)                                      ? VKFT_PRODUCT_FEW
           : N <= 64                                                         ? VKFT_PRODUCT_NARROW
           : p->M * N <= 512ull * 1024 * (p->groups ? p->groups->groups : 1) ? VKFT_PRODUCT_SMALL
                                                                             : VKFT_PRODUCT_LARGE;
}

/* Whether runs of 8 of W are as fetch8 wants them (shaders/matmul/storage/weight.glsl). */
static inline bool vkft_product_has_runs(const vkft_product *p)
{
    return p->w->part[VKFT_PART_DATA] % 16 == 0 && p->w->cols % 8 == 0;
}

/* Whether rows of X, and runs of 8 of W, begin at multiples of 16 bytes. */
static inline bool vkft_product_is_aligned(const vkft_product *p)
{
    return p->X % 16 == 0 && vkft_product_ldx(p) % 4 == 0 && vkft_product_k(p) % 4 == 0 && vkft_product_has_runs(p);
}

/* Tiles of `rows` rows, none with rows of two groups, for M of the product's rows: of a launch, which is for groups of
 * any sizes (expert_tiles.glsl), and of these as many as are likely to have rows. */
uint32_t vkft_row_tiles(const vkft_product *p, uint32_t M, uint32_t rows);
uint32_t vkft_likely_row_tiles(const vkft_product *p, uint32_t M, uint32_t rows);

/* The most tiles of `rows` rows that so many groups can have: each begins with a new tile of GROUP_TILE rows. */
uint32_t vkft_group_tiles(const vkft_grouping *grouping, uint32_t groups, uint32_t rows);

#endif
