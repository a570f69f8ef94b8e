/* o[t,h] = sum_s softmax_s(scale q[t,h].k[s,g]) v[s,g], s in range[t], g = h / (Hq/Hk), and lse[t,h], by an online softmax: no score is
 * stored. threads_x = T / ROWS * LANES (LANES invocations for ROWS queries), threads_y = Hq. An empty range gives 0.
 * Source: Milakov & Gimelshein 2018, Dao et al. 2022. Test: test_kernels_attention */
#version 460
#extension GL_GOOGLE_include_directive : require
#include "shaders/core/common.glsl"
#include "shaders/attention/args.h"
#include "shaders/core/math.glsl"
#include "shaders/attention/attention.glsl"

ARGS(attention_args)

SHARED_COPIES(1) /* q */

void main()
{
    uint h = gl_WorkGroupID.y, g = h / (args.Hq / args.Hk), first = INVOCATION / LANES * ROWS;
    uvec2 range[OWNED_ROWS];
    uint own[OWNED_ROWS]; /* the key at the query's position; clamped where the range is empty */
    float highest[OWNED_ROWS], total[OWNED_ROWS], shrink[OWNED_ROWS];
    uvec2 all = NOTHING;
    [[unroll]] for (uint i = 0; i < OWNED_ROWS; i++) {
        uint t = first + row_of(i);
        range[i] = t < args.T ? uvec2(args.range.v[2 * t], args.range.v[2 * t + 1]) : uvec2(0);
        own[i] = args.cached != 0 ? range[i].y - 1 : t;
        highest[i] = MASKED;
        total[i] = 0.0;
        all = with_range(all, range[i]);
    }
    uvec2 span = walk(all);
    uvec2 keys = uvec2(args.k), values = uvec2(args.v);

    COPIES(1)
    vec4 o[ROWS * PART];
    [[unroll]] for (uint r = 0; r < ROWS; r++)
        [[unroll]] for (uint d = 0; d < PART; d++) {
            SET_COPY(0, r, d, held(uvec2(args.q), min(first + r, args.T - 1) * args.Hq + h, d) * args.scale)
            o[r * PART + d] = vec4(0.0);
        }
    uint s = span.x;
    if (span.x < span.y) do {
        uint at[BLOCK];
        float score[PAIRS], p[OWNED];
        [[unroll]] for (uint j = 0; j < BLOCK; j++)
            at[j] = min(s + j, last_row(span)) * args.Hk + g;
        [[unroll]] for (uint i = 0; i < PAIRS; i++)
            score[i] = 0.0;
        [[unroll]] for (uint d = 0; d < PART; d++)
            [[unroll]] for (uint j = 0; j < BLOCK; j++) {
                vec4 k = unit_of(keys, at[j], d);
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    score[r * BLOCK + j] = dot_to(score[r * BLOCK + j], COPY(0, r, d), k);
            }
        GATHER_PAIRS(score)
        [[unroll]] for (uint i = 0; i < OWNED_ROWS; i++) {
            float before = highest[i];
            [[unroll]] for (uint j = 0; j < OWNED_KEYS; j++) {
                uint pair = i * OWNED_KEYS + j, key = s + key_of(j);
                bool seen = key >= range[i].x && key < range[i].y;
                score[pair] = seen ? capped(score[pair], args.softcap) + RELATIVE_BIAS(own[i], key, h) : MASKED;
                highest[i] = max(highest[i], score[pair]);
            }
            highest[i] = row_max(highest[i]);
            shrink[i] = exp_exact(before - highest[i]);
            total[i] *= shrink[i];
            [[unroll]] for (uint j = 0; j < OWNED_KEYS; j++) {
                uint pair = i * OWNED_KEYS + j;
                p[pair] = score[pair] > 0.5 * MASKED ? exp_exact(score[pair] - highest[i]) : 0.0;
                total[i] += p[pair];
            }
        }
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            float shrunk = VALUE_OF_ROW(shrink, r);
            [[unroll]] for (uint d = 0; d < PART; d++)
                o[r * PART + d] *= shrunk;
        }
        [[unroll]] for (uint j = 0; j < BLOCK; j++) {
            float p_of[ROWS];
            [[unroll]] for (uint r = 0; r < ROWS; r++)
                p_of[r] = PAIR_OF(p, r, j);
            [[unroll]] for (uint d = 0; d < PART; d++) {
                vec4 v = unit_of(values, at[j], d);
                [[unroll]] for (uint r = 0; r < ROWS; r++)
                    o[r * PART + d] = fma(vec4(p_of[r]), v, o[r * PART + d]);
            }
        }
        s += BLOCK;
    } while (s < span.y);
    [[unroll]] for (uint i = 0; i < OWNED_ROWS; i++) {
        total[i] = row_sum(total[i]);
        shrink[i] = total[i] > 0.0 ? 1.0 / total[i] : 0.0;
        uint t = first + row_of(i);
        if (t < args.T && key_of(0) == 0)
            args.lse.v[t * args.Hq + h] = total[i] > 0.0 ? highest[i] + log_exact(total[i]) : 0.0;
    }
    [[unroll]] for (uint r = 0; r < ROWS; r++) {
        float inverse = VALUE_OF_ROW(shrink, r);
        if (first + r < args.T)
            [[unroll]] for (uint d = 0; d < PART; d++)
                store_unit(uvec2(args.o), (first + r) * args.Hq + h, d, o[r * PART + d] * inverse);
    }
}
