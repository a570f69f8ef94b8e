/* delta[t,h] = sum_d dout[t,h,d] o[t,h,d]; both [T,Hq,D] f32. threads_x = T * Hq * LANES: LANES invocations a head of a token.
 * Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_delta_args)

void main()
{
    uint i = INVOCATION / LANES, rows = args.T * args.Hq, row = min(i, rows - 1);
    float sum = 0.0;
    [[unroll]] for (uint d = 0; d < PART; d++)
        sum = dot_to(sum, held(uvec2(args.dout), row, d), unit_of(uvec2(args.o), row, d));
    sum = lanes_sum(sum);
    if (i < rows && lane() == 0)
        args.delta.v[i] = sum;
}
