/* Argument structs of all kernels, included by C and by GLSL so that the two sides cannot disagree.
 *
 * A struct reaches its kernel as push constants: at most 128 bytes, addresses (8 bytes, 8-aligned) first, then 32-bit
 * values. ADDR(T) is a buffer device address: uint64_t in C, the buffer reference T_ref in GLSL (common.glsl declares
 * F32_ref and U32_ref with scalar layout and 4-byte alignment). Matrices are row-major; "ld" is a row stride in
 * elements. Letters: B batch, T tokens, C channels, H heads, D head size, F MLP hidden size, V vocabulary, R LoRA rank.
 */
#ifndef VKFT_ARGS_H
#define VKFT_ARGS_H

#define WORKGROUP_ROW 32768 /* workgroups along x before a launch goes on along z, see common.glsl */

#ifdef VKFT_GLSL
#define ADDR(T) T##_ref
#else
#include <stdint.h>
#define ADDR(T) uint64_t
typedef uint32_t uint;
#endif

/* matmul_nt: Y[M,N] = R + scale * X[M,K] W[N,K]^T   (R when add != 0; R may be Y); meant for few rows
 * matmul_nn: Y[M,N] = R + scale * X[M,K] W[K,N]     the same
 * X, R, Y f32 with row strides ldx, ldy (R as Y). W in the kernel's storage type, contiguous, readable up to a multiple
 * of 4 bytes. */
struct matmul_args {
    ADDR(F32) X;
    ADDR(U32) W;
    ADDR(F32) R;
    ADDR(F32) Y;
    ADDR(U32) absmax;        /* nf4: f32 per block of 64; with double quantization u8 per block */
    ADDR(F32) nested_absmax; /* nf4 with double quantization: f32 per 256 blocks */
    uint M, N, K;
    uint ldx, ldy;
    uint add;
    float scale;
    float absmax_offset;
    uint double_quant;
};

/* A group's matrix, as grouped products find it: [groups] of them make a table. With gradients data is where to add. */
struct group_weight {
    ADDR(U32) data;
    ADDR(U32) absmax; /* these three as in matmul_args */
    ADDR(F32) nested_absmax;
    float absmax_offset;
    uint reserved;
};

/* grouped_nt: Y[m] = R[m] + scale * X[m] W_g^T for the rows m of each group g, W_g [N,K]   (R when add != 0; R may be
 * Y) grouped_nn: Y[m] = R[m] + scale * X[m] W_g, W_g [K,N]                                    the same X [M,K], R and Y
 * [M,N] f32 with row strides ldx, ldy. The rows of group g are group[2g] to group[2g+2]; they are cut into tiles of
 * GROUP_TILE rows, the first of which is number group[2g+1] of all; group has two words for each group and two more.
 * The launch is for `groups` groups from `first` on; tiles: upper bound of their tiles of the kernel's ROWS rows. */
struct grouped_args {
    ADDR(F32) X;
    ADDR(F32) R;
    ADDR(F32) Y;
    ADDR(U32) weights; /* group_weight [groups] */
    ADDR(U32) group;
    uint tiles, first, groups;
    uint N, K;
    uint ldx, ldy;
    uint add;
    float scale;
    uint double_quant;
};
#define GROUP_TILE 32 /* a multiple of the kernels' ROWS */

/* panel: W's part of n columns and k rows as f32 [ceil(n/tile)][ceil(k/8)][tile][8], the layout that matmul_panel
 * reads. panel_nt takes W^T: element (k, n) of the panel is W[row+n, column+k]; panel_nn: W[row+k, column+n]. cols: row
 * length of W. */
struct panel_args {
    ADDR(U32) W;
    ADDR(U32) absmax;
    ADDR(F32) nested_absmax;
    ADDR(F32) P;
    uint row, column, cols;
    uint n, k;
    uint tile; /* a multiple of 8 */
    float absmax_offset;
    uint double_quant;
};

