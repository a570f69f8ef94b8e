/* y = (add ? y : 0) + x * keep / (1-p), n elements f32. keep[i] is bit-reproducible from (seed, step.micro_step, layer, i): word i%4 of
 * Philox4x32-10 with key seed and counter (i/4, layer, micro_step, 0), kept when the word >= p * 2^32.
 * threads_x = ceil(n/4): one invocation four elements, as a vector where x and y are aligned to 16 bytes. Source: Salmon et al. 2011; Hinton et al. 2012. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/elementwise/args.h"
#include "shaders/core/philox.glsl"

ARGS(dropout_args)

layout(buffer_reference, scalar, buffer_reference_align = 16) buffer Vectors_ref { vec4 at[]; };

void main()
{
    uint first = 4 * INVOCATION;
    if (first >= args.n)
        return;
    uvec4 words = philox(uvec4(INVOCATION, args.layer, floatBitsToUint(args.step.v[STEP_MICRO_STEP]), 0),
                         uvec2(args.seed_low, args.seed_high));
    uint threshold = uint(args.p * 4294967296.0);
    float scale = 1.0 / (1.0 - args.p);
    if (first + 4 <= args.n && ((uvec2(args.x).x | uvec2(args.y).x) & 15) == 0) {
        Vectors_ref y = Vectors_ref(uvec2(args.y));
        vec4 kept = mix(vec4(0.0), Vectors_ref(uvec2(args.x)).at[INVOCATION] * scale, greaterThanEqual(words, uvec4(threshold)));
        y.at[INVOCATION] = args.add != 0 ? y.at[INVOCATION] + kept : kept;
        return;
    }
    [[unroll]] for (uint q = 0; q < 4; q++) {
        uint i = first + q;
        if (i < args.n) {
            float y = words[q] >= threshold ? args.x.v[i] * scale : 0.0;
            args.y.v[i] = args.add != 0 ? args.y.v[i] + y : y;
        }
    }
}
