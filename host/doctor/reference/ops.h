/* Ops on rows in double precision, written as the definitions stand. */
#ifndef VKFT_DOCTOR_REFERENCE_OPS_H
#define VKFT_DOCTOR_REFERENCE_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/config/activation.h"

/* y[i] = x[i]; for f32 arrays the caller frees the result of. */
double *vkft_reference_widen(const float *x, uint32_t n);

double vkft_reference_activation(vkft_activation activation, double x);

/* cap * tanh(x / cap); x where cap is 0. */
double vkft_reference_softcap(double x, double cap);

/* One row of a norm; gain and bias [C], bias may be NULL. */
typedef struct vkft_reference_norm {
    bool layernorm;
    uint32_t C;
    double eps, gain_offset;
} vkft_reference_norm;
void vkft_reference_norm_row(const vkft_reference_norm *norm, const double *x, const double *gain, const double *bias,
                             double *y);

/* Rotates the first R columns of one head in place; table: pairs (cos, sin) [R/2] of the head's position. */
void vkft_reference_rope_head(double *x, uint32_t R, const float *table);

/* The dropout generator: word i of Philox4x32-10 with this key, layer and step; 0 ... 2^32-1. */
uint32_t vkft_reference_dropout_word(uint64_t seed, uint32_t layer, uint32_t micro_step, uint32_t i);
void vkft_reference_philox(uint32_t counter[4], uint32_t key0, uint32_t key1);

/* -log softmax(z)[target] of V values. */
double vkft_reference_cross_entropy(const double *z, uint32_t V, uint32_t target);
typedef struct vkft_reference_loss {
    double softcap, smoothing, z_loss; /* as those of cross_entropy, shaders/loss/args.h */
} vkft_reference_loss;
/* The loss of z = x, capped, and dx = its gradient times weight. z [V] is written. */
double vkft_reference_loss_backward(const vkft_reference_loss *loss, const double *x, uint32_t V, uint32_t target,
                                    double weight, double *z, double *dx);

/* d(loss)/d(x[i]) of a function by central differences with step 1e-5: exact to about 1e-9 for functions of order 1. */
typedef double (*vkft_scalar_function)(const double *x, const void *context);
void vkft_central_differences(vkft_scalar_function f, const void *context, double *x, uint32_t n, double *gradient);

#endif
