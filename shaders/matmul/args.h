/* Arguments of the kernels of matrix products; shaders/core/args.h says how to read them. */
#ifndef VKFT_MATMUL_ARGS_H
#define VKFT_MATMUL_ARGS_H

#include "shaders/core/args.h"

/* A weight matrix as it is stored: its parts (formats/tensors/storage.h), which the file of its type in
 * shaders/matmul/storage reads. Readable up to a multiple of 4 bytes. Grouped products find theirs in tables of these,
 * one for each group. */
struct weight_ref {
    PLACE data;
    PLACE scales;
    PLACE super;
    float offset;
    uint cols; /* row length */
};

/* matmul_nt: Y[M,N] = R + scale * X[M,K] W[N,K]^T   (R when add != 0; R may be Y); meant for few rows
 * matmul_nn: Y[M,N] = R + scale * X[M,K] W[K,N]     the same
 * X, R, Y f32 with row strides ldx, ldy (R as Y). W in the kernel's storage type. */
struct matmul_args {
    STRUCT(weight_ref) W;
    ADDR(F32) X;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint M, N, K;
    uint ldx, ldy;
    uint add;
    float scale;
};

/* matmul_tile_nt, matmul_tile_nn: the same products, or slice s = workgroup id y of their sum over K, `slice` long (a
 * multiple of 8); element (m,n) of Y and R lies at s*M*N + m*ldy + n.
 * grouped_tile_nt, grouped_tile_nn: grouped_nt's and grouped_nn's products, M being the rows of all groups. */
struct matmul_tile_args {
    STRUCT(weight_ref) W;
    ADDR(F32) X;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint M, N, K;
    uint ldx, ldy;
    uint slice;
    uint add;
    float scale;
    /* in place of W: */
    ADDR(U32) weights; /* weight_ref [groups] */
    ADDR(U32) group;   /* as in grouped_args */
    uint groups;
};

/* grouped_nt: Y[m] = R[m] + scale * X[m] W_g^T for the rows m of each group g, W_g [N,K]   (R when add != 0; R may be
 * Y) grouped_nn: Y[m] = R[m] + scale * X[m] W_g, W_g [K,N]                                    the same X [M,K], R and Y
 * [M,N] f32 with row strides ldx, ldy. group is u32 [groups + 1][2]: {first row, first tile}. Group g has rows
 * [group[g].row, group[g+1].row), cut into tiles of GROUP_TILE rows numbered from group[g].tile. The last entry holds
 * the totals. The launch is for `groups` groups from `first` on; tiles: upper bound of their tiles of the kernel's ROWS
 * rows. */
struct grouped_args {
    ADDR(F32) X;
    ADDR(F32) R;
    ADDR(F32) Y;
    ADDR(U32) weights; /* weight_ref [groups] */
    ADDR(U32) group;
    uint tiles, first, groups;
    uint N, K;
    uint ldx, ldy;
    uint add;
    float scale;
};
#define GROUP_TILE 32 /* a multiple of the kernels' ROWS */

/* panel: W's part of n columns and k rows as f32 [ceil(n/tile)][ceil(k/8)][tile][8], the layout that matmul_panel
 * reads. panel_nt takes W^T: element (k, n) of the panel is W[row+n, column+k]; panel_nn: W[row+k, column+n]. */
struct panel_args {
    STRUCT(weight_ref) W;
    ADDR(F32) P;
    uint row, column;
    uint n, k;
    uint tile; /* a multiple of 8 */
};

/* matmul_panel: Y[M,N] = R + scale * X[M,K] P, P a panel with n = N, k = K. */
struct matmul_panel_args {
    ADDR(F32) X;
    ADDR(F32) P;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint M, N, K;
    uint ldx, ldy;
    uint add;
    float scale;
};

/* grouped_panel: a panel for group first + workgroup id y, if it has rows; consecutive panels start `stride` * 8
 * floats apart. */
struct grouped_panel_args {
    ADDR(U32) weights; /* weight_ref [groups] */
    ADDR(U32) group;
    ADDR(F32) P;
    uint row, column;
    uint n, k;
    uint tile;
    uint first, stride;
};

/* grouped_matmul_panel: grouped_nt's product with such panels. */
struct grouped_matmul_panel_args {
    ADDR(F32) X;
    ADDR(F32) P;
    ADDR(F32) R;
    ADDR(F32) Y;
    ADDR(U32) group;
    uint tiles, first, groups;
    uint stride;
    uint N, K;
    uint ldx, ldy;
    uint add;
    float scale;
};

