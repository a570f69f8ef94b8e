/* by_distance[d,h] = sum over t of p (dout[t,h].v[s,g] - delta[t,h]), s = t + d + 1 - span in range[t], p = exp(score - lse[t,h]): each pair of
 * query and key is visited once, by the workgroup of its distance. dq is by_distance [2*span - 1, Hq]. threads_x = (2*span - 1) * WIDTH (one
 * workgroup a distance), threads_y = Hq. Source: Raffel et al. 2019. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_backward_args)

void main()
{
    uint h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk);
    int distance = int(WORKGROUP) + 1 - int(args.span);
    float sum = 0.0;
    for (uint t = gl_LocalInvocationID.x; t < args.T; t += WIDTH) {
        int s = int(t) + distance;
        if (s < int(args.range.v[2 * t]) || s >= int(args.range.v[2 * t + 1]))
            continue;
        uint query = (t * args.Hq + h) * HEAD, key = (uint(s) * args.Hk + g) * HEAD;
        float score = 0.0, dp = 0.0;
        [[unroll]] for (uint d = 0; d < HEAD; d++) { /* unrolled: llvmpipe stops an invocation after 65535 loop iterations in
                                                      * total, and inner loops count */
            score = fma(args.q.v[query + d] * args.scale, args.k.v[key + d], score);
            dp = fma(args.dout.v[query + d], args.v.v[key + d], dp);
        }
        score = capped(score, args.softcap) + RELATIVE_BIAS(t, uint(s), h);
        sum += exp_exact(score - args.lse.v[t * args.Hq + h]) * (dp - args.delta.v[t * args.Hq + h]);
    }
    sum = subgroupAdd(sum);
    if (gl_LocalInvocationID.x == 0)
        args.dq.v[WORKGROUP * args.Hq + h] = sum;
}
