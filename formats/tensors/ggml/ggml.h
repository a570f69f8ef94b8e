/* The block types of ggml, in which GGUF files keep weights: decoding on the CPU. A row is a whole number of blocks.
 *
 * Source: ggml-quants.c, dequantize_row_*; the results are the same to the last bit. Test: test_ggml
 */
#ifndef VKFT_GGML_H
#define VKFT_GGML_H

#include "formats/tensors/dtype.h"

/* As vkft_to_f32, of block types, too: n is a multiple of the type's block then. src needs no alignment. */
void vkft_ggml_to_f32(vkft_dtype dtype, const uint8_t *src, uint64_t n, float *y);

#endif
