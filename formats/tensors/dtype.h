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
    VKFT_DTYPE_COUNT
} vkft_dtype;

const char *vkft_dtype_name(vkft_dtype dtype); /* "F32" as safetensors spells it */
uint32_t vkft_dtype_bits(vkft_dtype dtype);    /* bits per element */
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
