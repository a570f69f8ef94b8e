/* Products of a linear layer with its matrix, or of the experts of a mixture with theirs.
 *
 * One description serves both: a plain product is one group of all rows. Everything here only records launches, and
 * none where ctx->cmds is NULL (memory planning). How a product is computed is the choice of gemm.h.
 */
#ifndef VKFT_PRODUCT_H
#define VKFT_PRODUCT_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/commands.h"
#include "host/engine/matmul/weight.h"

typedef struct vkft_matmul_ctx {
    const vkft_device *dev; /* after vkft_gemm_setup; may be NULL when cmds is */
    vkft_commands *cmds;
    uint64_t scratch; /* address of at least vkft_product_scratch_bytes() */
    uint64_t scratch_bytes;
} vkft_matmul_ctx;

/* Rows in groups, contiguous, each group with a matrix of its own. Where each group begins only the device knows, so a
 * launch is sized for the worst case. */
typedef struct vkft_grouping {
    uint32_t groups, rows; /* rows of all groups together */
    uint32_t max_rows;     /* that one group can have */
    uint64_t table;        /* address of u32 [2 (groups + 1)], see struct grouped_args */
} vkft_grouping;

/* X [M,K] as products in f16 read it: rows of f16, each scaled by a power of two, and the factors that undo
 * it (rows_f16 in shaders/matmul/args.h). */
typedef struct vkft_f16_rows {
    uint64_t rows, inverse; /* addresses; 0: there are none */
    uint32_t stride;        /* elements from one row to the next */
} vkft_f16_rows;

/* Elements of a row with its padding; and bytes of the factors, which lie before the rows, and of both. */
uint32_t vkft_f16_row_length(uint32_t K);
uint64_t vkft_f16_inverse_bytes(uint32_t M);
uint64_t vkft_f16_rows_bytes(uint32_t M, uint32_t K);

/* What a LoRA adds: scale * Z[M,r] op(V), op(V) being V^T of V [N,r] or V of V [r,N], as the product's W; all in f32.
 */
typedef struct vkft_branch {
    uint64_t Z, V; /* addresses, contiguous */
    uint32_t r;    /* 0: nothing */
    float scale;
} vkft_branch;

/* Y[M,N] = R + scale * X[M,K] op(W), op(W) [K,N] being W^T of W [N,K] or W of W [K,N]. */
typedef struct vkft_product {
    const vkft_weight *w;        /* with groups: of the first one, for storage type and shape */
    const vkft_grouping *groups; /* NULL: w multiplies all rows; else M is groups->rows */
    uint64_t weights;            /* with groups: address of struct weight_ref [groups] */
    bool transposed;             /* op(W) = W^T */
    uint32_t M;
    uint64_t X, R, Y;  /* addresses; R may be Y, 0: nothing is added. With groups R is 0 or Y */
    vkft_f16_rows f16; /* X once more, for products in f16; 0: they convert X themselves */
    uint32_t ldx, ldy; /* row strides of X, and of R and Y; 0: contiguous */
    float scale;
    vkft_branch branch; /* is added to Y, in f16 where the product is; without groups, and where W may be in f16 */
    bool exact;         /* f32 operands are not rounded, whatever type products are computed in */
} vkft_product;

void vkft_multiply(const vkft_matmul_ctx *ctx, const vkft_product *product);

/* Scratch that makes products with a weight of this shape possible at any M; the largest over all weights is enough.
 * Depends on the shape alone, so that plans on another machine agree. */
uint64_t vkft_product_scratch_bytes(uint32_t rows, uint32_t cols);

/* The gradient of a matrix: Y[M,N] = R + scale * X[K,M]^T Z[K,N], f32 but for X or Z, Z and Y contiguous. Long K is
 * split over scratch and summed in a fixed order. With groups: Y_g += scale * X_g^T Z_g, X_g [.,M] and Z_g [.,N] being
 * group g's rows; K is groups->rows, Y the address of struct weight_ref [groups], and R is not used. */
typedef struct vkft_outer_product {
    const vkft_grouping *groups;
    uint32_t M, N, K;
    uint64_t X, Z, R, Y;
    vkft_f16_rows X16, Z16; /* without groups: one of them in f16, and not in f32; 0: both are in f32 */
    uint32_t ldx;           /* 0: contiguous */
    float scale;
} vkft_outer_product;

void vkft_multiply_outer(const vkft_matmul_ctx *ctx, const vkft_outer_product *product);

#endif
