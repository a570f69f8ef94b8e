/* Encoding in ggml's block types. Sums are f32 and in ggml's order, so that every decision falls as there. */
#include "formats/tensors/ggml/encode.h"

#include <math.h>
#include <string.h>

#define SMALL 1e-15f /* groups of smaller values are all zero */

static inline void put_f16(uint8_t *p, float value)
{
    const uint16_t bits = vkft_f32_to_f16(value);
    p[0] = (uint8_t)bits;
    p[1] = (uint8_t)(bits >> 8);
}

static inline float get_f16(const uint8_t *p)
{
    return vkft_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

/* To the nearest whole number, halves to even; |x| < 2^22. */
static inline int nearest(float x)
{
    const float shifted = x + 12582912.0f; /* 1.5 * 2^23: the fraction's bits are the number */
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (bits & 0x7fffff) - 0x400000;
}

static inline int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* The value of the largest magnitude, the first of such. */
static float extreme(const float *x, int n)
{
    float found = 0, magnitude = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > magnitude) {
            magnitude = fabsf(x[i]);
            found = x[i];
        }
    return found;
}

/* Blocks of 32. */

static void q8_0(const float *x, uint8_t *b)
{
    const float d = fabsf(extreme(x, 32)) / 127, inverse = d != 0 ? 1.0f / d : 0.0f;
    put_f16(b, d);
    for (int i = 0; i < 32; i++)
        b[2 + i] = (uint8_t)(int8_t)roundf(x[i] * inverse);
}

/* Codes around `middle`, which the extreme value's sign makes the lowest one. */
static void around(const float *x, int middle, float *d, uint8_t code[32])
{
    *d = extreme(x, 32) / (float)-middle;
    const float inverse = *d != 0 ? 1.0f / *d : 0.0f;
    for (int i = 0; i < 32; i++)
        code[i] = (uint8_t)clamp((int)(int8_t)(x[i] * inverse + ((float)middle + 0.5f)), 0, 2 * middle - 1);
}

static void put_nibbles(const uint8_t code[32], uint8_t *b)
{
    for (int j = 0; j < 16; j++)
        b[j] = (uint8_t)((code[j] & 15) | (code[j + 16] & 15) << 4);
}

static void put_fifth_bits(const uint8_t code[32], uint8_t *b)
{
    uint32_t high = 0;
    for (int i = 0; i < 32; i++)
        high |= (uint32_t)(code[i] >> 4 & 1) << i;
    for (int i = 0; i < 4; i++)
        b[i] = (uint8_t)(high >> (8 * i));
}

static void q4_0(const float *x, uint8_t *b)
{
    float d;
    uint8_t code[32];
    around(x, 8, &d, code);
    put_f16(b, d);
    put_nibbles(code, b + 2);
}

static void q5_0(const float *x, uint8_t *b)
{
    float d;
    uint8_t code[32];
    around(x, 16, &d, code);
    put_f16(b, d);
    put_fifth_bits(code, b + 2);
    put_nibbles(code, b + 6);
}

