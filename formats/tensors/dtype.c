/* Element types and conversions between the floating-point ones.
 *
 * Written with integer operations on the bits and without branches, so that the loops vectorize for any target and the
 * results do not depend on the rounding mode or on hardware conversions.
 */
#include "formats/tensors/dtype.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    uint32_t bits, block, block_bytes;
} dtypes[VKFT_DTYPE_COUNT] = {
    [VKFT_F32] = {"F32", 32, 1, 4},      [VKFT_F16] = {"F16", 16, 1, 2},        [VKFT_BF16] = {"BF16", 16, 1, 2},
    [VKFT_F64] = {"F64", 64, 1, 8},      [VKFT_U8] = {"U8", 8, 1, 1},           [VKFT_I8] = {"I8", 8, 1, 1},
    [VKFT_I16] = {"I16", 16, 1, 2},      [VKFT_I32] = {"I32", 32, 1, 4},        [VKFT_U32] = {"U32", 32, 1, 4},
    [VKFT_I64] = {"I64", 64, 1, 8},      [VKFT_BOOL] = {"BOOL", 8, 1, 1},       [VKFT_F8_E4M3] = {"F8_E4M3", 8, 1, 1},
    [VKFT_Q4_0] = {"Q4_0", 0, 32, 18},   [VKFT_Q4_1] = {"Q4_1", 0, 32, 20},     [VKFT_Q5_0] = {"Q5_0", 0, 32, 22},
    [VKFT_Q5_1] = {"Q5_1", 0, 32, 24},   [VKFT_Q8_0] = {"Q8_0", 0, 32, 34},     [VKFT_Q2_K] = {"Q2_K", 0, 256, 84},
    [VKFT_Q3_K] = {"Q3_K", 0, 256, 110}, [VKFT_Q4_K] = {"Q4_K", 0, 256, 144},   [VKFT_Q5_K] = {"Q5_K", 0, 256, 176},
    [VKFT_Q6_K] = {"Q6_K", 0, 256, 210}, [VKFT_IQ4_NL] = {"IQ4_NL", 0, 32, 18}, [VKFT_IQ4_XS] = {"IQ4_XS", 0, 256, 136},
    [VKFT_MXFP4] = {"MXFP4", 0, 32, 17},
};

const char *vkft_dtype_name(vkft_dtype dtype)
{
    return (unsigned)dtype < VKFT_DTYPE_COUNT ? dtypes[dtype].name : "?";
}

uint32_t vkft_dtype_bits(vkft_dtype dtype)
{
    return (unsigned)dtype < VKFT_DTYPE_COUNT ? dtypes[dtype].bits : 0;
}

uint32_t vkft_dtype_block(vkft_dtype dtype)
{
    return dtypes[dtype].block;
}

uint64_t vkft_dtype_bytes(vkft_dtype dtype, uint64_t elements)
{
    const uint32_t block = dtypes[dtype].block;
    return (elements / block + (elements % block != 0)) * dtypes[dtype].block_bytes;
}

static inline uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* The exponent is moved by a multiplication with 2^112, which also normalizes subnormal numbers exactly. */
static inline float half_to_float(uint16_t h)
{
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
    uint32_t scaled = bits_of(float_of(magnitude) * float_of((127u + 112u) << 23));
    uint32_t special = magnitude | 0x7f800000; /* infinity and NaN keep their mantissa */
    uint32_t is_special = (uint32_t)0 - (uint32_t)(magnitude >= 0x0f800000);
    return float_of(((special & is_special) | (scaled & ~is_special)) | (uint32_t)(h & 0x8000) << 16);
}

static inline uint16_t float_to_half(float x)
{
    uint32_t u = bits_of(x), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    /* Normal results: round the 13 dropped bits to nearest even, then rebias; a carry may run into the exponent, up to
     * infinity. */
    uint32_t normal = (a + 0xfff + (a >> 13 & 1) - (112u << 23)) >> 13;
    /* Subnormal results, multiples of 2^-24: adding 0.5 puts the last bit of an f32 there, and the hardware rounds to
     * nearest even. */
    uint32_t subnormal = bits_of(float_of(a) + 0.5f) - bits_of(0.5f);
    uint32_t result = a < 0x38800000 ? subnormal : normal;
    result = a >= 0x477ff000 ? 0x7c00 : result;                    /* 65520 and above, infinity included */
    result = a > 0x7f800000 ? 0x7e00 | (a >> 13 & 0x3ff) : result; /* NaN stays NaN, quiet */
    return (uint16_t)(result | sign);
}

static inline float brain_to_float(uint16_t b)
{
    return float_of((uint32_t)b << 16);
}

static inline uint16_t float_to_brain(float x)
{
    uint32_t u = bits_of(x);
    uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16;
    return (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? u >> 16 | 0x40 : rounded);
}

float vkft_f16_to_f32(uint16_t bits)
{
    return half_to_float(bits);
}

float vkft_bf16_to_f32(uint16_t bits)
{
    return brain_to_float(bits);
}

uint16_t vkft_f32_to_f16(float x)
{
    return float_to_half(x);
}

uint16_t vkft_f32_to_bf16(float x)
{
    return float_to_brain(x);
}

/* Source and destination bytes need no alignment: tensors in other programs' files have none to rely on. */
void vkft_to_f32(vkft_dtype dtype, const void *src, uint64_t n, float *dst)
{
    const uint8_t *bytes = src;
    switch (dtype) {
    case VKFT_F32: memcpy(dst, src, (size_t)n * sizeof *dst); break;
    case VKFT_F16:
        for (uint64_t i = 0; i < n; i++) {
            uint16_t h;
            memcpy(&h, bytes + 2 * i, sizeof h);
            dst[i] = half_to_float(h);
        }
        break;
    case VKFT_BF16:
        for (uint64_t i = 0; i < n; i++) {
            uint16_t b;
            memcpy(&b, bytes + 2 * i, sizeof b);
            dst[i] = brain_to_float(b);
        }
        break;
    case VKFT_F64:
        for (uint64_t i = 0; i < n; i++) {
            double x;
            memcpy(&x, bytes + 8 * i, sizeof x);
            dst[i] = (float)x;
        }
        break;
    default: assert(0 && "vkft_to_f32: not a floating-point type");
    }
}

void vkft_from_f32(vkft_dtype dtype, const float *src, uint64_t n, void *dst)
{
    uint8_t *bytes = dst;
    switch (dtype) {
    case VKFT_F32: memcpy(dst, src, (size_t)n * sizeof *src); break;
    case VKFT_F16:
        for (uint64_t i = 0; i < n; i++) {
            uint16_t h = float_to_half(src[i]);
            memcpy(bytes + 2 * i, &h, sizeof h);
        }
        break;
    case VKFT_BF16:
        for (uint64_t i = 0; i < n; i++) {
            uint16_t b = float_to_brain(src[i]);
            memcpy(bytes + 2 * i, &b, sizeof b);
        }
        break;
    default: assert(0 && "vkft_from_f32: neither F32, F16 nor BF16");
    }
}
