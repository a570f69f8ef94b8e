/* NF4 and the 8-bit quantization of its block scales.
 *
 * A code is the number of thresholds below the value: 15 comparisons that the compiler vectorizes beat a search tree.
 * All arithmetic is f32 in the order bitsandbytes has it: scale = 1/absmax, then a product, then strict comparisons, so
 * a value exactly on a threshold gets the lower code. A block of zeros gets absmax 0 and the code of 0 (bitsandbytes'
 * CUDA kernel multiplies 0 by infinity there and stores code 0, which decodes to -0).
 *
 * The mean of absmax is summed in double: PyTorch's own f32 sum depends on vector width, thread count and device, so
 * its last bits cannot be reproduced; the two means agree to a few units in the last place, which moves an 8-bit code
 * only when a value lies that close to a decision boundary.
 *
 * The 8-bit code is the nearest entry of the map, as in bitsandbytes' CUDA kernel and its portable one. Its CPU kernel
 * (0.50) rounds the value to one of 65536 steps first, so there about one code in 500 is the neighbouring entry.
 */
#include "formats/tensors/nf4.h"

#include <math.h>
#include <string.h>

#include "formats/tensors/prequantized.h"
#include "runtime/base/size.h"

const float vkft_nf4_table[16] = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};

const float vkft_fp4_table[16] = {
    0.0f,
    0.0052083334885537624f,
    0.6666666865348816f,
    1.0f,
    0.3333333432674408f,
    0.5f,
    0.1666666716337204f,
    0.25f,
    0.0f,
    -0.0052083334885537624f,
    -0.6666666865348816f,
    -1.0f,
    -0.3333333432674408f,
    -0.5f,
    -0.1666666716337204f,
    -0.25f,
};

/* Midpoints of neighbouring table entries. */
static const float thresholds[15] = {
    -0.8480964004993439f,  -0.6106329262256622f,   -0.4599952697753906f, -0.33967943489551544f, -0.23460740596055984f,
    -0.13791173323988914f, -0.045525018125772476f, 0.03979014977812767f, 0.1202552504837513f,   0.2035212516784668f,
    0.2920137718319893f,   0.3893125355243683f,    0.5016634166240692f,  0.6427869200706482f,   0.8614784181118011f,
};

/* Below this a reciprocal would overflow. */
#define SMALLEST_SCALE 1e-38f

/* max |x|, by comparing bits: magnitudes of floats order like integers, and integer maxima vectorize without relaxed
 * arithmetic. */
static float largest_magnitude(const float *x, uint32_t n)
{
    uint32_t largest = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, &x[i], sizeof u);
        u &= 0x7fffffff;
        largest = max_u32(largest, u);
    }
    float result;
    memcpy(&result, &largest, sizeof result);
    return result;
}

/* One whole block: 64 values to 32 bytes. */
static void quantize_block(const float *x, float absmax, uint8_t *packed)
{
    uint32_t code[VKFT_NF4_BLOCK];
    const float scale = 1.0f / (absmax > SMALLEST_SCALE ? absmax : SMALLEST_SCALE);
    for (uint32_t i = 0; i < VKFT_NF4_BLOCK; i++) {
        float v = x[i] * scale;
        uint32_t c = 0;
        for (uint32_t k = 0; k < 15; k++)
            c += v > thresholds[k];
        code[i] = c;
    }
    for (uint32_t i = 0; i < VKFT_NF4_BLOCK / 2; i++)
        packed[i] = (uint8_t)(code[2 * i] << 4 | code[2 * i + 1]);
}

void vkft_nf4_quantize(const float *x, uint64_t n, uint8_t *codes, float *absmax)
{
    uint64_t whole = n / VKFT_NF4_BLOCK;
    uint32_t rest = (uint32_t)(n % VKFT_NF4_BLOCK);
    for (uint64_t b = 0; b < whole; b++) {
        absmax[b] = largest_magnitude(x + b * VKFT_NF4_BLOCK, VKFT_NF4_BLOCK);
        quantize_block(x + b * VKFT_NF4_BLOCK, absmax[b], codes + b * VKFT_NF4_BLOCK / 2);
    }
    if (rest) { /* padded with zeros; the low nibble after an odd count is the code of 0, as bitsandbytes pads */
        float padded[VKFT_NF4_BLOCK] = {0};
        uint8_t packed[VKFT_NF4_BLOCK / 2];
        memcpy(padded, x + whole * VKFT_NF4_BLOCK, rest * sizeof *x);
        absmax[whole] = largest_magnitude(padded, rest);
        quantize_block(padded, absmax[whole], packed);
        memcpy(codes + whole * VKFT_NF4_BLOCK / 2, packed, (rest + 1) / 2);
    }
}

