/* Types of the elements of arrays in checkpoints and adapters, and exact conversions between the floating-point ones.
 * How the program keeps a weight of its own is another thing: storage.h. */
#ifndef VKFT_DTYPE_H
#define VKFT_DTYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

typedef enum vkft_dtype {
    VKFT_F32,
    VKFT_F16,
    VKFT_BF16,
    VKFT_F64,
    VKFT_U8,
    VKFT_I8,
    VKFT_I16,
    VKFT_I32,
    VKFT_U32,
    VKFT_I64,
    VKFT_BOOL,
    VKFT_F8_E4M3, /* codes without a meaning of their own here: those of quantized weights */
    /* ggml's: blocks of elements with their scales, see ggml/ggml.h */
    VKFT_Q4_0,
    VKFT_Q4_1,
    VKFT_Q5_0,
    VKFT_Q5_1,
    VKFT_Q8_0,
    VKFT_Q2_K,
    VKFT_Q3_K,
    VKFT_Q4_K,
    VKFT_Q5_K,
    VKFT_Q6_K,
    VKFT_IQ4_NL,
    VKFT_IQ4_XS,
    VKFT_MXFP4,
    VKFT_DTYPE_COUNT
} vkft_dtype;

const char *vkft_dtype_name(vkft_dtype dtype); /* "F32" as safetensors spells it */
uint32_t vkft_dtype_bits(vkft_dtype dtype);    /* bits per element; 0: it has none of its own, see block types */
/* Elements that are stored together: 1, or the size of ggml's block. */
uint32_t vkft_dtype_block(vkft_dtype dtype);
/* Of whole blocks; of elements, rounded up to them. */
uint64_t vkft_dtype_bytes(vkft_dtype dtype, uint64_t elements);
/* f32 <-> f16/bf16, round to nearest even; overflow gives infinity, NaN stays NaN. */
float vkft_f16_to_f32(uint16_t bits);
float vkft_bf16_to_f32(uint16_t bits);
uint16_t vkft_f32_to_f16(float x);
uint16_t vkft_f32_to_bf16(float x);
/* dst[i] = (float) src[i]; dtype is one of F32 F16 BF16 F64. */
void vkft_to_f32(vkft_dtype dtype, const void *src, uint64_t n, float *dst);
/* The reverse, to F32 F16 or BF16. */
void vkft_from_f32(vkft_dtype dtype, const float *src, uint64_t n, void *dst);

#endif