/* matmul_panel: Y[M,N] = R + scale * X[M,K] P, P a panel with n = N, k = K. */
struct matmul_panel_args {
    ADDR(F32) X;
    ADDR(F32) P;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint M, N, K;
    uint ldx, ldy;
    uint add;
    float scale;
};

/* grouped_panel: a panel for group first + workgroup id y, if it has rows; one begins `stride` runs of 8 behind the
 * other. */
struct grouped_panel_args {
    ADDR(U32) weights; /* group_weight [groups] */
    ADDR(U32) group;
    ADDR(F32) P;
    uint row, column, cols;
    uint n, k;
    uint tile;
    uint first, stride;
    uint double_quant;
};

/* grouped_matmul_panel: grouped_nt's product with such panels. */
struct grouped_matmul_panel_args {
    ADDR(F32) X;
    ADDR(F32) P;
    ADDR(F32) R;
    ADDR(F32) Y;
    ADDR(U32) group;
    uint tiles, first, groups;
    uint stride;
    uint N, K;
    uint ldx, ldy;
    uint add;
    float scale;
};

/* matmul_tn: Y[m,n] = R + scale * sum over k in slice s of X[k,m] Z[k,n], m < M, n < N; slice s = workgroup id y holds
 * `slice` of the K rows. X, Z with row strides ldx, ldz; element (m,n) of Y and R lies at s*M*N + m*row + n*column. R
 * when add != 0 (R may be Y). */
struct matmul_tn_args {
    ADDR(F32) X;
    ADDR(F32) Z;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint M, N, K;
    uint ldx, ldz;
    uint row, column;
    uint slice;
    uint add;
    float scale;
};

/* grouped_tn: Y_g[m,n] += scale * sum over the rows k of group g = workgroup id y of X[k,m] Z[k,n]; element (m,n) of
 * Y_g lies at m*row + n*column; Y: group_weight [groups], group as in grouped_args. */
struct grouped_tn_args {
    ADDR(F32) X;
    ADDR(F32) Z;
    ADDR(U32) Y;
    ADDR(U32) group;
    uint M, N;
    uint ldx, ldz;
    uint row, column;
    float scale;
};

/* matmul_sum: Y[i] = R[i] + scale * sum over s < parts of partial[s,i], in order; i < n. R when add != 0 (R may be Y).
 */
struct matmul_sum_args {
    ADDR(F32) partial;
    ADDR(F32) R;
    ADDR(F32) Y;
    uint n, parts;
    uint add;
    float scale;
};

/* rmsnorm: y = x * s * (g + gain_offset),  s = 1/sqrt(mean(x^2) + eps);  x, y [T,C], g [C]. One workgroup a row. */
struct rmsnorm_args {
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) y;
    uint T, C;
    float eps, gain_offset;
};

/* rmsnorm_backward: dx = s*g'*dy - x*s^3/C * sum(g'*dy*x), g' = g + gain_offset, added to dx when add != 0. One
 * workgroup a row. */
struct rmsnorm_backward_args {
    ADDR(F32) dy;
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) dx;
    uint T, C;
    float eps, gain_offset;
    uint add;
};

/* layernorm: y = (x - m) * s * g + b,  m = mean(x), s = 1/sqrt(mean((x-m)^2) + eps);  x, y [T,C], g, b [C]. One
 * workgroup a row. */
struct layernorm_args {
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) b;
    ADDR(F32) y;
    uint T, C;
    float eps;
};

/* layernorm_backward: dx = s * (g*dy - mean(g*dy) - h * mean(g*dy*h)), h = (x - m) * s, added to dx when add != 0. One
 * workgroup a row. */
struct layernorm_backward_args {
    ADDR(F32) dy;
    ADDR(F32) x;
    ADDR(F32) g;
    ADDR(F32) dx;
    uint T, C;
    float eps;
    uint add;
};

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
 * softcap). With the constant RELATIVE and span != 0, bias[bucket[s - (t + first) + span - 1], h] is added to it;
 * bucket [2*span - 1] u32, bias [buckets,Hq]; distances are clamped. */
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
    uint first, span;
};

