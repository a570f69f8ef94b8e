/* Products of groups of rows, each group with a matrix of its own: the experts of a mixture.
 *
 * Rows of one group lie one behind the other. Where each group begins only the device knows (shaders/matmul/args.h:
 * grouped_args), so a launch is as large as it could have to be. Everything here only records launches.
 */
#ifndef VKFT_GROUPED_H
#define VKFT_GROUPED_H

#include "host/engine/matmul/matmul.h"

typedef struct vkft_grouping {
    uint32_t groups, rows; /* rows of all groups together */
    uint32_t most;         /* rows that one group can have */
    uint64_t table;        /* address of u32 [2 (groups + 1)] */
} vkft_grouping;

/* Matrices of one type and shape. */
typedef struct vkft_group_weights {
    vkft_storage storage;
    uint32_t rows, cols;
    uint64_t table; /* address of struct weight_ref [groups] */
} vkft_group_weights;

/* Chooses workgroup shapes for this device; operands as in vkft_matmul_setup. */
void vkft_grouped_setup(vkft_device *dev, vkft_dtype operands);

/* Y[M, w.rows] = (add ? Y : 0) + scale * X[M, w.cols] W_g^T, M = grouping.rows. */
void vkft_grouped_nt(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint64_t X, const vkft_group_weights *w,
                     uint64_t Y, bool add, float scale);
/* Y[M, w.cols] = (add ? Y : 0) + scale * X[M, w.rows] W_g. */
void vkft_grouped_nn(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint64_t X, const vkft_group_weights *w,
                     uint64_t Y, bool add, float scale);
/* Y_g[M,N] += scale * X_g^T Z_g, X_g [.,M] and Z_g [.,N] being group g's rows of X and Z; y: address of struct
 * weight_ref [groups]. */
void vkft_grouped_tn(const vkft_matmul_ctx *ctx, const vkft_grouping *grouping, uint32_t M, uint32_t N, uint64_t X,
                     uint64_t Z, uint64_t y, float scale);

#endif
