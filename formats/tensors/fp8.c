/* FP8 E4M3: a sign, 4 bits of exponent with bias 7 and 3 of mantissa; no infinity, and NaN where all bits but the sign
 * are set. The matrix is cut into blocks of 128 x 128 that share an f32 scale: w[i,j] = value(code[i,j]) * scale[i/128,
 * j/128].
 *
 * Source: Micikevicius et al. 2022, "FP8 formats for deep learning". Test: test_fp8
 */
#include <math.h>

#include "formats/tensors/prequantized.h"
#include "runtime/base/size.h"

#define BLOCK VKFT_FP8_BLOCK

static uint64_t scale_bytes(vkft_part part, uint64_t rows, uint64_t cols)
{
    (void)part;
    return ceil_div_u64(rows, BLOCK) * ceil_div_u64(cols, BLOCK) * sizeof(float);
}

static float value_of(uint8_t code)
{
    int exponent = code >> 3 & 15, mantissa = code & 7;
    float magnitude = exponent ? ldexpf((float)(8 + mantissa), exponent - 10) : ldexpf((float)mantissa, -9);
    if ((code & 0x7f) == 0x7f)
        magnitude = NAN;
    return code & 0x80 ? -magnitude : magnitude;
}

static void decode(const vkft_stored *w, float *y)
{
    const uint8_t *codes = w->part[VKFT_PART_DATA];
    const float *scales = w->part[VKFT_PART_SCALES];
    uint64_t across = ceil_div_u64(w->cols, BLOCK);
    float values[256];
    for (uint32_t code = 0; code < 256; code++)
        values[code] = value_of((uint8_t)code);
    for (uint64_t i = 0; i < w->rows; i++)
        for (uint64_t j = 0; j < w->cols; j++)
            y[i * w->cols + j] = values[codes[i * w->cols + j]] * scales[i / BLOCK * across + j / BLOCK];
}

static uint64_t first_not_finite(const vkft_stored *w)
{
    const uint8_t *codes = w->part[VKFT_PART_DATA];
    const float *scales = w->part[VKFT_PART_SCALES];
    uint64_t across = ceil_div_u64(w->cols, BLOCK), down = ceil_div_u64(w->rows, BLOCK);
    for (uint64_t i = 0; i < w->rows * w->cols; i++)
        if ((codes[i] & 0x7f) == 0x7f)
            return i;
    for (uint64_t b = 0; b < down * across; b++)
        if (!isfinite(scales[b]))
            return b / across * BLOCK * w->cols + b % across * BLOCK;
    return UINT64_MAX;
}

const vkft_codec vkft_codec_fp8 = {.part_keys = {NULL, "block_scales", NULL},
                                   .overflow = 0x7f800000,
                                   .part_bytes = scale_bytes,
                                   .decode = decode,
                                   .first_not_finite = first_not_finite,
                                   .prequantizer = &vkft_fp8_checkpoint};
