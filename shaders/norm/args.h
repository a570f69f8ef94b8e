/* Arguments of the kernels of normalizations; shaders/core/args.h says how to read them. */
#ifndef VKFT_NORM_ARGS_H
#define VKFT_NORM_ARGS_H

#include "shaders/core/args.h"

/* rmsnorm: y = x * s * (g + gain_offset),  s = 1/sqrt(mean(x^2) + eps);  x, y [T,C], g [C]. One workgroup a row. */
struct rmsnorm_args {
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) y;
    uint T, C;
    float eps, gain_offset;
};

/* rmsnorm_f16: the same y as rows in f16 of `ld` elements with their inverse factors, as rows_f16 makes them; in f32,
 * too, if y is not 0. */
struct rmsnorm_f16_args {
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) y;
    ADDR(U32) rows;
    ADDR(F32) inverse;
    uint T, C, ld;
    float eps, gain_offset;
};

/* rmsnorm_backward: dx = s*g'*dy - x*s^3/C * sum(g'*dy*x), g' = g + gain_offset, added to dx when add != 0. One
 * workgroup a row. */
struct rmsnorm_backward_args {
    ADDR(F32) dy;
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) dx;
    uint T, C;
    float eps, gain_offset;
    uint add;
};

/* rmsnorm_backward_f16: the same, and what dx is then also as rows in f16, see rmsnorm_f16. */
struct rmsnorm_backward_f16_args {
    ADDR(F32) dy;
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) dx;
    ADDR(U32) rows;
    ADDR(F32) inverse;
    uint T, C, ld;
    float eps, gain_offset;
    uint add;
};

/* layernorm: y = (x - m) * s * g + b,  m = mean(x), s = 1/sqrt(mean((x-m)^2) + eps);  x, y [T,C], g, b [C]. One
 * workgroup a row. */
struct layernorm_args {
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) b;
    ADDR(F32) y;
    uint T, C;
    float eps;
};

/* layernorm_backward: dx = s * (g*dy - mean(g*dy) - h * mean(g*dy*h)), h = (x - m) * s, added to dx when add != 0. One
 * workgroup a row. */
struct layernorm_backward_args {
    ADDR(F32) dy;
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) dx;
    uint T, C;
    float eps;
    uint add;
};

/* norm_stats: stats[t] = (m, s) of row t as rmsnorm (m = 0) or, with layernorm != 0, layernorm have them; x [T,C],
 * stats [T,2]. One workgroup a row. */
struct norm_stats_args {
    ADDR(F32) x;
    ADDR(F32) stats;
    uint T, C;
    float eps;
    uint layernorm;
};

/* norm_gain_backward: dg[c] += sum_t dy[t,c] (x[t,c] - m_t) s_t, in order. One invocation a column. */
struct norm_gain_backward_args {
    ADDR(F32) dy;
    ADDR(F32) x;
    ADDR(F32) stats;
    ADDR(F32) dg;
    uint T, C;
};

#endif
