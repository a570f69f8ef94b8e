/* o[t,h] = sum_s softmax_s(scale q[t,h].k[s,g]) v[s,g], s in range[t], g = h / (Hq/Hk), and lse[t,h], by an online softmax: no score is
 * stored. threads_x = T * LANES (LANES invocations a query), threads_y = Hq. An empty range gives 0.
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
    uint t = INVOCATION / LANES, h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk);
    bool live = t < args.T;
    uvec2 range = live ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
    uint own = args.cached != 0 ? range.y - 1 : t; /* the key at the query's position; clamped where the range is empty */
    uvec2 span = walk(range);
    uint row = min(t, args.T - 1) * args.Hq + h;
    uvec2 keys = uvec2(args.k), values = uvec2(args.v);

    vec4 q[PART], o[PART];
    [[unroll]] for (uint d = 0; d < PART; d++) {
        q[d] = held(uvec2(args.q), row, d) * args.scale;
        o[d] = vec4(0.0);
    }
    float highest = MASKED, total = 0.0;
    uint s = span.x;
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[BLOCK], p[BLOCK];
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            at[j] = min(s + j, last_row(span)) * args.Hk + g;
            score[j] = 0.0;
        }
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++)
                score[j] = dot_to(score[j], q[d], unit_of(keys, at[j], d));
        float before = highest;
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            bool seen = s + j >= range.x && s + j < range.y;
            score[j] = lanes_sum(score[j]);
            score[j] = seen ? capped(score[j], args.softcap) + RELATIVE_BIAS(own, s + j, h) : MASKED;
            highest = max(highest, score[j]);
        }
        float shrink = exp_exact(before - highest);
        total *= shrink;
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            p[j] = score[j] > 0.5 * MASKED ? exp_exact(score[j] - highest) : 0.0;
            total += p[j];
        }
        [[unroll]] for (uint d = 0; d < PART; d++) {
            o[d] *= shrink;
            [[unroll]] for (uint j = 0; j < BLOCK; j++)
                o[d] = fma(vec4(p[j]), unit_of(values, at[j], d), o[d]);
        }
        s += BLOCK;
    } while (s < span.y);
    if (!live)
        return;
    float inverse = total > 0.0 ? 1.0 / total : 0.0;
    [[unroll]] for (uint d = 0; d < PART; d++)
        store_unit(uvec2(args.o), row, d, o[d] * inverse);
    if (lane() == 0)
        args.lse.v[row] = total > 0.0 ? highest + log_exact(total) : 0.0;
}
