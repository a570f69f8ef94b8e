/* The differentiable operations of a decoder, each a forward that records its launches and puts its backward on the tape.
 *
 * All activations are f32 [T, columns]; frozen weights are in their storage type and produce only the gradient of the input.
 * Formulas stand in shaders/args.h, beside each kernel's arguments.
 */
#ifndef VKFT_OPS_H
#define VKFT_OPS_H

#include "graph.h"

/* Chooses workgroup widths for this device and the attention kernels' head size; once, before the first op is recorded. */
void vkft_ops_setup(vkft_device *dev, uint32_t head_dim);

/* LoRA on a linear layer: y += scale * B A dropout(x). A [r,in] and B [out,r] f32, with gradients of the same layout. */
typedef struct vkft_lora {
    uint32_t r; /* 0: none */
    float scale;
    float dropout;
    uint32_t layer; /* number of the module, for the dropout generator */
    uint64_t A, B, dA, dB;
} vkft_lora;

typedef struct vkft_linear {
    vkft_weight w; /* [out, in] */
    vkft_lora lora;
} vkft_linear;

/* Where the tokens of a packed batch are and what they see; arrays of device addresses, host-written before each run. */
typedef struct vkft_sequence {
    uint64_t position;    /* u32 [T] */
    uint64_t query_range; /* u32 pairs [T]: keys that a query sees */
    uint64_t key_range;   /* u32 pairs [T]: queries that see a key; backward only */
    uint32_t longest;     /* upper bound of a range's length, for pacing */
} vkft_sequence;

/* y = table[ids]; ids u32 [T]. The table is frozen: no gradient. */
vkft_tensor *vkft_op_embedding(vkft_graph *g, const vkft_weight *table, uint64_t ids, uint32_t T);

/* y = x / sqrt(mean(x^2) + eps) * gain; gain f32 [C], frozen. */
vkft_tensor *vkft_op_rmsnorm(vkft_graph *g, vkft_tensor *x, uint64_t gain, float eps);

typedef struct vkft_linear_call {
    vkft_tensor *residual; /* added to the result; NULL for none */
    uint64_t out;          /* fixed address for the result, such as a place in the KV cache; 0: a new tensor */
    bool only_backward;    /* the result is not needed, only what the backward keeps: the last product of a recomputed block */
} vkft_linear_call;

/* y = residual + x W^T + scale * dropout(x) A^T B^T. */
vkft_tensor *vkft_op_linear(vkft_graph *g, vkft_tensor *x, const vkft_linear *linear, vkft_linear_call call);

/* Rotates x [T, H*D] in place. table: f32 pairs (cos, sin) [positions, D/2]. */
void vkft_op_rope(vkft_graph *g, vkft_tensor *x, uint32_t D, uint64_t table, const vkft_sequence *sequence);

typedef struct vkft_attention_shape {
    uint32_t Hq, Hk, D;
    float scale;
} vkft_attention_shape;

/* Causal grouped-query attention; k and v hold as many rows as the ranges reach. */
vkft_tensor *vkft_op_attention(vkft_graph *g, vkft_tensor *q, vkft_tensor *k, vkft_tensor *v,
                               const vkft_attention_shape *shape, const vkft_sequence *sequence);

/* h = silu(gate) * up. The backward overwrites gate and up with their gradients. */
vkft_tensor *vkft_op_swiglu(vkft_graph *g, vkft_tensor *gate, vkft_tensor *up);

/* dst[i] = src[index[i]], index u32 [rows]; the backward scatters, rows that were not gathered get zero. */
vkft_tensor *vkft_op_gather(vkft_graph *g, vkft_tensor *src, uint64_t index, uint32_t rows);

/* loss[i] = cross entropy of x[i] head^T against target[i], loss f32 [rows], and with backward the gradient of
 * step.loss_scale * sum(loss) with respect to x, in chunks of rows: each chunk's logits become their own gradient
 * in place, so no logit is computed twice and at most VKFT_LOGITS_BYTES of them exist. */
#define VKFT_LOGITS_BYTES (48u << 20)
void vkft_op_linear_cross_entropy(vkft_graph *g, vkft_tensor *x, const vkft_weight *head, uint64_t target, uint64_t loss,
                                  bool backward);

/* logits = x head^T into fixed memory: generation. */
void vkft_op_logits(vkft_graph *g, vkft_tensor *x, const vkft_weight *head, uint64_t logits);

#endif
