/* Arguments of the kernels of the optimizer; shaders/core/args.h says how to read them. */
#ifndef VKFT_OPTIMIZER_ARGS_H
#define VKFT_OPTIMIZER_ARGS_H

#include "shaders/core/args.h"

/* sum / sum_squares: partial[w] = sum over the w-th of `parts` equal slices of x (or of x^2), in a fixed order: one
 * workgroup a slice. A second launch with parts = 1 over partial finishes it. add != 0: y[w] += instead. */
struct sum_args {
    ADDR(F32) x;
    ADDR(F32) y;
    uint n, parts;
    uint add;
};

/* Kernels that update do nothing where the norm is not finite: one such gradient would spoil every parameter. The bits
 * are looked at because a compiler may take numbers for finite. */
#ifdef VKFT_GLSL
#define NORM_IS_FINITE(step) ((floatBitsToUint((step).v[STEP_GRAD_NORM]) & 0x7f800000u) != 0x7f800000u)
#endif

/* clip: step.grad_norm = sqrt(sum of n partial sums of squares); step.clip = min(1, max_norm / (grad_norm + 1e-6)), 1
 * when max_norm <= 0. One workgroup. */
struct clip_args {
    ADDR(F32) partial;
    ADDR(F32) step;
    uint n;
    float max_norm;
};

/* adamw (PyTorch): g' = step.clip * g; p -= lr*weight_decay*p for the first `decayed` elements; m = b1 m + (1-b1) g'; v
 * = b2 v + (1-b2) g'^2; p -= lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + eps). lr = rate * step.lr; the two
 * corrections come from step. n elements, flat. */
struct adamw_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(F32) m;
    ADDR(F32) v;
    ADDR(F32) step;
    uint n, decayed;
    float beta1, beta2, epsilon, weight_decay, rate;
};

/* lorafa: adamw as transformers had it, after g' = step.clip * g C for rows of r elements; C [r,r], r = 0: 1. p -= lr *
 * sqrt(1-b2^t) / (1-b1^t) * m / (sqrt(v) + eps), then the decay. n elements, flat. */
struct lorafa_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(F32) m;
    ADDR(F32) v;
    ADDR(F32) c;
    ADDR(F32) step;
    uint n, decayed, r;
    float beta1, beta2, epsilon, weight_decay, rate;
};

/* adamw_8bit: adamw of a tensor of n elements, whose moments are codes of the maps in `table`, in blocks of 256: code
 * [n] as bytes, absmax [blocks]. grow1 = 1 - beta1, grow2 = 1 - beta2, rounded once. */
struct adamw_8bit_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(U32) m;
    ADDR(U32) v;
    ADDR(F32) absmax_m;
    ADDR(F32) absmax_v;
    ADDR(F32) table;
    ADDR(F32) step;
    uint n;
    float beta1, beta2, grow1, grow2, epsilon, weight_decay, rate;
};

/* lion_8bit: lion of a tensor of n elements, whose moment is codes of the map in `table`, in blocks of 256: code [n] as
 * bytes, absmax [blocks]. grow1 = 1 - beta1, grow2 = 1 - beta2, rounded once. */
struct lion_8bit_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(U32) m;
    ADDR(F32) absmax;
    ADDR(F32) table;
    ADDR(F32) step;
    uint n;
    float beta1, beta2, grow1, grow2, weight_decay, rate;
};

/* adafactor: the kernels of one matrix [rows, cols], rows * cols < 2^32; vectors have one row. g' = step.clip * g, u =
 * g'^2 + 1e-30, grow = step.correction1 = t^-0.8, R[i] = v[i] the rows' means, C[j] = v[rows + j] the columns'.
 *
 * adafactor_rows, one workgroup a row: R[i] += grow * (mean_j u[i,j] - R[i]).
 *
 * adafactor_columns, ADAFACTOR_LANES invocations a column: C[j] += grow * (mean_i u[i,j] - C[j]).
 *
 * adafactor_squares: partial[w] = sum of x^2 over the w-th of `parts` equal slices, x[i,j] = g' / sqrt(R[i] / mean(R) *
 * C[j]), mean(R) = total[0] / rows; `sum` has computed total[0] from R.
 *
 * adafactor: p -= lr * weight_decay * p for the first `decayed` elements; p -= lr * x / max(1, rms), rms =
 * sqrt(total[1] / (rows * cols)), lr = rate * step.lr; `sum` has computed total[1] from partial. */
#define ADAFACTOR_LANES 16u
struct adafactor_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(F32) v;
    ADDR(F32) total;
    ADDR(F32) partial;
    ADDR(F32) step;
    uint rows, cols, parts, decayed;
    float weight_decay, rate;
};

/* lion: g' = step.clip * g; p -= lr*weight_decay*p for the first `decayed` elements; p -= lr * sign(b1 m + (1-b1) g');
 * m = b2 m + (1-b2) g'. lr = rate * step.lr. n elements, flat. */
struct lion_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(F32) m;
    ADDR(F32) step;
    uint n, decayed;
    float beta1, beta2, weight_decay, rate;
};

/* muon: the kernels of one matrix of n elements, g' = step.clip * g, lr = rate * step.lr; between them products, see
 * host/trainable/optimizer/muon.c.
 *
 * muon_momentum: m += (1 - momentum) (g' - m); x = nesterov ? g' + momentum (m - g') : m. x may be g.
 *
 * muon_normalize: x /= max(sqrt(total[0]), 1e-7).
 *
 * muon_polynomial: x = a I + b g, [cols, cols]; MUON_A and MUON_B.
 *
 * muon: p -= lr * weight_decay * p; p -= lr * adjust * x. */
#define MUON_A 3.4445f
#define MUON_B -4.7750f
#define MUON_C 2.0315f
struct muon_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(F32) m;
    ADDR(F32) x;
    ADDR(F32) total;
    ADDR(F32) step;
    uint n, cols, nesterov;
    float grow; /* 1 - momentum, rounded once */
    float weight_decay, rate, adjust;
};

/* round_bf16: y = x as bf16, to nearest, two elements a word; n elements, an even number. */
struct round_bf16_args {
    ADDR(F32) x;
    ADDR(U32) y;
    uint n;
};

/* widen_bf16: y = x, which is bf16, two elements a word; n elements, an even number. */
struct widen_bf16_args {
    ADDR(U32) x;
    ADDR(F32) y;
    uint n;
};

/* stochastic_bf16: y = x as bf16, two elements a word: the neighbour below or above, with a probability that makes the
 * mean x. n elements, a multiple of STOCHASTIC_RUN; `first` is the number of x's first run among all parameters. */
#define STOCHASTIC_RUN 8u
struct stochastic_bf16_args {
    ADDR(F32) x;
    ADDR(U32) y;
    ADDR(F32) step;
    uint n, first, seed_low, seed_high;
};

/* sgd: g' = step.clip * g, plus weight_decay * p for the first `decayed` elements; b = momentum b + g'; p -= lr b. lr =
 * rate * step.lr. n elements, flat. */
struct sgd_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(F32) b;
    ADDR(F32) step;
    uint n, decayed;
    float momentum, weight_decay, rate;
};

#endif
