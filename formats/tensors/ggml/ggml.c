/* Decoding of ggml's block types. The order of the multiplications is ggml's, and no multiplication is fused with an
 * addition, so that every bit is the same. */
#include "formats/tensors/ggml/ggml.h"

#include <string.h>

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t mxfp4_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}; /* twice e2m1 */

static inline uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t u32_at(const uint8_t *p)
{
    return (uint32_t)u16_at(p) | (uint32_t)u16_at(p + 2) << 16;
}

static inline float f16_at(const uint8_t *p)
{
    return vkft_f16_to_f32(u16_at(p));
}

/* Blocks of 32: codes of 4 bits, the first half of the elements in the low ones. */

static void q4_0(const uint8_t *b, float *y)
{
    const float d = f16_at(b);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)((b[2 + j] & 15) - 8) * d;
        y[j + 16] = (float)((b[2 + j] >> 4) - 8) * d;
    }
}

static void q4_1(const uint8_t *b, float *y)
{
    const float d = f16_at(b), m = f16_at(b + 2);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(b[4 + j] & 15) * d + m;
        y[j + 16] = (float)(b[4 + j] >> 4) * d + m;
    }
}

/* The fifth bits are apart, one per element. */
static inline int five_low(const uint8_t *codes, uint32_t high, int j)
{
    return (codes[j] & 15) | (int)((high >> j & 1) << 4);
}

static inline int five_high(const uint8_t *codes, uint32_t high, int j)
{
    return codes[j] >> 4 | (int)((high >> (j + 16) & 1) << 4);
}

static void q5_0(const uint8_t *b, float *y)
{
    const float d = f16_at(b);
    const uint32_t high = u32_at(b + 2);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)(five_low(b + 6, high, j) - 16) * d;
        y[j + 16] = (float)(five_high(b + 6, high, j) - 16) * d;
    }
}

static void q5_1(const uint8_t *b, float *y)
{
    const float d = f16_at(b), m = f16_at(b + 2);
    const uint32_t high = u32_at(b + 4);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)five_low(b + 8, high, j) * d + m;
        y[j + 16] = (float)five_high(b + 8, high, j) * d + m;
    }
}

static void q8_0(const uint8_t *b, float *y)
{
    const float d = f16_at(b);
    for (int j = 0; j < 32; j++)
        y[j] = (float)(int8_t)b[2 + j] * d;
}

static void iq4_nl(const uint8_t *b, float *y)
{
    const float d = f16_at(b);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)iq4_values[b[2 + j] & 15];
        y[j + 16] = d * (float)iq4_values[b[2 + j] >> 4];
    }
}

/* The scale is a power of two, 2^(e-128): half of e8m0's, since the values are doubled. */
static void mxfp4(const uint8_t *b, float *y)
{
    const uint32_t bits = b[0] < 2 ? 0x00200000u << b[0] : (uint32_t)(b[0] - 1) << 23;
    float d;
    memcpy(&d, &bits, sizeof d);
    for (int j = 0; j < 16; j++) {
        y[j] = (float)mxfp4_values[b[1 + j] & 15] * d;
        y[j + 16] = (float)mxfp4_values[b[1 + j] >> 4] * d;
    }
}

/* Blocks of 256, cut into groups with scales of their own. */

/* Scale and minimum of group i of 8, 6 bits each, in 12 bytes. */
static inline void scale_min(const uint8_t *s, int i, int *scale, int *min)
{
    *scale = i < 4 ? s[i] & 63 : (s[i + 4] & 15) | (s[i - 4] >> 6) << 4;
    *min = i < 4 ? s[i + 4] & 63 : s[i + 4] >> 4 | (s[i] >> 6) << 4;
}

static void q2_k(const uint8_t *b, float *y)
{
    const uint8_t *scales = b, *codes = b + 16;
    const float d = f16_at(b + 80), min = f16_at(b + 82);
    for (int i = 0; i < 16; i++) { /* groups of 16 */
        const float dl = d * (float)(scales[i] & 15), ml = min * (float)(scales[i] >> 4);
        const uint8_t *q = codes + i / 8 * 32 + i % 2 * 16;
        for (int l = 0; l < 16; l++)
            y[16 * i + l] = dl * (float)(q[l] >> (i % 8 / 2 * 2) & 3) - ml;
    }
}

