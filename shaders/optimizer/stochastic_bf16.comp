/* y = x rounded to one of its two neighbours in bf16, away from zero with the probability (distance from the other) / (distance of the two), so that
 * the mean is x; what is bf16 already stays. Two elements a word, n elements, a multiple of 8. NaN and infinity stay what they are.
 * A rounding depends on (seed, step.update, number of the element) alone: 16 of the random bits are added to the 16 that are cut off. Four words of
 * Philox4x32-10 with the counter (first + i/8, 0, update, 1) and the key seed are for 8 elements, lower halves first.
 * threads_x = n/8. Source: Gupta et al. 2015; torchao's bf16_stochastic_round. Test: test_kernels_elementwise, test_stochastic_rounding */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/core/philox.glsl"
#include "shaders/optimizer/args.h"

ARGS(stochastic_bf16_args)

uint rounded(float x, uint random)
{
    uint u = floatBitsToUint(x), magnitude = u & 0x7fffffffu;
    if (magnitude >= 0x7f800000u)
        return u >> 16 | (magnitude > 0x7f800000u ? 64u : 0u);
    return (u + random) >> 16;
}

void main()
{
    uint i = INVOCATION, at = i * STOCHASTIC_RUN;
    if (at >= args.n)
        return;
    uvec4 words = philox(uvec4(args.first + i, 0, floatBitsToUint(args.step.v[STEP_UPDATE]), 1), uvec2(args.seed_low, args.seed_high));
    [[unroll]] for (uint q = 0; q < STOCHASTIC_RUN / 2; q++)
        args.y.v[at / 2 + q] = rounded(args.x.v[at + 2 * q], words[q] & 0xffffu) | rounded(args.x.v[at + 2 * q + 1], words[q] >> 16) << 16;
}
