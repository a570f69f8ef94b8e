/* The differentiable operations of a decoder, each a forward that records its launches and puts its backward on the
 * tape.
 *
 * Activations are f32 [T, columns]. Weights are in their storage type; frozen ones produce only the gradient of the
 * input, and the gradient of a trained one is added to what is at its address. Formulas are beside each kernel's
 * arguments, in the args.h of its folder of shaders/.
 */
#ifndef VKFT_OPS_H
#define VKFT_OPS_H

#include "formats/config/activation.h"
#include "host/engine/graph.h"

/* Iterations that an attention kernel may make on this device: its loop limit, less room for the rows that neighbours
 * in a workgroup add. */
static inline uint64_t vkft_attention_iterations(const vkft_caps *caps)
{
    return caps->loop_limit ? caps->loop_limit - 5535u : UINT64_MAX;
}
#define VKFT_ATTENTION_BLOCK 4u /* maximum rows of the other side per iteration of an attention kernel */

/* What the kernels of a model's ops are built for. */
typedef struct vkft_ops_constants {
    uint32_t head_dim;
    bool softcap, relative; /* attention caps scores, adds biases to them */
    uint64_t longest_walk;  /* maximum rows over which an invocation of an attention kernel iterates */
    vkft_dtype operands;    /* of products with quantized weights, see vkft_gemm_setup */
} vkft_ops_constants;

/* Chooses shapes and workgroup widths for this device and these constants; once, before the first op is recorded. */
bool vkft_ops_setup(vkft_device *dev, const vkft_ops_constants *constants, vkft_err *err);
/* Compares attention on matrix cores, if it is to be used, with that in f32, and leaves it out where it is wrong; what
 * vkft_gemm_selftest is for products. */
bool vkft_attention_selftest(vkft_device *dev, const vkft_ops_constants *constants, vkft_err *err);

/* LoRA on a linear layer: y += scale * B A dropout(x). A [r,in] and B [out,r] f32, with gradients of the same layout.
 * VeRA: y += b * (B (d * (A dropout(x)))).
 * DoRA: besides, each row of W + scale B A is multiplied by magnitude / its norm, f32 [out]. */
typedef struct vkft_lora {
    uint32_t r; /* 0: none */
    float scale;
    float dropout;
    uint32_t layer;                 /* number of the module, for the dropout generator */
    uint64_t A, B, dA, dB;          /* dA 0: frozen */
    uint64_t bias, dbias;           /* of B, f32 [out]; 0: none */
    uint64_t magnitude, dmagnitude; /* DoRA; 0: LoRA alone */
    uint64_t squares;               /* DoRA: of the norms of W's rows, f32 [out] */
    uint64_t b, d, db, dd;          /* VeRA: f32 [out] and [r], that of B (d A) b; 0: none; A and B are frozen then */
    uint64_t A0, B0;                /* frozen, of the shapes of A and B: scale B0 A0 is taken off W; 0: nothing is */
} vkft_lora;

/* (IA)^3: the layer's output, W x + bias, is multiplied by l [out], or its input by l [in]; f32. */
typedef struct vkft_ia3 {
    uint64_t l, dl; /* l 0: none */
    bool input;
} vkft_ia3;

typedef struct vkft_linear {
    vkft_weight w;        /* [out, in] */
    uint64_t bias, dbias; /* f32 [out]; bias 0: none; dbias 0: frozen */
    vkft_lora lora;
    vkft_ia3 ia3;
} vkft_linear;

/* Linear layers of one type and shape without biases, each for the rows of one group. What is trained, and how, is that
 * of the first. */
typedef struct vkft_grouped_linear {
    vkft_linear *linear; /* [groups] */
    uint32_t groups;
    uint64_t tables; /* device address of what vkft_grouped_tables writes */
} vkft_grouped_linear;

/* The tables by which kernels find the matrices and where to add gradients, VKFT_GROUP_TABLES of them: bytes, and
 * contents once all addresses are known. */
#define VKFT_GROUP_TABLES 6
uint64_t vkft_grouped_table_bytes(uint32_t groups);
void vkft_grouped_tables(const vkft_grouped_linear *grouped, void *tables);

/* Where the tokens of a packed batch are and what they see; arrays of device addresses, host-written before each run.
 */
typedef struct vkft_sequence {
    uint64_t position;    /* u32 [T] */
    uint64_t query_range; /* u32 pairs [T]: keys that a query sees */
    uint64_t key_range;   /* u32 pairs [T]: queries that see a key; backward only */
    bool cached;          /* keys lie in a cache by position; otherwise key t is that of query t */
    uint32_t span;        /* distances that biases by relative position tell apart, see vkft_relative_bias */
    uint32_t longest;     /* upper bound of a range's length, for pacing */
} vkft_sequence;

