/* dx = s*g'*dy - x*s^3/C * sum(g'*dy*x), g' = g + gain_offset,  s = 1/sqrt(mean(x^2) + eps), added to dx when add != 0; all [T,C] f32, g [C].
 * threads_x = T * WIDTH: one workgroup a row. With F16_ROWS dx also in f16, for products on matrix cores (core/f16_rows.glsl).
 * Source: Zhang & Sennrich 2019, eq. 4. Test: test_kernels_norm */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

#ifdef F16_ROWS
#include "shaders/core/address.glsl"
#include "shaders/core/f16_rows.glsl"
ARGS(rmsnorm_backward_f16_args)

void write_dx(uint row, float s, float slope)
{
    uint runs = args.ld / 4, largest = 0;
    F32_ref x = F32_ref(address_of(uvec2(args.x), row)), dy = F32_ref(address_of(uvec2(args.dy), row)),
            dx = F32_ref(address_of(uvec2(args.dx), row));
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        vec4 d = s * (load_run(args.g, 4 * r, args.C) + args.gain_offset) * load_run(dy, 4 * r, args.C) - slope * load_run(x, 4 * r, args.C);
        if (args.add != 0)
            d += load_run(dx, 4 * r, args.C);
        store_run(dx, 4 * r, args.C, d);
        largest = largest_of(largest, d);
    }
    uint exponent = exponent_for(subgroupMax(largest));
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        vec4 v = load_run(dx, 4 * r, args.C); /* as this invocation wrote it */
        Halves_ref(uvec2(args.rows)).at[WORKGROUP * runs + r] = halves_of(v, factor_of(exponent));
    }
    if (gl_LocalInvocationID.x == 0)
        args.inverse.v[WORKGROUP] = inverse_of(exponent);
}
#else
ARGS(rmsnorm_backward_args)

void write_dx(uint row, float s, float slope)
{
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float dx = s * (args.g.v[c] + args.gain_offset) * args.dy.v[row + c] - slope * args.x.v[row + c];
        args.dx.v[row + c] = args.add != 0 ? args.dx.v[row + c] + dx : dx;
    }
}
#endif

void main()
{
    uint row = WORKGROUP * args.C;
    float squares = 0.0, product = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float x = args.x.v[row + c];
        squares = fma(x, x, squares);
        product = fma((args.g.v[c] + args.gain_offset) * args.dy.v[row + c], x, product);
    }
    float s = 1.0 / sqrt(subgroupAdd(squares) / float(args.C) + args.eps);
    float slope = subgroupAdd(product) * s * s * s / float(args.C);
    write_dx(row, s, slope);
}
