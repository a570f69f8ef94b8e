/* o[t,h] = sum_s softmax_s(scale q[t,h].k[s,g]) v[s,g], s in range[t], g = h / (Hq/Hk), and lse[t,h], by an online softmax: no score is
 * stored. threads_x = T (one invocation a query), threads_y = Hq. An empty range gives 0.
 * Source: Milakov & Gimelshein 2018, Dao et al. 2022. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_args)

void main()
{
    uint t = INVOCATION, h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk);
    bool live = t < args.T;
    uvec2 range = live ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
    uint own = args.cached != 0 ? range.y - 1 : t; /* the key at the query's position; clamped where the range is empty */
    uvec2 span = walk(range);
    uint row = (min(t, args.T - 1) * args.Hq + h) * HEAD;

    float q[HEAD], o[HEAD];
    [[unroll]] for (uint d = 0; d < HEAD; d++) {
        q[d] = args.q.v[row + d] * args.scale;
        o[d] = 0.0;
    }
    float highest = MASKED, total = 0.0;
    uint s = span.x;
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[BLOCK], p[BLOCK];
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            at[j] = (min(s + j, last_row(span)) * args.Hk + g) * HEAD;
            score[j] = 0.0;
        }
        [[unroll]] for (uint d = 0; d < HEAD; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++)
                score[j] = fma(q[d], args.k.v[at[j] + d], score[j]);
        float before = highest;
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            bool seen = s + j >= range.x && s + j < range.y;
            score[j] = seen ? capped(score[j], args.softcap) + RELATIVE_BIAS(own, s + j, h) : MASKED;
            highest = max(highest, score[j]);
        }
        float shrink = exp_exact(before - highest);
        total *= shrink;
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            p[j] = score[j] > 0.5 * MASKED ? exp_exact(score[j] - highest) : 0.0;
            total += p[j];
        }
        [[unroll]] for (uint d = 0; d < HEAD; d++) {
            o[d] *= shrink;
            [[unroll]] for (uint j = 0; j < BLOCK; j++)
                o[d] = fma(p[j], args.v.v[at[j] + d], o[d]);
        }
        s += BLOCK;
    } while (s < span.y);
    if (!live)
        return;
    float inverse = total > 0.0 ? 1.0 / total : 0.0;
    [[unroll]] for (uint d = 0; d < HEAD; d++)
        args.o.v[row + d] = o[d] * inverse;
    args.lse.v[t * args.Hq + h] = total > 0.0 ? highest + log_exact(total) : 0.0;
}
