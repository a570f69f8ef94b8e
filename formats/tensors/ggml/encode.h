/* Encoding f32 values in block types of ggml, as its reference functions do without an importance matrix: the same
 * bytes where its build does not fuse multiplications with additions.
 *
 * Source: ggml-quants.c, quantize_row_*_ref. Test: test_ggml_encode
 */
#ifndef VKFT_GGML_ENCODE_H
#define VKFT_GGML_ENCODE_H

#include "formats/tensors/dtype.h"

/* n values, a multiple of the type's block; dtype: F32, F16, BF16, Q4_0, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K or Q6_K. dst
 * needs no alignment. Values are finite. */
void vkft_ggml_from_f32(vkft_dtype dtype, const float *x, uint64_t n, uint8_t *dst);

#endif
