/* y = x * s * (g + gain_offset),  s = 1/sqrt(mean(x^2) + eps);  x, y [T,C], g [C] f32. threads_x = T * WIDTH: one workgroup a row.
 * With F16_ROWS y in f16, for products on matrix cores (core/f16_rows.glsl), and in f32 as well if y is not 0.
 * Source: Zhang & Sennrich 2019. Test: test_kernels_norm */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/norm/args.h"

#ifdef F16_ROWS
#include "shaders/core/address.glsl"
#include "shaders/core/f16_rows.glsl"
ARGS(rmsnorm_f16_args)

/* Of a row's y; zeros past its end. */
vec4 run_of(F32_ref x, uint r, float s)
{
    return load_run(x, 4 * r, args.C) * s * (load_run(args.g, 4 * r, args.C) + args.gain_offset);
}

void normalize(uint row, float s)
{
    uint runs = args.ld / 4, largest = 0;
    bool has_y = uvec2(args.y) != uvec2(0);
    F32_ref x = F32_ref(address_of(uvec2(args.x), row)), y = F32_ref(address_of(uvec2(args.y), row));
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        vec4 v = run_of(x, r, s);
        if (has_y)
            store_run(y, 4 * r, args.C, v);
        largest = largest_of(largest, v);
    }
    uint exponent = exponent_for(subgroupMax(largest));
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        Halves_ref(uvec2(args.rows)).at[WORKGROUP * runs + r] = halves_of(run_of(x, r, s), factor_of(exponent));
    }
    if (gl_LocalInvocationID.x == 0)
        args.inverse.v[WORKGROUP] = inverse_of(exponent);
}
#else
ARGS(rmsnorm_args)

void normalize(uint row, float s)
{
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH)
        args.y.v[row + c] = args.x.v[row + c] * s * (args.g.v[c] + args.gain_offset);
}
#endif

void main()
{
    uint row = WORKGROUP * args.C;
    float sum = 0.0;
    for (uint c = gl_LocalInvocationID.x; c < args.C; c += WIDTH) {
        float x = args.x.v[row + c];
        sum = fma(x, x, sum);
    }
    float s = 1.0 / sqrt(subgroupAdd(sum) / float(args.C) + args.eps);
    normalize(row, s);
}