/* rows_f16: Y[m,k] = f16(X[m,k] * 2^e), 2^(14-e) the power of two below the largest finite |X[m,:]|; inverse[m] = 2^-e.
 * X [M,K] f32 with row stride ldx, Y f16 with row stride ldy, a multiple of 8, and zeros from K on.
 * rows_f16_in_place: Y is X, and a row of Y begins where X's does; K = ldy a multiple of COOP_STEP.
 * gather_rows_f16: the same of copy[m,k] = X[index[m],k], which is written, too; copy is contiguous. */
struct rows_f16_args {
    ADDR(F32) X;
    ADDR(U32) Y;
    ADDR(F32) inverse;
    uint K;
    uint ldx, ldy;
    ADDR(U32) index; /* gather_rows_f16 */
    ADDR(F32) copy;  /* gather_rows_f16 */
};

/* rows_f32: Y[m,k] = inverse[m] * X[m,k], X and inverse as rows_f16 makes them, Y [M,K] contiguous. */
struct rows_f32_args {
    ADDR(U32) X;
    ADDR(F32) inverse;
    ADDR(F32) Y;
    uint K;
    uint ldx;
};

/* matmul_coop, matmul_dot: Y[m,n] = R + scale * inverse[m] * sum over k in slice s of X[m,k] op(W)[k,n]; slice s =
 * workgroup id y holds `slice` of the K, a multiple of COOP_STEP; slices together are K rounded up to such a multiple.
 * X and inverse as rows_f16 makes them, ldx a multiple of COOP_STEP. R, Y f32 with row stride ldy; slice s of Y begins
 * at s*M*ldy. R when add != 0 (R may be Y). */
#define F16_PRODUCT_ARGS                                                                                               \
    STRUCT(weight_ref) W;                                                                                              \
    ADDR(U32) X;                                                                                                       \
    ADDR(F32) inverse;                                                                                                 \
    ADDR(F32) R;                                                                                                       \
    ADDR(F32) Y;                                                                                                       \
    uint M, N, K;                                                                                                      \
    uint ldx, ldy;                                                                                                     \
    uint slice;                                                                                                        \
    uint add;                                                                                                          \
    float scale;

/* matmul_coop also adds a branch, as a LoRA's: slice 0 of Y gets + scale * branch * sum over k < r of Z[m,k]
 * op(V)[k,n], Z f32 [M,r], V f32 [N,r] where W is [N,K], else [r,N]; r 0: none. */
struct matmul_coop_args {
    F16_PRODUCT_ARGS
    ADDR(F32) Z;
    ADDR(F32) V;
    uint r;
    float branch;
};

/* grouped_coop, grouped_dot: a matrix for each group of rows in place of W; X and Y begin with row `first` of all
 * groups' rows. */
struct grouped_coop_args {
    F16_PRODUCT_ARGS
    ADDR(U32) weights; /* weight_ref [groups] */
    ADDR(U32) group;   /* as in grouped_args */
    uint groups, first;
};
#define COOP_STEP 32 /* of K that are in shared memory at a time */

/* matmul_tn: Y[m,n] = R + scale * sum over k in slice s of X[k,m] Z[k,n], m < M, n < N; slice s = workgroup id y holds
 * `slice` of the K rows. X, Z with row strides ldx, ldz; element (m,n) of Y and R lies at s*M*N + m*row + n*column. R
 * when add != 0 (R may be Y).
 * matmul_outer: the same.
 * matmul_tn_f16: the same with Z and inverse as rows_f16 makes them; matmul_outer_f16: with X. */
struct matmul_tn_args {
    ADDR(F32) X;
    ADDR(F32) Z;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint M, N, K;
    uint ldx, ldz;
    uint row, column;
    uint slice;
    uint add;
    float scale;
    ADDR(F32) inverse;
};

/* grouped_tn, grouped_outer: Y_g[m,n] += scale * sum over the rows k of group g = workgroup id y of X[k,m] Z[k,n];
 * element (m,n) of Y_g lies at m*row + n*column; Y: weight_ref [groups], group as in grouped_args. */
struct grouped_tn_args {
    ADDR(F32) X;
    ADDR(F32) Z;
    ADDR(U32) Y;
    ADDR(U32) group;
    uint M, N;
    uint ldx, ldz;
    uint row, column;
    float scale;
};

/* matmul_sum: Y[i] = R[i] + scale * sum over s < parts of partial[s,i], in order; i < n. R when add != 0 (R may be Y).
 */
struct matmul_sum_args {
    ADDR(F32) partial;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint n, parts;
    uint add;
    float scale;
};

#endif
