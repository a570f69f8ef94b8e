/* y = x rounded to bf16, to nearest, ties to even; two elements a word. n elements, an even number. NaN stays NaN.
 * threads_x = n/2. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(round_bf16_args)

uint rounded(float x)
{
    uint u = floatBitsToUint(x);
    return ((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : u + 0x7fffu + (u >> 16 & 1u)) >> 16;
}

void main()
{
    uint i = INVOCATION;
    if (2 * i < args.n)
        args.y.v[i] = rounded(args.x.v[2 * i]) | rounded(args.x.v[2 * i + 1]) << 16;
}
