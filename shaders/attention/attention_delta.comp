/* delta[t,h] = sum_d dout[t,h,d] o[t,h,d]; both [T,Hq,D] f32. threads_x = T * Hq: one invocation a head of a token.
 * Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"

ARGS(attention_delta_args)

void main()
{
    uint i = INVOCATION;
    if (i >= args.T * args.Hq)
        return;
    float sum = 0.0;
    for (uint d = 0; d < args.D; d++)
        sum = fma(args.dout.v[i * args.D + d], args.o.v[i * args.D + d], sum);
    args.delta.v[i] = sum;
}
