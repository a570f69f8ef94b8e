/* dq[t,h] = scale * sum_s p (dout[t,h].v[s,g] - delta[t,h]) k[s,g],  p = exp(scale q.k - lse[t,h]), s in range[t].
 * threads_x = T * LANES (LANES invocations a query), threads_y = Hq. Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_backward_args)

void main()
{
    uint t = INVOCATION / LANES, h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk);
    bool live = t < args.T;
    uint row = min(t, args.T - 1) * args.Hq + h;
    uvec2 range = live ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
    uvec2 span = walk(range);
    uvec2 keys = uvec2(args.k), values = uvec2(args.v);

    vec4 q[PART], dout[PART], dq[PART];
    [[unroll]] for (uint d = 0; d < PART; d++) {
        q[d] = held(uvec2(args.q), row, d) * args.scale;
        dout[d] = held(uvec2(args.dout), row, d);
        dq[d] = vec4(0.0);
    }
    float lse = args.lse.v[row], delta = args.delta.v[row];
    uint s = span.x;
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[BLOCK], dp[BLOCK], ds[BLOCK];
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            at[j] = min(s + j, last_row(span)) * args.Hk + g;
            score[j] = dp[j] = 0.0;
        }
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[j] = dot_to(score[j], q[d], unit_of(keys, at[j], d));
                dp[j] = dot_to(dp[j], dout[d], unit_of(values, at[j], d));
            }
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            bool seen = s + j >= range.x && s + j < range.y;
            score[j] = capped(lanes_sum(score[j]), args.softcap);
            dp[j] = lanes_sum(dp[j]);
            float bias = RELATIVE_BIAS(t, s + j, h);
            ds[j] = seen ? exp_exact(score[j] + bias - lse) * (dp[j] - delta) * cap_slope(score[j], args.softcap) : 0.0;
        }
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++)
                dq[d] = fma(vec4(ds[j]), unit_of(keys, at[j], d), dq[d]);
        s += BLOCK;
    } while (s < span.y);
    if (live)
        [[unroll]] for (uint d = 0; d < PART; d++)
            store_unit(uvec2(args.dq), row, d, dq[d] * args.scale);
}