/* attention_delta: delta[t,h] = sum_d do[t,h,d] o[t,h,d]. */
struct attention_delta_args {
    ADDR(F32) dout;
    ADDR(F32) o;
    ADDR(F32) delta;
    uint T, Hq, D;
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
    uint first, span;
};

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
 * with_weight != 0. */
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

/* Activations f, numbered as vkft_activation is. */
#define ACTIVATION_SILU 0      /* x sigmoid(x) */
#define ACTIVATION_GELU 1      /* x/2 (1 + erf(x/sqrt 2)) */
#define ACTIVATION_GELU_TANH 2 /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
#define ACTIVATION_RELU 3      /* max(x, 0) */

/* gated: h = f(gate) * up, n elements. */
struct gated_args {
    ADDR(F32) gate;
    ADDR(F32) up;
    ADDR(F32) h;
    uint n;
    uint activation;
};

/* gated_backward: dgate = dh * up * f'(gate), dup = dh * f(gate). dgate may be gate and dup may be up. */
struct gated_backward_args {
    ADDR(F32) dh;
    ADDR(F32) gate;
    ADDR(F32) up;
    ADDR(F32) dgate;
    ADDR(F32) dup;
    uint n;
    uint activation;
};

/* activation: y = f(x), n elements.  activation_backward: y = dy * f'(x); y may be x or dy. */
struct activation_args {
    ADDR(F32) x;
    ADDR(F32) dy; /* activation_backward */
    ADDR(F32) y;
    uint n;
    uint activation;
};

/* softcap: x = cap * tanh(x / cap), n elements in place. */
struct softcap_args {
    ADDR(F32) x;
    uint n;
    float cap;
};

/* copy_columns: to[t, to_column(i)] = from[t, from_column(i)], t < T, i < n. Columns come in runs of `run`: element i
 * is number i % run of run i / run, which begins at offset + (i / run) * step. Row strides ld. */
struct copy_columns_args {
    ADDR(F32) from;
    ADDR(F32) to;
    uint T, n, run;
    uint from_ld, from_offset, from_step;
    uint to_ld, to_offset, to_step;
};

/* bias_rows: y[t,c] = (add ? r[t,c] : 0) + scale * b[c]; y, r [T,C], b [C]. y may be r. */
struct bias_rows_args {
    ADDR(F32) b;
    ADDR(F32) r;
    ADDR(F32) y;
    uint T, C;
    uint add;
    float scale;
};

/* embedding_<type>: y[t] = (add ? y[t] : 0) + scale * table[ids[t] + offset] as f32; table [V,C] in the storage type; y
 * [T,C]. */
struct embedding_args {
    ADDR(U32) table;
    ADDR(U32) ids;
    ADDR(F32) y;
    uint T, C;
    uint offset, add;
    float scale;
};

/* gather_rows: dst[i] = src[index[i]];  scatter_rows: dst[index[i]] = src[i] (indices are distinct). i < rows, C
 * columns. */
struct rows_args {
    ADDR(F32) src;
    ADDR(U32) index;
    ADDR(F32) dst;
    uint rows, C;
};

/* cross_entropy: loss[i] = logsumexp(z[i]) - z[i,target[i]], z = logits or, with softcap > 0, softcap * tanh(logits /
 * softcap); with backward != 0 logits[i] is replaced by dlogits[i] = (softmax(z[i]) - onehot(target[i])) *
 * step.loss_scale, times the cap's slope 1 - (z/softcap)^2. logits [rows,V]. One workgroup a row. */
struct cross_entropy_args {
    ADDR(F32) logits;
    ADDR(U32) target;
    ADDR(F32) loss;
    ADDR(F32) step; /* struct step_state */
    uint rows, V;
    uint backward;
    float softcap;
};

/* sum / sum_squares: partial[w] = sum over the w-th of `parts` equal slices of x (or of x^2), in a fixed order: one
 * workgroup a slice. A second launch with parts = 1 over partial finishes it. add != 0: y[w] += instead. */
