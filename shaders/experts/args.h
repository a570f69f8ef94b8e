/* Arguments of the kernels of mixtures of experts; shaders/core/args.h says how to read them. */
#ifndef VKFT_EXPERTS_ARGS_H
#define VKFT_EXPERTS_ARGS_H

#include "shaders/core/args.h"

/* Mixtures of experts: E experts, of which each token goes to k. An assignment a = t*k + j is one expert's work for one
 * token; A = T*k.
 *
 * router: chosen[t,j] = the number of the j-th largest of logits[t], the lower one first where they are equal;
 * weight[t,j] = softmax(logits[t])[chosen[t,j]], with normalize divided by their sum over j. logits [T,E]; chosen,
 * weight [T,k]. router_backward: dlogits = gradient of the above from dweight [T,k]. One invocation a token. */
struct router_args {
    ADDR(F32) logits;
    ADDR(F32) weight;
    ADDR(U32) chosen;
    ADDR(F32) dweight; /* router_backward */
    ADDR(F32) dlogits; /* router_backward */
    uint T, E, k;
    uint normalize;
};

/* Sorting assignments by expert, those of one expert in their order: a row is a place in that order.
 * experts_count: count[s,e] = assignments to e in slice s, EXPERT_SLICE of them each. One invocation a slice and
 * expert. experts_scan: count[s,e] = those in the slices before s; count[slices,e] = all. One invocation an expert.
 * experts_place: token[row], assignment[row] and its inverse row[assignment], and group as in grouped_args. One
 * invocation a slice and expert. */
struct experts_args {
    ADDR(U32) chosen;     /* [A] */
    ADDR(U32) count;      /* [slices + 1, E] */
    ADDR(U32) group;      /* [2 (E + 1)] */
    ADDR(U32) token;      /* [A] */
    ADDR(U32) assignment; /* [A] */
    ADDR(U32) row;        /* [A] */
    uint A, E, k;
    uint slices;
};
#define EXPERT_SLICE 256

/* sum_rows: y[t] = (add ? r[t] : 0) + sum over j < k of x[row[t,j]], j ascending; x [.,C], y, r [T,C]; y may be r. One
 * workgroup a row. */
struct sum_rows_args {
    ADDR(F32) x;
    ADDR(U32) row;
    ADDR(F32) r;
    ADDR(F32) y;
    uint T, C, k;
    uint add;
};

/* expert_gated: h[i] = weight[assignment[i]] * f(gate[i]) * up[i]; gate, up, h [A,F]. One workgroup a row.
 * expert_gated_backward: dgate, dup, dweight[assignment[i]] from dh; dgate and dup replace gate and up. dweight when
 * with_weight != 0. Those that also write rows in f16 are beside gated_f16 (shaders/elementwise/args.h). */
struct expert_gated_args {
    ADDR(F32) gate;
    ADDR(F32) up;
    ADDR(F32) weight;
    ADDR(U32) assignment;
    ADDR(F32) h;
    ADDR(F32) dh;      /* expert_gated_backward */
    ADDR(F32) dweight; /* expert_gated_backward */
    uint F;
    uint activation;
    uint with_weight;
};

/* gather_rows: dst[i] = src[index[i]];  scatter_rows: dst[index[i]] = src[i] (indices are distinct). i < rows, C
 * columns. */
struct rows_args {
    ADDR(F32) src;
    ADDR(U32) index;
    ADDR(F32) dst;
    uint rows, C;
};

#endif
