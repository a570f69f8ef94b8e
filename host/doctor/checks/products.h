/* Matrix products by each strategy that the device can use, and gradients of matrices. vkft_gemm_setup comes before. */
#ifndef VKFT_CHECKS_PRODUCTS_H
#define VKFT_CHECKS_PRODUCTS_H

#include "host/doctor/checks/lab.h"
#include "host/engine/matmul/gemm.h"

typedef struct vkft_product_check {
    uint32_t M, out, in;   /* W is [out,in]; M is of all groups together */
    uint32_t pad_x, pad_y; /* row strides beyond the columns */
    bool add;              /* to what Y holds */
    float scale;
    uint32_t r; /* of a branch, where the strategy adds it */
} vkft_product_check;

/* Y (+)= scale X op(W) + 0.5 Z op(V) by this strategy; grouped: with a matrix for each of three groups of rows, one of
 * them empty. */
void vkft_check_product(vkft_lab *lab, const vkft_strategy *strategy, vkft_gemm_class class,
                        const vkft_product_check *check);
/* Y += scale X^T Z, X [K,M] and Z [K,N]; grouped likewise. in_f16: 1: X is rows in f16; 2: Z is; 0: neither. */
void vkft_check_outer(vkft_lab *lab, uint32_t M, uint32_t N, uint32_t K, bool grouped, int in_f16);

#endif
