/* See reference_matmul.h. */
#include "tests/support/reference_matmul.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "formats/tensors/nf4.h"

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

void reference_nt(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size)
{
    product(M, N, K, X, W, (strides){K, 1, 1, K}, Y, size);
}

void reference_nn(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size)
{
    product(M, N, K, X, W, (strides){K, 1, N, 1}, Y, size);
}

void reference_tn(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size)
{
    product(M, N, K, X, W, (strides){1, M, N, 1}, Y, size);
}

void reference_random(uint64_t seed, size_t n, float *x)
{
    uint64_t s = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < n; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        x[i] = (float)(int32_t)(s >> 40) / 8388608.0f - 1.0f; /* 24 bits: exact */
    }
}

static void *allocate(size_t bytes)
{
    void *p = calloc(1, bytes);
    assert(p);
    return p;
}

double *reference_operands(vkft_dtype dtype, const float *x, size_t n)
{
    double *operands = allocate((n + 1) * sizeof *operands);
    for (size_t i = 0; i < n; i++)
        operands[i] = (double)(dtype == VKFT_BF16 ? vkft_bf16_to_f32(vkft_f32_to_bf16(x[i])) : x[i]);
    return operands;
}

/* Any codes will do for FP4: those of NF4, read by the other table. */
static void encode_nf4(reference_weight *w, size_t n)
{
    void (*decode)(const uint8_t *, const float *, uint64_t, float *) =
        w->dtype == VKFT_FP4 ? vkft_fp4_dequantize : vkft_nf4_dequantize;
    size_t blocks = (n + VKFT_NF4_BLOCK - 1) / VKFT_NF4_BLOCK;
    w->data_bytes = (n + 1) / 2;
    w->data = allocate(w->data_bytes);
    float *absmax = allocate(blocks * sizeof *absmax);
    vkft_nf4_quantize(w->value, n, w->data, absmax);
    w->absmax = absmax;
    w->absmax_bytes = blocks * sizeof *absmax;
    if (w->double_quant) {
        size_t nested = (blocks + VKFT_NF4_NESTED_BLOCK - 1) / VKFT_NF4_NESTED_BLOCK;
        w->nested_bytes = nested * sizeof(float);
        w->nested_absmax = allocate(w->nested_bytes);
        uint8_t *codes = allocate(blocks);
        vkft_nf4_double_quantize(absmax, blocks, codes, w->nested_absmax, &w->absmax_offset);
        vkft_nf4_double_dequantize(codes, w->nested_absmax, w->absmax_offset, blocks, absmax);
        decode(w->data, absmax, n, w->value);
        free(absmax);
        w->absmax = codes;
        w->absmax_bytes = blocks;
    } else {
        decode(w->data, absmax, n, w->value);
    }
}

reference_weight reference_weight_new(vkft_dtype dtype, bool double_quant, uint32_t rows, uint32_t cols, uint64_t seed)
{
    reference_weight w = {.dtype = dtype, .double_quant = double_quant, .rows = rows, .cols = cols};
    size_t n = (size_t)rows * cols;
    w.value = allocate(n * sizeof *w.value);
    reference_random(seed, n, w.value);
    for (size_t i = 0; i < n; i++)
        w.value[i] *= 1.0f + (float)(i / 64 % 5); /* blocks of different size */
    if (vkft_dtype_is_4bit(dtype)) {
        encode_nf4(&w, n);
    } else {
        w.data_bytes = n * vkft_dtype_bits(dtype) / 8;
        w.data = allocate(w.data_bytes);
        vkft_from_f32(dtype, w.value, n, w.data);
        vkft_to_f32(dtype, w.data, n, w.value);
    }
    return w;
}

void reference_weight_free(reference_weight *weight)
{
    free(weight->data);
    free(weight->absmax);
    free(weight->nested_absmax);
    free(weight->value);
    *weight = (reference_weight){0};
}
