/* x[t,c] += alpha / sqrt(L * C) * u, u uniform in [-1, 1): NEFTune. L is the length of the sample that token t belongs to: it is the
 * first key that t sees and the last query that sees t. u of element i is bit-reproducible from (seed, step.micro_step, layer, i): of word i%4
 * of Philox4x32-10, see dropout, the upper 24 bits. x [T,C] f32 in place.
 * threads_x = ceil(T*C/4): one invocation four elements. Source: Jain et al. 2023. Test: test_kernels_elementwise */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/embedding/args.h"
#include "shaders/core/philox.glsl"

ARGS(noise_args)

void main()
{
    uint first = 4 * INVOCATION, n = args.T * args.C;
    if (first >= n)
        return;
    uvec4 words = philox(uvec4(INVOCATION, args.layer, floatBitsToUint(args.step.v[STEP_MICRO_STEP]), 0),
                         uvec2(args.seed_low, args.seed_high));
    [[unroll]] for (uint q = 0; q < 4; q++) {
        uint i = first + q, t = i / args.C;
        if (i < n) {
            uint length = args.key_range.v[2 * t + 1] - args.query_range.v[2 * t];
            float u = float(words[q] >> 8) * (2.0 / 16777216.0) - 1.0;
            args.x.v[i] += u * (args.alpha / sqrt(float(length * args.C)));
        }
    }
}
