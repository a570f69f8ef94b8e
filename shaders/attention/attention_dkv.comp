/* dv[s,g] = sum_{h in g} sum_t p dout[t,h];  dk[s,g] = scale * sum_{h in g} sum_t p (dout.v - delta[t,h]) q[t,h],  p = exp(scale q.k - lse[t,h]),
 * t in range[s]: the queries that see key s. threads_x = S (one invocation a key), threads_y = Hk.
 * Source: Dao et al. 2022, appendix B. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_backward_args)

void main()
{
    uint s = INVOCATION, g = gl_WorkGroupID.y, heads = args.Hq / args.Hk;
    bool live = s < args.S;
    uint row = (min(s, args.S - 1) * args.Hk + g) * HEAD;
    uvec2 range = live ? uvec2(args.range.v[2 * s], args.range.v[2 * s + 1]) : uvec2(0);
    uvec2 span = walk(range);

    float k[HEAD], v[HEAD], dk[HEAD], dv[HEAD];
    [[unroll]] for (uint d = 0; d < HEAD; d++) {
        k[d] = args.k.v[row + d] * args.scale;
        v[d] = args.v.v[row + d];
        dk[d] = dv[d] = 0.0;
    }
    uint h = g * heads, t = span.x; /* all heads of the group, one after the other */
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[BLOCK], dp[BLOCK], p[BLOCK], ds[BLOCK];
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            at[j] = min(t + j, last_row(span)) * args.Hq + h;
            score[j] = dp[j] = 0.0;
        }
        [[unroll]] for (uint d = 0; d < HEAD; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                score[j] = fma(k[d], args.q.v[at[j] * HEAD + d], score[j]);
                dp[j] = fma(v[d], args.dout.v[at[j] * HEAD + d], dp[j]);
            }
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            bool seen = t + j >= range.x && t + j < range.y;
            score[j] = capped(score[j], args.softcap);
            p[j] = seen ? exp_exact(score[j] + RELATIVE_BIAS(t + j, s, h) - args.lse.v[at[j]]) : 0.0;
            ds[j] = p[j] * (dp[j] - args.delta.v[at[j]]) * cap_slope(score[j], args.softcap);
        }
        [[unroll]] for (uint d = 0; d < HEAD; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                dv[d] = fma(p[j], args.dout.v[at[j] * HEAD + d], dv[d]);
                dk[d] = fma(ds[j], args.q.v[at[j] * HEAD + d], dk[d]);
            }
        t += BLOCK;
        if (t >= span.y) {
            t = span.x;
            h++;
        }
    } while (h < (g + 1) * heads);
    if (!live)
        return;
    [[unroll]] for (uint d = 0; d < HEAD; d++) {
        args.dk.v[row + d] = dk[d] * args.scale;
        args.dv.v[row + d] = dv[d];
    }
}
