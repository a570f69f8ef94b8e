/* y = x, f32 of bf16, which lie two in a word. n elements, an even number. threads_x = n/2. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/optimizer/args.h"

ARGS(widen_bf16_args)

void main()
{
    uint i = INVOCATION;
    if (2 * i >= args.n)
        return;
    uint word = args.x.v[i];
    args.y.v[2 * i] = uintBitsToFloat(word << 16);
    args.y.v[2 * i + 1] = uintBitsToFloat(word & 0xffff0000u);
}