/* Rows of some tokens that are trained in the place of a matrix's own. */
typedef struct vkft_token_rows {
    uint32_t count;       /* 0: none */
    uint64_t rows, drows; /* f32 [count,C]; drows 0: frozen */
    uint64_t slots;       /* u32 [V]: 1 + the token's number among them, or 0 */
    uint64_t tokens;      /* u32 [count]: whose rows they are */
} vkft_token_rows;

/* A matrix with a row for each token, [V,C], and what may be trained on it: LoRA with A [r,V] and B [C,r], or the rows
 * of some tokens, not both. */
typedef struct vkft_embedding {
    const vkft_weight *table;
    const vkft_lora *lora;       /* NULL or r 0: none */
    const vkft_token_rows *rows; /* NULL or count 0: none */
} vkft_embedding;

/* y = scale * (table[ids] + lora.scale * A^T[ids] B^T); ids u32 [T]. */
vkft_tensor *vkft_op_embedding(vkft_graph *g, const vkft_embedding *embedding, uint64_t ids, uint32_t T, float scale);
/* x += table[ids + offset] in place: learned positions. x must not have been read by another op. */
void vkft_op_embedding_add(vkft_graph *g, vkft_tensor *x, const vkft_weight *table, uint64_t ids, uint32_t offset);

/* x += scale * alpha / sqrt(L * C) * u in place, u uniform in [-1, 1) and alpha that of the pass, where it has one; L
 * is the length of a token's sample in a decoder's sequence. x must not have been read by another op. */
void vkft_op_noise(vkft_graph *g, vkft_tensor *x, const vkft_sequence *sequence, float scale);

/* Gains and biases are f32 [width]; gradients 0: frozen. */
typedef struct vkft_norm {
    bool layernorm;
    uint64_t gain, bias; /* RMSNorm has no bias */
    uint64_t dgain, dbias;
    uint32_t width; /* length of the rows that are normalized; divides a tensor's columns */
    float eps;
    float gain_offset; /* RMSNorm multiplies by gain + this */
} vkft_norm;

/* RMSNorm: y = x / sqrt(mean(x^2) + eps) * (gain + gain_offset); LayerNorm: y = (x - mean) / sqrt(var + eps) * gain +
 * bias. */
vkft_tensor *vkft_op_norm(vkft_graph *g, vkft_tensor *x, const vkft_norm *norm);

/* dx += dy for an op whose backward passes its gradient on; x without a gradient yet takes dy's memory over, since
 * nothing reads dy after the op's backward. An op may call this for at most one of its inputs, because dy's memory can
 * be given away only once. */
void vkft_grad_accumulate(vkft_graph *g, vkft_tensor *x, vkft_tensor *dy);

/* sum += scale * the sum of x's rows; sum f32 [columns]. */
void vkft_column_sum(vkft_graph *g, const vkft_tensor *x, uint64_t sum, float scale);

typedef struct vkft_linear_call {
    vkft_tensor *residual; /* added to the result; NULL for none */
    float scale;           /* of everything but the residual; 0 stands for 1 */
    bool only_backward;    /* the result is not needed, only what the backward keeps: the last product of a recomputed
                              block */
    bool exact;            /* operands are not rounded */
} vkft_linear_call;

/* y = residual + scale * (x W^T + bias + lora.scale * dropout(x) A^T B^T). */
vkft_tensor *vkft_op_linear(vkft_graph *g, vkft_tensor *x, const vkft_linear *linear, vkft_linear_call call);

/* The experts that each token goes to. An assignment is one expert for one token; sorted by expert, assignments are the
 * rows of the experts' tensors. */
typedef struct vkft_routing {
    uint32_t experts, per_token;
    vkft_tensor *weight;             /* f32 [T,per_token], with a gradient */
    vkft_tensor *chosen;             /* u32 [T,per_token]; the tensors below are u32 too */
    vkft_tensor *group;              /* where each expert's rows begin */
    vkft_tensor *token, *assignment; /* of each row */
    vkft_tensor *row;                /* of each assignment */
} vkft_routing;

/* The per_token experts with the largest of logits [T,experts], and their parts of the softmax, normalized: divided by
 * their sum. chosen: fixed memory for their numbers; 0: none is wanted. */
vkft_routing vkft_op_route(vkft_graph *g, vkft_tensor *logits, uint32_t per_token, bool normalized, uint64_t chosen);
/* y[i] = x[token of row i]. */
vkft_tensor *vkft_op_dispatch(vkft_graph *g, vkft_tensor *x, const vkft_routing *routing);
/* y[t] = residual[t] + the sum of x's rows for token t; residual may be NULL. only_backward: see vkft_linear_call. */
vkft_tensor *vkft_op_combine(vkft_graph *g, vkft_tensor *x, const vkft_routing *routing, vkft_tensor *residual,
                             bool only_backward);
/* y = scale * (x W^T + lora.scale * dropout(x) A^T B^T) with the matrices of each row's expert; a call without
 * residual. */
vkft_tensor *vkft_op_grouped_linear(vkft_graph *g, vkft_tensor *x, const vkft_grouped_linear *grouped,
                                    const vkft_routing *routing, vkft_linear_call call);
