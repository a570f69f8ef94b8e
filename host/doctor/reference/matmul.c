/* See matmul.h. */
#include "host/doctor/reference/matmul.h"

#include <math.h>
#include <stdlib.h>

/* Element (m,k) of X is X[m*xm + k*xk], element (k,n) of W is W[k*wk + n*wn]. */
typedef struct strides {
    size_t xm, xk, wk, wn;
} strides;

static void product(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, strides s, double *Y,
                    double *size)
{
    for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
            double sum = 0, magnitude = 0;
            for (size_t k = 0; k < K; k++) {
                double term = X[m * s.xm + k * s.xk] * W[k * s.wk + n * s.wn];
                sum += term;
                magnitude += fabs(term);
            }
            Y[m * N + n] = sum;
            if (size)
                size[m * N + n] = magnitude;
        }
}

void vkft_reference_nt(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size)
{
    product(M, N, K, X, W, (strides){K, 1, 1, K}, Y, size);
}

void vkft_reference_nn(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size)
{
    product(M, N, K, X, W, (strides){K, 1, N, 1}, Y, size);
}

void vkft_reference_tn(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size)
{
    product(M, N, K, X, W, (strides){1, M, N, 1}, Y, size);
}

void vkft_reference_random(uint64_t seed, size_t n, float *x)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        x[i] = (float)(int32_t)(s >> 40) / 8388608.0f - 1.0f; /* 24 bits: exact */
    }
}

double *vkft_reference_operands(vkft_dtype dtype, const float *x, size_t n)
{
    double *operands = malloc((n + 1) * sizeof *operands);
    for (size_t i = 0; operands && i < n; i++)
        operands[i] = (double)(dtype == VKFT_BF16  ? vkft_bf16_to_f32(vkft_f32_to_bf16(x[i]))
                               : dtype == VKFT_F16 ? vkft_f16_to_f32(vkft_f32_to_f16(x[i]))
                                                   : x[i]);
    return operands;
}

double *vkft_reference_rows_f16(uint32_t M, uint32_t K, uint32_t ld, const float *x)
{
    double *rows = calloc((size_t)M * ld + 1, sizeof *rows);
    for (size_t m = 0; rows && m < M; m++) {
        double largest = 0;
        for (size_t k = 0; k < K; k++)
            if (isfinite(x[m * ld + k]))
                largest = fmax(largest, fabs((double)x[m * ld + k]));
        int exponent = largest > 0 ? 14 - ilogb(largest) : 0;
        exponent = exponent < 126 ? exponent : 126; /* the inverse is no subnormal f32 */
        for (size_t k = 0; k < K; k++) {
            float scaled = (float)ldexp((double)x[m * ld + k], exponent);
            rows[m * ld + k] = ldexp((double)vkft_f16_to_f32(vkft_f32_to_f16(scaled)), -exponent);
        }
    }
    return rows;
}

/* Any bytes that the type calls a weight. */
static void tame_parts(vkft_reference_weight *w, uint64_t seed)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        for (uint64_t i = 0; i < w->bytes[part]; i++) {
            s = s * 6364136223846793005u + 1442695040888963407u;
            ((uint8_t *)w->part[part])[i] = (uint8_t)(s >> 56);
        }
    vkft_storage_get(w->storage)->codec->tame(w->part, w->bytes);
}

/* Codes and scales of a type without an encoder: any will do, but for the NaN of 8-bit floats. */
static void random_parts(vkft_reference_weight *w, uint64_t seed)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
    uint8_t *codes = w->part[VKFT_PART_DATA], *scales8 = w->part[VKFT_PART_SCALES];
    float *scales = w->part[VKFT_PART_SUPER];
    uint64_t count = w->bytes[VKFT_PART_SUPER] / sizeof *scales;
    for (uint64_t i = 0; i < w->bytes[VKFT_PART_DATA] + w->bytes[VKFT_PART_SCALES]; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        uint8_t byte = (uint8_t)(s >> 56);
        if (i < w->bytes[VKFT_PART_DATA])
            codes[i] = (byte & 0x7f) == 0x7f ? 0 : byte;
        else
            scales8[i - w->bytes[VKFT_PART_DATA]] = byte;
    }
    if (!scales) { /* scales are f32 */
        scales = w->part[VKFT_PART_SCALES];
        count = w->bytes[VKFT_PART_SCALES] / sizeof *scales;
    } else {
        w->offset = 0.75f;
    }
    for (uint64_t i = 0; i < count; i++)
        scales[i] = 0.25f + (float)(i % 5);
}

static bool encode(vkft_reference_weight *w)
{
    const vkft_storage_type *type = vkft_storage_get(w->storage);
    size_t n = (size_t)w->rows * w->cols;
    float *scales = malloc((n / type->block + 1) * sizeof *scales);
    if (!scales)
        return false;
    type->codec->encode(w->value, n, w->part[VKFT_PART_DATA], scales);
    if (type->codec->finish)
        type->codec->finish(scales, w->rows, w->cols, w->part, &w->offset);
    free(scales);
    return true;
}

void vkft_reference_weight_decode(vkft_reference_weight *w)
{
    vkft_stored stored = {.storage = w->storage, .rows = w->rows, .cols = w->cols, .offset = w->offset};
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        stored.part[part] = w->part[part];
    vkft_storage_get(w->storage)->codec->decode(&stored, w->value);
}

vkft_reference_weight vkft_reference_weight_new(vkft_storage storage, uint32_t rows, uint32_t cols, uint64_t seed)
{
    vkft_reference_weight w = {.storage = storage, .rows = rows, .cols = cols};
    size_t n = (size_t)rows * cols;
    bool ok = (w.value = malloc((n + 1) * sizeof *w.value)) != NULL;
    vkft_storage_part_bytes(storage, rows, cols, w.bytes);
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        ok = ok && (!w.bytes[part] || (w.part[part] = calloc(1, w.bytes[part])));
    if (ok) {
        vkft_reference_random(seed, n, w.value);
        for (size_t i = 0; i < n; i++)
            w.value[i] *= 1.0f + (float)(i / 64 % 5); /* blocks of different size */
        if (vkft_storage_get(storage)->codec->encode)
            ok = encode(&w);
        else if (vkft_storage_get(storage)->codec->tame)
            tame_parts(&w, seed);
        else
            random_parts(&w, seed);
    }
    if (ok)
        vkft_reference_weight_decode(&w);
    else
        vkft_reference_weight_free(&w);
    return w;
}

void vkft_reference_weight_free(vkft_reference_weight *weight)
{
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        free(weight->part[part]);
    free(weight->value);
    *weight = (vkft_reference_weight){0};
}
