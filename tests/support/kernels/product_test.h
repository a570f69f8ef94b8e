/* What tests of matrix products share: a device, guarded buffers, and products of a trial's shape against double
 * precision.
 *
 * Tolerance: an f32 sum of K products in any order, with or without fused multiply-add, differs from the exact one by
 * at most (K + 1) u sum|x w| (1 + O(Ku)), u = 2^-24; scale and R add two roundings of results no larger than that sum
 * and |R|. Where matrix cores multiply, the exact sum is that of operands rounded to f16 once, which have products of
 * at most 22 bits, so the same holds; a row's power of two is exact.
 */
#ifndef VKFT_PRODUCT_TEST_H
#define VKFT_PRODUCT_TEST_H

#include "host/doctor/reference/matmul.h"
#include "host/engine/matmul/gemm.h"
#include "tests/support/kernels/kernel_test.h"

#define PRODUCT_BUFFERS 16

typedef struct product_fixture {
    vkft_device *dev;
    vkft_guarded buffers[PRODUCT_BUFFERS];
    uint32_t count;
    vkft_dtype operands; /* of products with quantized weights */
} product_fixture;

typedef enum product_sum { NOTHING, ANOTHER, ITSELF } product_sum; /* what R is */

typedef struct product_trial {
    uint32_t M, out, in;   /* W is [out, in] */
    bool transposed;       /* NT: X [M,in], Y [M,out]; else NN: X [M,out], Y [M,in] */
    uint32_t pad_x, pad_y; /* row strides beyond the columns */
    product_sum R;
    float scale;
    uint64_t scratch_bytes;
    bool exact;
    uint32_t r; /* of a branch, which is added, too */
} product_trial;

/* cmocka group setup and teardown; the device is $VKFT_DEVICE or the best one. */
int product_setup(void **state);
int product_teardown(void **state);

/* The operands of products with quantized weights from now on. */
void product_set_operands(product_fixture *f, vkft_dtype operands);

/* Buffers that product_release checks and frees. data NULL: NaN. */
vkft_guarded *product_place(product_fixture *f, const void *data, size_t bytes);
vkft_weight product_place_weight(product_fixture *f, const vkft_reference_weight *w);
void product_take(const product_fixture *f, const vkft_guarded *g, float *data);
void product_release(product_fixture *f);

/* Whether this product is computed in f16. */
bool product_is_in_f16(const product_fixture *f, const vkft_reference_weight *w, const product_trial *t);

/* Y = R + scale X op(W), twice: within the tolerance, the padding as it was, the same bits again. */
void product_run(product_fixture *f, const vkft_reference_weight *w, const product_trial *t);

/* A trial both ways, with a weight of its own and all the scratch that it wants. */
void product_run_both_ways(product_fixture *f, vkft_storage storage, product_trial t, uint64_t seed);

#endif