static void q5_1(const float *x, uint8_t *b)
{
    float low = x[0], high = x[0];
    uint8_t code[32];
    for (int i = 1; i < 32; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    const float d = (high - low) / 31, inverse = d != 0 ? 1.0f / d : 0.0f;
    for (int i = 0; i < 32; i++)
        code[i] = (uint8_t)((x[i] - low) * inverse + 0.5f);
    put_f16(b, d);
    put_f16(b + 2, low);
    put_fifth_bits(code, b + 4);
    put_nibbles(code, b + 8);
}

/* Blocks of 256, in groups with scales of their own. A group's scale is searched for: codes by several trial scales,
 * for each the scale that fits these codes best by weighted least squares, of these the best. */

/* Of 16 values, codes -32..31: the fit x ~ scale * code with weights x^2. */
static float fit_scale(const float x[16], int8_t code[16])
{
    const float top = extreme(x, 16);
    float scale = 0, best = 0;
    memset(code, -32, 16); /* where the scale is 0, codes mean nothing; the reference has these */
    if (fabsf(top) < SMALL)
        return 0;
    for (int trial = 0; trial < 19; trial++) { /* the plain scale first, then 31.1 to 32.9 steps below the extreme */
        const int step = trial == 0 ? 0 : trial < 10 ? trial - 10 : trial - 9;
        const float inverse = trial == 0 ? -32.0f / top : -(32.0f + 0.1f * (float)step) / top;
        int8_t c[16];
        float xl = 0, ll = 0;
        for (int i = 0; i < 16; i++) {
            const int l = clamp(nearest(inverse * x[i]), -32, 31);
            const float w = x[i] * x[i];
            c[i] = (int8_t)l;
            xl += w * x[i] * (float)l;
            ll += w * (float)l * (float)l;
        }
        if (trial > 0 && !(ll > 0 && xl * xl > best * ll))
            continue;
        memcpy(code, c, sizeof c);
        scale = ll != 0 ? xl / ll : 0.0f;
        best = scale * xl;
    }
    return scale;
}

static void q6_k(const float *x, uint8_t *b)
{
    int8_t code[256];
    float scales[16], top = 0;
    for (int g = 0; g < 16; g++)
        scales[g] = fit_scale(x + 16 * g, code + 16 * g);
    top = extreme(scales, 16);
    memset(b, 0, 210);
    if (fabsf(top) < SMALL)
        return;
    const float inverse = -128.0f / top;
    put_f16(b + 208, 1 / inverse);
    for (int g = 0; g < 16; g++) {
        const int scale = clamp(nearest(inverse * scales[g]), -128, 127);
        const float d = get_f16(b + 208) * (float)scale;
        b[192 + g] = (uint8_t)(int8_t)scale;
        for (int i = 16 * g; d != 0 && i < 16 * g + 16; i++)
            code[i] = (int8_t)clamp(nearest(x[i] / d), -32, 31);
    }
    for (int i = 0; i < 256; i++) { /* halves of 128, in them quarters of 32 */
        const int half = i / 128, quarter = i % 128 / 32, at = i % 32, c = code[i] + 32;
        b[64 * half + quarter % 2 * 32 + at] |= (uint8_t)((c & 15) << (quarter / 2 * 4));
        b[128 + 32 * half + at] |= (uint8_t)((c >> 4) << (2 * quarter));
    }
}

/* What fits of 32 values need: larger weights for larger values, and sums. */
typedef struct group {
    float weight[32], low, high, w_sum, x_sum;
} group;

static group weigh(const float x[32])
{
    group g = {.low = x[0], .high = x[0]};
    float squares = 0;
    for (int i = 0; i < 32; i++)
        squares += x[i] * x[i];
    const float spread = sqrtf(squares / 32);
    for (int i = 0; i < 32; i++)
        g.weight[i] = spread + fabsf(x[i]);
    g.w_sum = g.weight[0];
    g.x_sum = g.w_sum * x[0];
    for (int i = 1; i < 32; i++) {
        g.low = x[i] < g.low ? x[i] : g.low;
        g.high = x[i] > g.high ? x[i] : g.high;
        g.w_sum += g.weight[i];
        g.x_sum += g.weight[i] * x[i];
    }
    return g;
}

/* Codes of values whose step is 1 / inverse, and the scale and the negative minimum that fit these best; false: none
 * do. */
static bool fit_codes(const float x[32], const group *g, float inverse, float low, int top, uint8_t code[32], float *s,
                      float *m)
{
    float l_sum = 0, ll_sum = 0, xl_sum = 0;
    for (int i = 0; i < 32; i++) {
        const int l = clamp(nearest(inverse * (x[i] - low)), 0, top);
        code[i] = (uint8_t)l;
        l_sum += g->weight[i] * (float)l;
        ll_sum += g->weight[i] * (float)l * (float)l;
        xl_sum += g->weight[i] * (float)l * x[i];
    }
    const float determinant = g->w_sum * ll_sum - l_sum * l_sum;
    if (!(determinant > 0))
        return false;
    *s = (g->w_sum * xl_sum - g->x_sum * l_sum) / determinant;
    *m = (ll_sum * g->x_sum - l_sum * xl_sum) / determinant;
    if (*m > 0) {
        *m = 0;
        *s = xl_sum / ll_sum;
    }
    return true;
}

static float error_of(const float x[32], const group *g, const uint8_t code[32], float s, float m)
{
    float e = 0;
    for (int i = 0; i < 32; i++) {
        const float difference = s * (float)code[i] + m - x[i];
        e += g->weight[i] * (difference * difference);
    }
    return e;
}

/* Of 32 values, codes 0..top: the fit x ~ scale * code - minimum. */
static float fit_scale_min(const float x[32], int top, float first, int steps, uint8_t code[32], float *minimum)
{
    const group g = weigh(x);
    float low = g.low > 0 ? 0 : g.low, scale = 0, error = 0;
    memset(code, 0, 32);
    *minimum = -low;
    if (g.high == low)
        return 0;
    for (int trial = -1; trial <= steps; trial++) { /* the first one keeps the plain scale and minimum */
        const float steps_below = trial < 0 ? (float)top : first + 0.1f * (float)trial + (float)top;
        const float inverse = steps_below / (g.high - low); /* low: of the best trial so far, as in the reference */
        uint8_t c[32];
        float s, m;
        bool fits = fit_codes(x, &g, inverse, low, top, c, &s, &m);
        if (trial < 0) {
            s = 1 / inverse;
            m = low;
        } else if (!fits) {
            continue;
        }
        const float e = error_of(x, &g, c, s, m);
        if (trial >= 0 && !(e < error))
            continue;
        memcpy(code, c, sizeof c);
        error = e;
        scale = s;
        low = m;
        *minimum = -m;
    }
    return scale;
}

/* Scales and minima of 8 groups, 6 bits each in 12 bytes, and the codes that go with them as they were rounded. */
static void fit_groups(const float *x, int top, float first, int steps, uint8_t *b, uint8_t code[256])
{
    float scales[8], minima[8], max_scale = 0, max_minimum = 0;
    for (int g = 0; g < 8; g++) {
        scales[g] = fit_scale_min(x + 32 * g, top, first, steps, code + 32 * g, &minima[g]);
        max_scale = scales[g] > max_scale ? scales[g] : max_scale;
        max_minimum = minima[g] > max_minimum ? minima[g] : max_minimum;
    }
    const float to_scale = max_scale > 0 ? 63.0f / max_scale : 0.0f,
                to_minimum = max_minimum > 0 ? 63.0f / max_minimum : 0.0f;
    put_f16(b, max_scale / 63.0f);
    put_f16(b + 2, max_minimum / 63.0f);
    uint8_t *packed = b + 4;
    memset(packed, 0, 12);
    for (int g = 0; g < 8; g++) {
        /* as bytes, of which the reference takes the lower 63 */
        const uint8_t s8 = (uint8_t)nearest(to_scale * scales[g]), m8 = (uint8_t)nearest(to_minimum * minima[g]);
        const uint8_t s = s8 > 63 ? 63 : s8, m = m8 > 63 ? 63 : m8;
        if (g < 4) {
            packed[g] |= s;
            packed[g + 4] |= m;
        } else {
            packed[g + 4] = (uint8_t)((s & 15) | (m & 15) << 4);
            packed[g - 4] |= (uint8_t)(s >> 4 << 6);
            packed[g] |= (uint8_t)(m >> 4 << 6);
        }
        const float d = get_f16(b) * (float)s, dm = get_f16(b + 2) * (float)m;
        for (int i = 32 * g; d != 0 && i < 32 * g + 32; i++)
            code[i] = (uint8_t)clamp(nearest((x[i] + dm) / d), 0, top);
    }
}

static void q4_k(const float *x, uint8_t *b)
{
    uint8_t code[256];
    fit_groups(x, 15, -1.0f, 20, b, code);
    for (int i = 0; i < 128; i++)
        b[16 + i] = (uint8_t)(code[i / 32 * 64 + i % 32] | code[i / 32 * 64 + 32 + i % 32] << 4);
}

static void q5_k(const float *x, uint8_t *b)
{
    uint8_t code[256];
    fit_groups(x, 31, -0.5f, 15, b, code);
    memset(b + 16, 0, 32);
    for (int i = 0; i < 256; i++)
        b[16 + i % 32] |= (uint8_t)(code[i] >> 4 << (i / 32));
    for (int i = 0; i < 128; i++)
        b[48 + i] = (uint8_t)((code[i / 32 * 64 + i % 32] & 15) | (code[i / 32 * 64 + 32 + i % 32] & 15) << 4);
}

void vkft_ggml_from_f32(vkft_dtype dtype, const float *x, uint64_t n, uint8_t *dst)
{
    void (*encode)(const float *x, uint8_t *block) = NULL;
    switch (dtype) {
    case VKFT_Q4_0: encode = q4_0; break;
    case VKFT_Q5_0: encode = q5_0; break;
    case VKFT_Q5_1: encode = q5_1; break;
    case VKFT_Q8_0: encode = q8_0; break;
    case VKFT_Q4_K: encode = q4_k; break;
    case VKFT_Q5_K: encode = q5_k; break;
    case VKFT_Q6_K: encode = q6_k; break;
    default: vkft_from_f32(dtype, x, n, dst); return;
    }
    const uint32_t block = vkft_dtype_block(dtype);
    const uint64_t bytes = vkft_dtype_bytes(dtype, block);
    for (uint64_t i = 0; i < n / block; i++)
        encode(x + i * block, dst + i * bytes);
}
