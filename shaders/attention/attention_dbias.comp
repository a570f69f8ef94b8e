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
    uvec2 queries = uvec2(args.q), keys = uvec2(args.k), values = uvec2(args.v), gradients = uvec2(args.dout);
    float sum = 0.0;
    for (uint t = gl_LocalInvocationID.x / LANES; t < args.T; t += WIDTH / LANES) {
        int s = int(t) + distance;
        if (s < int(args.range.v[2 * t]) || s >= int(args.range.v[2 * t + 1]))
            continue;
        uint query = t * args.Hq + h, key = uint(s) * args.Hk + g;
        float score = 0.0, dp = 0.0;
        [[unroll]] for (uint d = 0; d < PART; d++) { /* unrolled: llvmpipe stops an invocation after 65535 loop iterations in
                                                      * total, and inner loops count */
            score = dot_to(score, held(queries, query, d) * args.scale, unit_of(keys, key, d));
            dp = dot_to(dp, held(gradients, query, d), unit_of(values, key, d));
        }
        score = capped(lanes_sum(score), args.softcap) + RELATIVE_BIAS(t, uint(s), h);
        sum += exp_exact(score - args.lse.v[query]) * (lanes_sum(dp) - args.delta.v[query]);
    }
    sum = subgroupAdd(lane() == 0 ? sum : 0.0);
    if (gl_LocalInvocationID.x == 0)
        args.dq.v[WORKGROUP * args.Hq + h] = sum;
}