/* h = weight of the row's assignment * f(gate) * up. The backward overwrites gate and up with their gradients. */
vkft_tensor *vkft_op_expert_gated(vkft_graph *g, vkft_tensor *gate, vkft_tensor *up, const vkft_routing *routing,
                                  vkft_activation f);

/* Rotary positions: the first dim elements of each head are rotated, in pairs (i, i + dim/2). */
typedef struct vkft_rotary {
    uint64_t table; /* f32 pairs (cos, sin) [positions, dim/2] */
    uint32_t dim;
} vkft_rotary;

/* Rotates x [T, H*D] in place. */
void vkft_op_rope(vkft_graph *g, vkft_tensor *x, uint32_t D, vkft_rotary rotary, const vkft_sequence *sequence);

/* Biases of scores by relative position. */
typedef struct vkft_relative_bias {
    uint64_t bias, dbias; /* f32 [buckets,Hq]; dbias 0: frozen */
    uint32_t buckets;
    uint64_t bucket; /* u32 [2*span - 1]: of distances key - query from 1 - sequence.span on */
} vkft_relative_bias;

typedef struct vkft_attention_shape {
    uint32_t Hq, Hk, D;
    float scale;
    float softcap;                      /* 0: none; else scores become softcap * tanh(score / softcap) */
    const vkft_relative_bias *relative; /* NULL: none */
} vkft_attention_shape;

/* Grouped-query attention to the keys that the ranges state; k and v hold as many rows as they reach. */
vkft_tensor *vkft_op_attention(vkft_graph *g, vkft_tensor *q, vkft_tensor *k, vkft_tensor *v,
                               const vkft_attention_shape *shape, const vkft_sequence *sequence);

/* h = f(gate) * up. The backward overwrites gate and up with their gradients. */
vkft_tensor *vkft_op_gated(vkft_graph *g, vkft_tensor *gate, vkft_tensor *up, vkft_activation f);
/* y = f(x). The backward overwrites x with its gradient. */
vkft_tensor *vkft_op_activation(vkft_graph *g, vkft_tensor *x, vkft_activation f);

/* y = a + b. */
vkft_tensor *vkft_op_add(vkft_graph *g, vkft_tensor *a, vkft_tensor *b);

/* `count` runs of `width` columns, run j beginning at column offset + j * step. */
typedef struct vkft_columns {
    uint32_t offset, width, step, count;
} vkft_columns;

/* y [T, width * count]: these columns of x. The parts that a caller takes from one x must cover all its columns and all
 * receive a gradient: each writes its own columns of x's. */
vkft_tensor *vkft_op_columns(vkft_graph *g, vkft_tensor *x, vkft_columns columns);
/* A copy of x in host memory (vkft_tensor_keep), and a copy of that back in the arena. No gradient. */
vkft_tensor *vkft_op_keep(vkft_graph *g, const vkft_tensor *x);
vkft_tensor *vkft_op_restore(vkft_graph *g, const vkft_tensor *kept);
/* Copies x to fixed memory. No gradient. */
void vkft_op_store(vkft_graph *g, const vkft_tensor *x, uint64_t address);

/* memory[index[i]] = x[i], index u32 [rows of x], in fixed memory of rows like x's, such as the KV cache. No gradient.
 */
void vkft_op_store_rows(vkft_graph *g, const vkft_tensor *x, uint64_t index, uint64_t address);

/* dst[i] = src[index[i]], index u32 [rows]; the backward scatters, rows that were not gathered get zero. */
vkft_tensor *vkft_op_gather(vkft_graph *g, vkft_tensor *src, uint64_t index, uint32_t rows);

/* z = scale * (x w^T + lora.scale * dropout(x) A^T B^T), or with a cap softcap * tanh(that / softcap). */
typedef struct vkft_head {
    vkft_weight w;        /* [V, C] */
    float scale, softcap; /* softcap 0: none */
    vkft_linear adapted;  /* of w's shape, and LoRA on it; its matrix is w */
    vkft_token_rows rows; /* in the place of w's; not beside LoRA */
} vkft_head;

/* loss[i] = cross entropy of head(x[i]) against target[i], with what the pass adds to it, loss f32 [rows], and with
 * backward the gradient of sum(weight[i] * loss[i]) with respect to x, in chunks of rows: each chunk's logits become
 * their own gradient in place, so no logit is computed twice and at most graph->pass.logits_bytes of them exist, or
 * those of 16 rows. */
#define VKFT_LOGITS_BYTES (48u << 20)
void vkft_op_linear_cross_entropy(vkft_graph *g, vkft_tensor *x, const vkft_head *head, uint64_t target,
                                  uint64_t weight, uint64_t loss, bool backward);

/* logits = head(x) into fixed memory: generation. */
void vkft_op_logits(vkft_graph *g, vkft_tensor *x, const vkft_head *head, uint64_t logits);

#endif
