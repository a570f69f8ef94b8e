/* Fused multiply-adds in chains that do not wait for each other: what the device computes at best. HALF: pairs of 16-bit floats. args.h has the
 * formula. Test: test_kernels_bench */
#version 460
#extension GL_GOOGLE_include_directive : require
#ifdef HALF
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#define LANES f16vec2
#define START(i) f16vec2(float16_t(2 * (i)), float16_t(2 * (i) + 1))
#define SUM(s) (float((s).x) + float((s).y))
#else
#define LANES vec4
#define START(i) vec4(4 * (i), 4 * (i) + 1, 4 * (i) + 2, 4 * (i) + 3)
#define SUM(s) ((s).x + (s).y + (s).z + (s).w)
#endif
#include "shaders/core/common.glsl"
#include "shaders/bench/args.h"

ARGS(peak_args)

void main()
{
    const LANES a = LANES(args.a), b = LANES(args.b);
    LANES s[PEAK_CHAINS];
    [[unroll]] for (int i = 0; i < PEAK_CHAINS; i++)
        s[i] = START(i);
    for (uint k = 0; k < args.iterations; k++)
        [[unroll]] for (int u = 0; u < PEAK_UNROLL; u++)
            [[unroll]] for (int i = 0; i < PEAK_CHAINS; i++)
                s[i] = fma(s[i], a, b);
    float sum = 0;
    [[unroll]] for (int i = 0; i < PEAK_CHAINS; i++)
        sum += SUM(s[i]);
    args.y.v[INVOCATION] = sum;
}