static void dequantize(const float *table, const uint8_t *codes, const float *absmax, uint64_t n, float *y)
{
    for (uint64_t i = 0; i < n; i++) {
        uint8_t code = i & 1 ? codes[i / 2] & 15 : codes[i / 2] >> 4;
        y[i] = table[code] * absmax[i / VKFT_NF4_BLOCK];
    }
}

void vkft_nf4_dequantize(const uint8_t *codes, const float *absmax, uint64_t n, float *y)
{
    dequantize(vkft_nf4_table, codes, absmax, n, y);
}

void vkft_fp4_dequantize(const uint8_t *codes, const float *absmax, uint64_t n, float *y)
{
    dequantize(vkft_fp4_table, codes, absmax, n, y);
}

/* 10^(i-6) times the midpoints of linspace(0.1, 1, n + 1), ascending; returns n. The f32 roundings are those of
 * torch.linspace: an f32 step, counted from the nearer end with one rounding (the double expression is exact). */
static uint32_t dynamic_means(uint32_t i, uint32_t n, float *means)
{
    static const float powers[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
    const double step = (1.0f - 0.1f) / (float)n;
    float previous = 0.1f;
    for (uint32_t k = 1; k <= n; k++) {
        float boundary = (float)(k < (n + 1) / 2 ? 0.1f + step * k : 1.0f - step * (n - k));
        float mean = (previous + boundary) / 2.0f;
        means[k - 1] = powers[i] * mean;
        previous = boundary;
    }
    return n;
}

/* For i = 0..6: 2^i means with both signs; 0 in the middle and 1 at the end. */
void vkft_dynamic_map(float map[256])
{
    map[127] = 0.0f;
    map[255] = 1.0f;
    uint32_t above = 128;
    for (uint32_t i = 0; i < 7; i++)
        above += dynamic_means(i, 1u << i, map + above);
    for (uint32_t k = 0; k < 127; k++)
        map[126 - k] = -map[128 + k];
}

/* For i = 0..6: twice as many means, after 0 and before 1. */
void vkft_dynamic_map_unsigned(float map[256])
{
    map[0] = 0.0f;
    map[255] = 1.0f;
    uint32_t at = 1;
    for (uint32_t i = 0; i < 7; i++)
        at += dynamic_means(i, 2u << i, map + at);
}

/* Number of midpoints below v: the nearest entry, ties to the lower one. */
static uint8_t nearest(const float midpoints[255], float v)
{
    uint32_t low = 0;
    for (uint32_t step = 128; step; step /= 2)
        low += v > midpoints[low + step - 1] ? step : 0;
    return (uint8_t)low;
}

void vkft_nf4_double_quantize(const float *absmax, uint64_t blocks, uint8_t *quantized, float *nested_absmax,
                              float *offset)
{
    float map[256], midpoints[255];
    vkft_dynamic_map(map);
    for (uint32_t k = 0; k < 255; k++)
        midpoints[k] = (map[k] + map[k + 1]) / 2.0f;

    double sum = 0;
    for (uint64_t i = 0; i < blocks; i++)
        sum += absmax[i];
    const float mean = blocks ? (float)(sum / (double)blocks) : 0.0f;
    *offset = mean;

    for (uint64_t begin = 0; begin < blocks; begin += VKFT_NF4_NESTED_BLOCK) {
        uint64_t end = blocks - begin < VKFT_NF4_NESTED_BLOCK ? blocks : begin + VKFT_NF4_NESTED_BLOCK;
        float largest = 0;
        for (uint64_t i = begin; i < end; i++)
            largest = fmaxf(largest, fabsf(absmax[i] - mean));
        nested_absmax[begin / VKFT_NF4_NESTED_BLOCK] = largest;
        const float scale = 1.0f / (largest > SMALLEST_SCALE ? largest : SMALLEST_SCALE);
        for (uint64_t i = begin; i < end; i++)
            quantized[i] = nearest(midpoints, (absmax[i] - mean) * scale);
    }
}

void vkft_nf4_double_dequantize(const uint8_t *quantized, const float *nested_absmax, float offset, uint64_t blocks,
                                float *absmax)
{
    float map[256];
    vkft_dynamic_map(map);
    for (uint64_t i = 0; i < blocks; i++) {
        float scaled = map[quantized[i]] * nested_absmax[i / VKFT_NF4_NESTED_BLOCK];
        absmax[i] = scaled + offset; /* two roundings, as bitsandbytes */
    }
}

static uint64_t blocks_of(uint64_t rows, uint64_t cols)
{
    uint64_t n = rows * cols;
    return n / VKFT_NF4_BLOCK + (n % VKFT_NF4_BLOCK != 0);
}

static uint64_t single_bytes(vkft_part part, uint64_t rows, uint64_t cols)
{
    (void)part;
    return blocks_of(rows, cols) * sizeof(float);
}

static uint64_t double_bytes(vkft_part part, uint64_t rows, uint64_t cols)
{
    uint64_t blocks = blocks_of(rows, cols);
    return part == VKFT_PART_SCALES ? blocks : ceil_div_u64(blocks, VKFT_NF4_NESTED_BLOCK) * sizeof(float);
}

static void finish_single(const float *scales, uint64_t rows, uint64_t cols, void *const part[VKFT_PARTS],
                          float *offset)
{
    (void)offset;
    memcpy(part[VKFT_PART_SCALES], scales, (size_t)blocks_of(rows, cols) * sizeof *scales);
}

static void finish_double(const float *scales, uint64_t rows, uint64_t cols, void *const part[VKFT_PARTS],
                          float *offset)
{
    vkft_nf4_double_quantize(scales, blocks_of(rows, cols), part[VKFT_PART_SCALES], part[VKFT_PART_SUPER], offset);
}

/* Block by block, so that nothing has to be allocated. */
static void decode(const float *table, const vkft_stored *w, float *y)
{
    const uint8_t *codes = w->part[VKFT_PART_DATA], *scales = w->part[VKFT_PART_SCALES];
    const float *super = w->part[VKFT_PART_SUPER];
    float map[256];
    vkft_dynamic_map(map);
    uint64_t n = w->rows * w->cols;
    for (uint64_t i = 0, b = 0; i < n; i += VKFT_NF4_BLOCK, b++) {
        float absmax;
        if (super)
            absmax = map[scales[b]] * super[b / VKFT_NF4_NESTED_BLOCK] + w->offset;
        else
            memcpy(&absmax, scales + b * sizeof absmax, sizeof absmax);
        dequantize(table, codes + i / 2, &absmax, min_u64(n - i, VKFT_NF4_BLOCK), y + i);
    }
}

/* Codes are finite; scales need not be. */
static uint64_t first_not_finite(const vkft_stored *w)
{
    bool twice = w->part[VKFT_PART_SUPER] != NULL;
    const uint8_t *scales = w->part[twice ? VKFT_PART_SUPER : VKFT_PART_SCALES];
    uint64_t blocks = blocks_of(w->rows, w->cols), unit = twice ? VKFT_NF4_NESTED_BLOCK : 1;
    for (uint64_t i = 0; i * unit < blocks; i++) {
        float scale;
        memcpy(&scale, scales + i * sizeof scale, sizeof scale);
        if (!(scale - scale == 0))
            return i * unit * VKFT_NF4_BLOCK;
    }
    return UINT64_MAX;
}

static void decode_nf4(const vkft_stored *w, float *y)
{
    decode(vkft_nf4_table, w, y);
}

static void decode_fp4(const vkft_stored *w, float *y)
{
    decode(vkft_fp4_table, w, y);
}

#define NOT_FINITE 0x7f800000 /* what is not finite has no code */

const vkft_codec vkft_codec_nf4 = {.part_keys = {NULL, "absmax", NULL},
                                   .overflow = NOT_FINITE,
                                   .part_bytes = single_bytes,
                                   .encode = vkft_nf4_quantize,
                                   .finish = finish_single,
                                   .decode = decode_nf4,
                                   .first_not_finite = first_not_finite,
                                   .prequantizer = &vkft_bitsandbytes};
const vkft_codec vkft_codec_nf4_dq = {.part_keys = {NULL, "absmax", "nested_absmax"},
                                      .offset_key = "absmax_offset",
                                      .overflow = NOT_FINITE,
                                      .part_bytes = double_bytes,
                                      .encode = vkft_nf4_quantize,
                                      .finish = finish_double,
                                      .decode = decode_nf4,
                                      .first_not_finite = first_not_finite,
                                      .prequantizer = &vkft_bitsandbytes};
const vkft_codec vkft_codec_fp4 = {.part_keys = {NULL, "absmax", NULL},
                                   .overflow = NOT_FINITE,
                                   .part_bytes = single_bytes,
                                   .decode = decode_fp4,
                                   .first_not_finite = first_not_finite,
                                   .prequantizer = &vkft_bitsandbytes};
const vkft_codec vkft_codec_fp4_dq = {.part_keys = {NULL, "absmax", "nested_absmax"},
                                      .offset_key = "absmax_offset",
                                      .overflow = NOT_FINITE,
                                      .part_bytes = double_bytes,
                                      .decode = decode_fp4,
                                      .first_not_finite = first_not_finite,
                                      .prequantizer = &vkft_bitsandbytes};