struct sum_args {
    ADDR(F32) x;
    ADDR(F32) y;
    uint n, parts;
    uint add;
};

/* clip: step.grad_norm = sqrt(sum of n partial sums of squares); step.clip = min(1, max_norm / (grad_norm + 1e-6)), 1
 * when max_norm <= 0. One workgroup. */
struct clip_args {
    ADDR(F32) partial;
    ADDR(F32) step;
    uint n;
    float max_norm;
};

/* adamw (PyTorch): g' = step.clip * g; p -= lr*weight_decay*p for the first `decayed` elements; m = b1 m + (1-b1) g'; v
 * = b2 v + (1-b2) g'^2; p -= lr / (1-b1^t) * m / (sqrt(v) / sqrt(1-b2^t) + eps). lr and the two corrections come from
 * step. n elements, flat. */
struct adamw_args {
    ADDR(F32) p;
    ADDR(F32) g;
    ADDR(F32) m;
    ADDR(F32) v;
    ADDR(F32) step;
    uint n, decayed;
    float beta1, beta2, epsilon, weight_decay;
};

/* dropout: y = (add ? y : 0) + x * keep / (1-p), keep[i] from a counter-based generator keyed by
 * (seed, step.micro_step, layer, i). The backward is the same launch with dx for y. n elements. */
struct dropout_args {
    ADDR(F32) x;
    ADDR(F32) y;
    ADDR(F32) step;
    uint n;
    float p;
    uint seed_low, seed_high;
    uint layer;
    uint add;
};

/* fill: y[i] = value.  add: y[i] = a[i] + b[i] (y may be either). */
struct fill_args {
    ADDR(F32) y;
    uint n;
    float value;
};
struct add_args {
    ADDR(F32) a;
    ADDR(F32) b;
    ADDR(F32) y;
    uint n;
};

/* column_sum: y[c] += scale * sum_t x[t,c], in order; x [T,C]. One invocation a column. */
struct column_sum_args {
    ADDR(F32) x;
    ADDR(F32) y;
    uint T, C;
    float scale;
};

/* norm_stats: stats[t] = (m, s) of row t as rmsnorm (m = 0) or, with layernorm != 0, layernorm have them; x [T,C],
 * stats [T,2]. One workgroup a row. */
struct norm_stats_args {
    ADDR(F32) x;
    ADDR(F32) stats;
    uint T, C;
    float eps;
    uint layernorm;
};

/* norm_gain_backward: dg[c] += sum_t dy[t,c] (x[t,c] - m_t) s_t, in order. One invocation a column. */
struct norm_gain_backward_args {
    ADDR(F32) dy;
    ADDR(F32) x;
    ADDR(F32) stats;
    ADDR(F32) dg;
    uint T, C;
};

/* embedding_backward: dtable[ids[t] + offset] += scale * dy[t] for all t in order. dtable [V,C], dy [T,C] f32. One
 * invocation a column. */
struct embedding_backward_args {
    ADDR(U32) ids;
    ADDR(F32) dy;
    ADDR(F32) dtable;
    uint T, C;
    uint offset;
    float scale;
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

/* What changes from step to step, in a small buffer that the kernels read, so that recorded commands can be reused.
 * All members are 32 bits; kernels index it as an F32 buffer by these positions. */
#ifndef VKFT_GLSL
struct step_state {
    float lr;
    float correction1;      /* 1 - beta1^t */
    float correction2_sqrt; /* sqrt(1 - beta2^t) */
    float loss_scale;       /* 1 / number of trained tokens in the effective batch */
    float clip;             /* written by clip */
    float grad_norm;        /* written by clip */
    uint32_t micro_step;    /* counts micro batches since the start of training */
    float reserved;
};
#endif
#define STEP_LR 0
#define STEP_CORRECTION1 1
#define STEP_CORRECTION2_SQRT 2
#define STEP_LOSS_SCALE 3
#define STEP_CLIP 4
#define STEP_GRAD_NORM 5
#define STEP_MICRO_STEP 6

#endif
