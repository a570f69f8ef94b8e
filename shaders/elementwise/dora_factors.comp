/* Of row c of W + s B A: f[N + c] = 1 / its norm, f[c] = m[c] / its norm; 0 for a row of zeros. squares[c] = |W_c|^2, u = 2 A W^T + s A A^T B^T
 * [r,N], so that |W_c + s B_c A|^2 = squares[c] + s sum_k B[c,k] u[k,c]. threads_x = N: one invocation a row.
 * Source: Liu et al. 2024 (DoRA). Test: test_kernels_parameters */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"

#define RANKS 8 /* per iteration; keeps the loop below llvmpipe's limit of iterations (common.glsl) */

ARGS(dora_factors_args)

void main()
{
    uint c = INVOCATION;
    if (c >= args.N)
        return;
    float sum = 0.0;
    for (uint k = 0; k < args.r; k += RANKS)
        [[unroll]] for (uint q = 0; q < RANKS; q++)
            if (k + q < args.r)
                sum = fma(args.b.v[c * args.r + k + q], args.u.v[(k + q) * args.N + c], sum);
    float square = fma(args.scale, sum, args.squares.v[c]), inverse = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
    args.f.v[c] = args.m.v[c] * inverse;
    args.f.v[args.N + c] = inverse;
}
