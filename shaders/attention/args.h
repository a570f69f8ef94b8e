/* Arguments of the kernels of attention and rotary positions; shaders/core/args.h says how to read them. */
#ifndef VKFT_ATTENTION_ARGS_H
#define VKFT_ATTENTION_ARGS_H

#include "shaders/core/args.h"

/* rope, in place on x [T,H,D]: for i < R/2, (x_i, x_{i+R/2}) = (x_i cos - x_{i+R/2} s, x_{i+R/2} cos + x_i s) with
 * s = direction * sin; direction -1 is the backward; elements from R on stay. table [P, R/2] of (cos, sin) pairs;
 * position [T]. One invocation a pair. */
struct rope_args {
    ADDR(F32) x;
    ADDR(F32) table;
    ADDR(U32) position;
    uint T, H, D, R;
    float direction;
};

/* attention: o[t,h] = sum_s softmax_s(scale q[t,h] . k[s,g]) v[s,g], heads of HEAD (a constant) elements, over keys s
 * in [range[t].begin, range[t].end), g = h / (Hq/Hk). q, o [T,Hq,D]; k, v [S,Hk,D]; lse [T,Hq] = log-sum-exp of the
 * scaled scores. range [T] of (begin, end) pairs of u32: packing, causality, sliding windows and a cache are all stated
 * by it. An empty range gives o = 0, lse = 0. With the constant SOFTCAP the scaled score z becomes softcap * tanh(z /
 * softcap). With the constant RELATIVE and span != 0, bias[bucket[s - own + span - 1], h] is added to it; bucket
 * [2*span - 1] u32, bias [buckets,Hq]; distances are clamped. own is the key at the query's position: t, or with cached
 * != 0, where keys are numbered by position in a cache, the last one of range[t]. */
struct attention_args {
    ADDR(F32) q;
    ADDR(F32) k;
    ADDR(F32) v;
    ADDR(F32) o;
    ADDR(F32) lse;
    ADDR(U32) range;
    ADDR(F32) bias;
    ADDR(U32) bucket;
    uint T, Hq, Hk;
    float scale, softcap;
    uint cached, span;
};

/* attention_delta: delta[t,h] = sum_d do[t,h,d] o[t,h,d], d < HEAD. */
struct attention_delta_args {
    ADDR(F32) dout;
    ADDR(F32) o;
    ADDR(F32) delta;
    uint T, Hq;
};

/* attention_dq:  dq[t,h] = scale * sum_s p_ts (do[t,h].v[s,g] - delta[t,h]) k[s,g], s in range[t]
 * attention_dkv: dv[s,g] = sum_{h in g} sum_t p_ts do[t,h];  dk[s,g] = scale * sum_{h in g} sum_t p_ts (do.v - delta)
 * q[t,h] p_ts = exp(z - lse[t,h]) with the score z of attention; a soft cap's slope 1 - (z/softcap)^2 multiplies p_ts
 * (do.v - delta). For dkv, range [S] holds the (begin, end) of the queries that see key s. */
struct attention_backward_args {
    ADDR(F32) q;
    ADDR(F32) k;
    ADDR(F32) v;
    ADDR(F32) dout;
    ADDR(F32) lse;
    ADDR(F32) delta;
    ADDR(U32) range;
    ADDR(F32) dq; /* attention_dq */
    ADDR(F32) dk; /* attention_dkv */
    ADDR(F32) dv; /* attention_dkv */
    ADDR(F32) bias;
    ADDR(U32) bucket;
    uint T, S, Hq, Hk;
    float scale, softcap;
    uint span;
};

/* attention_dbias: by_distance[d,h] = sum over t with s = t + d + 1 - span in range[t] of p_ts (do[t,h].v[s,g] -
 * delta[t,h]), d < 2*span - 1. One workgroup a distance and head. Arguments are those of the other backward kernels; dq
 * is by_distance [2*span - 1, Hq]. bucket_sum: dbias[b,h] += sum over d with bucket[d] = b of by_distance[d,h], in
 * order. One invocation an element. */
struct bucket_sum_args {
    ADDR(U32) bucket;
    ADDR(F32) by_distance;
    ADDR(F32) dbias;
    uint distances, buckets, H;
};

#endif
