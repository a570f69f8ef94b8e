/* Arguments of the kernels of elementwise kernels, and those of rows and columns; shaders/core/args.h says how to read
 * them. */
#ifndef VKFT_ELEMENTWISE_ARGS_H
#define VKFT_ELEMENTWISE_ARGS_H

#include "shaders/core/args.h"

/* Activations f, numbered as vkft_activation is. */
#define ACTIVATION_SILU 0      /* x sigmoid(x) */
#define ACTIVATION_GELU 1      /* x/2 (1 + erf(x/sqrt 2)) */
#define ACTIVATION_GELU_TANH 2 /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
#define ACTIVATION_RELU 3      /* max(x, 0) */

/* gated: h = f(gate) * up, n elements. */
struct gated_args {
    ADDR(F32) gate;
    ADDR(F32) up;
    ADDR(F32) h;
    uint n;
    uint activation;
};

/* gated_backward: dgate = dh * up * f'(gate), dup = dh * f(gate). dgate may be gate and dup may be up. */
struct gated_backward_args {
    ADDR(F32) dh;
    ADDR(F32) gate;
    ADDR(F32) up;
    ADDR(F32) dgate;
    ADDR(F32) dup;
    uint n;
    uint activation;
};

/* gated_f16: the same of T rows of n elements, h as rows in f16 of `ld` elements with their inverse factors, as
 * rows_f16 makes them; in f32, too, if h is not 0. One workgroup a row. expert_gated_f16: expert_gated's h. */
struct gated_f16_args {
    ADDR(F32) gate;
    ADDR(F32) up;
    ADDR(F32) h;
    ADDR(U32) rows;
    ADDR(F32) inverse;
    uint T, n, ld;
    uint activation;
    ADDR(F32) weight;     /* expert_gated_f16 */
    ADDR(U32) assignment; /* expert_gated_f16 */
};

/* gated_backward_f16: the same of T rows of n elements; dgate and dup also as rows in f16, see gated_f16, those of
 * which the address is not 0. They are `stride` apart and may lie in dh, where each row then has one of both.
 * expert_gated_backward_f16: expert_gated_backward's; dweight if it is not 0. */
struct gated_backward_f16_args {
    ADDR(F32) dh;
    ADDR(F32) gate;
    ADDR(F32) up;
    ADDR(F32) dgate;
    ADDR(F32) dup;
    ADDR(U32) dgate_rows;
    ADDR(F32) dgate_inverse;
    ADDR(U32) dup_rows;
    ADDR(F32) dup_inverse;
    uint T, n, ld, stride;
    uint activation;
    ADDR(F32) weight;     /* expert_gated_backward_f16 */
    ADDR(U32) assignment; /* expert_gated_backward_f16 */
    ADDR(F32) dweight;    /* expert_gated_backward_f16 */
};

/* activation: y = f(x), n elements.  activation_backward: y = dy * f'(x); y may be x or dy. */
struct activation_args {
    ADDR(F32) x;
    ADDR(F32) dy; /* activation_backward */
    ADDR(F32) y;
    uint n;
    uint activation;
};

/* softcap: x = cap * tanh(x / cap), n elements in place. */
struct softcap_args {
    ADDR(F32) x;
    uint n;
    float cap;
};

/* copy_columns: to[t, to_column(i)] = from[t, from_column(i)], t < T, i < n. Columns come in runs of `run`: element i
 * is number i % run of run i / run, which begins at offset + (i / run) * step. Row strides ld. */
struct copy_columns_args {
    ADDR(F32) from;
    ADDR(F32) to;
    uint T, n, run;
    uint from_ld, from_offset, from_step;
    uint to_ld, to_offset, to_step;
};

/* bias_rows: y[t,c] = (add ? r[t,c] : 0) + scale * b[c]; y, r [T,C], b [C]. y may be r. */
struct bias_rows_args {
    ADDR(F32) b;
    ADDR(F32) r;
    ADDR(F32) y;
    uint T, C;
    uint add;
    float scale;
};

/* dropout: y = (add ? y : 0) + x * keep / (1-p), keep[i] from a counter-based generator keyed by
 * (seed, step.micro_step, layer, i). The backward is the same launch with dx for y. n elements. */
struct dropout_args {
    ADDR(F32) x;
    ADDR(F32) y;
    ADDR(F32) step;
    uint n;
    float p;
    uint seed_low, seed_high;
    uint layer;
    uint add;
};

/* add: y[i] = a[i] + b[i] (y may be either). */
struct add_args {
    ADDR(F32) a;
    ADDR(F32) b;
    ADDR(F32) y;
    uint n;
};

/* column_sum: y[c] += scale * sum_t x[t,c], in order; x [T,C]. One invocation a column. */
struct column_sum_args {
    ADDR(F32) x;
    ADDR(F32) y;
    uint T, C;
    float scale;
};

/* dora_factors: f [2,N] = m and 1, divided by the norms of the rows of W + scale B A; squares and m [N], B [N,r], u
 * [r,N] = 2 A W^T + scale A A^T B^T. */
struct dora_factors_args {
    ADDR(F32) squares;
    ADDR(F32) b;
    ADDR(F32) u;
    ADDR(F32) m;
    ADDR(F32) f;
    uint N, r;
    float scale;
};

#define DORA_ADD 1u
#define DORA_LESS 2u
#define DORA_BIAS 4u

/* dora_rows: y = r + scale * (f u - base + b), all [T,C] but f and b [C]; parts: whether there are r, base and b. */
struct dora_rows_args {
    ADDR(F32) f;
    ADDR(F32) u;
    ADDR(F32) base;
    ADDR(F32) b;
    ADDR(F32) r;
    ADDR(F32) y;
    uint T, C;
    uint parts;
    float scale;
};

/* dora_magnitude: dm[c] += scale * inverse[c] * sum_t dy[t,c] u[t,c]; dy and u [T,C]. */
struct dora_magnitude_args {
    ADDR(F32) dy;
    ADDR(F32) u;
    ADDR(F32) inverse;
    ADDR(F32) dm;
    uint T, C;
    float scale;
};

#endif
