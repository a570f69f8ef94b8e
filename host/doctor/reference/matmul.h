/* Matrix products and weights in double precision, written as the definitions stand. */
#ifndef VKFT_DOCTOR_REFERENCE_MATMUL_H
#define VKFT_DOCTOR_REFERENCE_MATMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/tensors/storage.h"

/* Y[M,N] = X[M,K] W[N,K]^T, X[M,K] W[K,N], X[K,M]^T W[K,N]; all contiguous. size, when not NULL, gets the sum of
 * magnitudes of the terms of each element, from which rounding errors are bounded. */
void vkft_reference_nt(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size);
void vkft_reference_nn(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size);
void vkft_reference_tn(uint32_t M, uint32_t N, uint32_t K, const double *X, const double *W, double *Y, double *size);

/* n values in [-1, 1), the same for the same seed. */
void vkft_reference_random(uint64_t seed, size_t n, float *x);

/* x as doubles, malloc'ed (NULL: out of memory), rounded to dtype (F32: as they are) first: the operands of a product
 * that rounds them. */
double *vkft_reference_operands(vkft_dtype dtype, const float *x, size_t n);

/* Rows x [M,K] of stride ld as doubles, malloc'ed with the same stride (NULL: out of memory), rounded as products on
 * matrix cores round them: to f16 at the power of two that moves a row's largest finite magnitude to [2^14, 2^15). */
double *vkft_reference_rows_f16(uint32_t M, uint32_t K, uint32_t ld, const float *x);

/* A random matrix as it is stored, and the f32 values that its codec decodes. */
typedef struct vkft_reference_weight {
    vkft_storage storage;
    uint32_t rows, cols;
    void *part[VKFT_PARTS]; /* NULL where the type has none */
    uint64_t bytes[VKFT_PARTS];
    float offset;
    float *value;
} vkft_reference_weight;

/* value NULL: out of memory. */
vkft_reference_weight vkft_reference_weight_new(vkft_storage storage, uint32_t rows, uint32_t cols, uint64_t seed);
void vkft_reference_weight_decode(vkft_reference_weight *weight); /* fills value again when a part was changed */
void vkft_reference_weight_free(vkft_reference_weight *weight);

#endif