static void q3_k(const uint8_t *b, float *y)
{
    const uint8_t *high = b, *codes = b + 32, *s = b + 96;
    const float d = f16_at(b + 108);
    for (int i = 0; i < 16; i++) { /* groups of 16; scales of 6 bits, 4 and 2 of them apart */
        const int scale = (i < 8 ? s[i] & 15 : s[i - 8] >> 4) | (s[8 + i % 4] >> (i / 4 * 2) & 3) << 4;
        const float dl = d * (float)(scale - 32);
        const uint8_t *q = codes + i / 8 * 32 + i % 2 * 16, *h = high + i % 2 * 16;
        for (int l = 0; l < 16; l++)
            y[16 * i + l] = dl * (float)((q[l] >> (i % 8 / 2 * 2) & 3) - (h[l] >> (i / 2) & 1 ? 0 : 4));
    }
}

static void q4_k(const uint8_t *b, float *y)
{
    const float d = f16_at(b), min = f16_at(b + 2);
    for (int i = 0; i < 8; i++) {
        int scale, m;
        scale_min(b + 4, i, &scale, &m);
        const float dl = d * (float)scale, ml = min * (float)m;
        const uint8_t *q = b + 16 + i / 2 * 32;
        for (int l = 0; l < 32; l++)
            y[32 * i + l] = dl * (float)(q[l] >> (i % 2 * 4) & 15) - ml;
    }
}

static void q5_k(const uint8_t *b, float *y)
{
    const float d = f16_at(b), min = f16_at(b + 2);
    const uint8_t *high = b + 16;
    for (int i = 0; i < 8; i++) {
        int scale, m;
        scale_min(b + 4, i, &scale, &m);
        const float dl = d * (float)scale, ml = min * (float)m;
        const uint8_t *q = b + 48 + i / 2 * 32;
        for (int l = 0; l < 32; l++)
            y[32 * i + l] = dl * (float)((q[l] >> (i % 2 * 4) & 15) + (high[l] >> i & 1 ? 16 : 0)) - ml;
    }
}

static void q6_k(const uint8_t *b, float *y)
{
    const float d = f16_at(b + 208);
    for (int i = 0; i < 16; i++) { /* groups of 16: two of them next to each other, then the next quarter */
        const int half = i / 8, quarter = i % 8 / 2, at = i % 2 * 16;
        const float dl = d * (float)(int8_t)b[192 + i];
        const uint8_t *low = b + half * 64 + quarter % 2 * 32 + at, *high = b + 128 + half * 32 + at;
        for (int l = 0; l < 16; l++) {
            const int code = (low[l] >> (quarter / 2 * 4) & 15) | (high[l] >> (quarter * 2) & 3) << 4;
            y[16 * i + l] = dl * (float)(code - 32);
        }
    }
}

static void iq4_xs(const uint8_t *b, float *y)
{
    const float d = f16_at(b);
    const uint32_t high = u16_at(b + 2);
    for (int i = 0; i < 8; i++) {
        const int scale = (b[4 + i / 2] >> (i % 2 * 4) & 15) | (int)(high >> (2 * i) & 3) << 4;
        const float dl = d * (float)(scale - 32);
        const uint8_t *q = b + 8 + 16 * i;
        for (int j = 0; j < 16; j++) {
            y[32 * i + j] = dl * (float)iq4_values[q[j] & 15];
            y[32 * i + j + 16] = dl * (float)iq4_values[q[j] >> 4];
        }
    }
}

void vkft_ggml_to_f32(vkft_dtype dtype, const uint8_t *src, uint64_t n, float *y)
{
    void (*decode)(const uint8_t *block, float *y) = NULL;
    switch (dtype) {
    case VKFT_Q4_0: decode = q4_0; break;
    case VKFT_Q4_1: decode = q4_1; break;
    case VKFT_Q5_0: decode = q5_0; break;
    case VKFT_Q5_1: decode = q5_1; break;
    case VKFT_Q8_0: decode = q8_0; break;
    case VKFT_Q2_K: decode = q2_k; break;
    case VKFT_Q3_K: decode = q3_k; break;
    case VKFT_Q4_K: decode = q4_k; break;
    case VKFT_Q5_K: decode = q5_k; break;
    case VKFT_Q6_K: decode = q6_k; break;
    case VKFT_IQ4_NL: decode = iq4_nl; break;
    case VKFT_IQ4_XS: decode = iq4_xs; break;
    case VKFT_MXFP4: decode = mxfp4; break;
    default: vkft_to_f32(dtype, src, n, y); return;
    }
    const uint32_t block = vkft_dtype_block(dtype);
    const uint64_t bytes = vkft_dtype_bytes(dtype, block);
    for (uint64_t i = 0; i < n / block; i++)
        decode(src + i * bytes, y + i * block);
}
