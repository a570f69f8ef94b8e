/* dq[t,h] = scale * sum_s p (dout[t,h].v[s,g] - delta[t,h]) k[s,g],  p = exp(scale q.k - lse[t,h]), s in range[t].
 * threads_x = T (one invocation a query), threads_y = Hq. Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_backward_args)

void main()
{
    uint t = INVOCATION, h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk);
    bool live = t < args.T;
    uint row = min(t, args.T - 1) * args.Hq + h;
    uvec2 range = live ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
    uvec2 span = walk(range);

    float q[HEAD], dout[HEAD], dq[HEAD];
    [[unroll]] for (uint d = 0; d < HEAD; d++) {
        q[d] = args.q.v[row * HEAD + d] * args.scale;
        dout[d] = args.dout.v[row * HEAD + d];
        dq[d] = 0.0;
    }
    float lse = args.lse.v[row], delta = args.delta.v[row];
    uint s = span.x;
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[BLOCK], dp[BLOCK], ds[BLOCK];
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            at[j] = (min(s + j, last_row(span)) * args.Hk + g) * HEAD;
            score[j] = dp[j] = 0.0;
        }
        [[unroll]] for (uint d = 0; d < HEAD; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[j] = fma(q[d], args.k.v[at[j] + d], score[j]);
                dp[j] = fma(dout[d], args.v.v[at[j] + d], dp[j]);
            }
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            bool seen = s + j >= range.x && s + j < range.y;
            score[j] = capped(score[j], args.softcap);
            float bias = RELATIVE_BIAS(t, s + j, h);
            ds[j] = seen ? exp_exact(score[j] + bias - lse) * (dp[j] - delta) * cap_slope(score[j], args.softcap) : 0.0;
        }
        [[unroll]] for (uint d = 0; d < HEAD; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++)
                dq[d] = fma(ds[j], args.k.v[at[j] + d], dq[d]);
        s += BLOCK;
    } while (s < span.y);
    if (live)
        [[unroll]] for (uint d = 0; d < HEAD; d++)
            args.dq.v[row * HEAD + d] = dq[d] * args.scale;
}
