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
void run_of(F32_ref x, uint r, float s, out float y[8])
{
    float g[8];
    load_run(x, 8 * r, args.C, y);
    load_run(args.g, 8 * r, args.C, g);
    [[unroll]] for (uint q = 0; q < 8; q++)
        y[q] = 8 * r + q < args.C ? y[q] * s * (g[q] + args.gain_offset) : 0.0;
}

void normalize(uint row, float s)
{
    uint runs = args.ld / 8, largest = 0;
    bool has_y = uvec2(args.y) != uvec2(0);
    F32_ref x = F32_ref(address_of(uvec2(args.x), row)), y = F32_ref(address_of(uvec2(args.y), row));
    float v[8];
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        run_of(x, r, s, v);
        if (has_y)
            store_run(y, 8 * r, args.C, v);
        largest = largest_of(largest, v);
    }
    uint exponent = exponent_for(subgroupMax(largest));
    for (uint r = gl_LocalInvocationID.x; r < runs; r += WIDTH) {
        run_of(x, r, s, v);
        Halves8_ref(uvec2(args.rows)).at[WORKGROUP * runs + r] = halves_of(v, factor_of(exponent));
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
