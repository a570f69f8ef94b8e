/* Products of a linear layer: which kernel, which panels, whether a weight is decoded to scratch first.
 *
 * The choice depends on the device and on M (tokens): few rows multiply straight from the stored type, many rows decode
 * a panel of W to f32 once and multiply that. Everything here only records launches; ctx->cmds may be NULL (memory
 * planning).
 */
#ifndef VKFT_MATMUL_H
#define VKFT_MATMUL_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/commands.h"
#include "host/engine/matmul/weight.h"

typedef struct vkft_matmul_ctx {
    const vkft_device *dev; /* may be NULL when cmds is */
    vkft_commands *cmds;
    uint64_t scratch; /* address of at least vkft_matmul_scratch_bytes() */
    uint64_t scratch_bytes;
} vkft_matmul_ctx;

/* Chooses tile shapes for this device, once, after vkft_device_open. operands: what products with quantized
 * weights round the decoded weights, and what they are multiplied by, to: F32 (nothing) or BF16; sums are f32. Like
 * bnb_4bit_compute_dtype, but bitsandbytes also rounds the sums; we do not. */
void vkft_matmul_setup(vkft_device *dev, vkft_dtype operands);

/* Scratch that makes products with this weight possible at any M; the largest over all weights is enough.
 * Depends only on the weight's shape (not on a device), so that plans on another machine agree: f32 goes through panels
 * too, since their layout is what makes the product fast. */
uint64_t vkft_matmul_scratch_bytes(uint32_t rows, uint32_t cols);

/* Y[M, w.rows] = R + scale * X[M, w.cols] W^T.   R: address, 0 for none; may be Y. ldx, ldy: row strides of X and of Y
 * and R. */
void vkft_matmul_nt(const vkft_matmul_ctx *ctx, uint32_t M, uint64_t X, uint32_t ldx, const vkft_weight *w, uint64_t R,
                    uint64_t Y, uint32_t ldy, float scale);
/* Y[M, w.cols] = R + scale * X[M, w.rows] W. */
void vkft_matmul_nn(const vkft_matmul_ctx *ctx, uint32_t M, uint64_t X, uint32_t ldx, const vkft_weight *w, uint64_t R,
                    uint64_t Y, uint32_t ldy, float scale);
/* Y[M,N] = R + scale * X[K,M]^T Z[K,N], all f32, contiguous Z and Y. Long K is split over scratch and summed in a fixed
 * order. */
void vkft_matmul_tn(const vkft_matmul_ctx *ctx, uint32_t M, uint32_t N, uint32_t K, uint64_t X, uint32_t ldx,
                    uint64_t Z, uint64_t R, uint64_t Y, float scale);

#endif
