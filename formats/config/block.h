/* What one layer's block is, compiled from the configuration: its parts in the order in which they run, and their
 * sizes. Whoever lays out or runs a block asks this and not the configuration, so layers may differ in what is here,
 * but for head_dim and attention_softcap: the attention kernels of a model are built for one of each.
 */
#ifndef VKFT_BLOCK_H
#define VKFT_BLOCK_H

#include "formats/config/config.h"

/* Each reads the residual stream x and adds to it. */
typedef enum vkft_block_part {
    VKFT_BLOCK_NONE,
#define PART(name, row) VKFT_BLOCK_##name,
#include "formats/config/parts.def"
#undef PART
    VKFT_BLOCK_PART_KINDS
} vkft_block_part;

#define VKFT_BLOCK_PARTS 3

/* The linear layers of a block. An architecture has those that it names: fused ones instead of their parts. */
typedef enum vkft_linear_slot {
#define LINEAR(name, part, out, in, bias) VKFT_##name,
#include "formats/config/block.def"
#undef LINEAR
    VKFT_LINEAR_SLOTS
} vkft_linear_slot;

#define VKFT_EXPERT_SLOTS 3 /* from VKFT_EXPERT_GATE on: one of each for every expert */

/* The norms of a block: before a part; after it, before the residual add; and of queries and keys. */
typedef enum vkft_norm_slot {
    VKFT_NORM_ATTENTION,
    VKFT_NORM_Q,
    VKFT_NORM_K,
    VKFT_NORM_ATTENTION_AFTER,
    VKFT_NORM_CROSS,
    VKFT_NORM_CROSS_AFTER,
    VKFT_NORM_MLP,
    VKFT_NORM_MLP_AFTER,
    VKFT_NORM_SLOTS
} vkft_norm_slot;

typedef enum vkft_block_rope { VKFT_BLOCK_NO_ROPE, VKFT_BLOCK_ROPE, VKFT_BLOCK_LOCAL_ROPE } vkft_block_rope;

typedef struct vkft_block_spec {
    vkft_block_part parts[VKFT_BLOCK_PARTS]; /* the last ones may be NONE */
    uint32_t hidden_size;
    bool norm_after_residual; /* x' = norm(x + f(x)) instead of x + f(norm(x)) */
    bool parallel;            /* the MLP reads the block's input, not the attention's sum */
    float residual_scale;     /* of each part before it is added */

    uint32_t heads, kv_heads, head_dim;
    uint32_t window;      /* tokens back that attention sees; 0: all */
    vkft_block_rope rope; /* of config.rope, or config.local_rope */
    float attention_scale, attention_softcap;
    bool qkv_bias, o_bias;
    bool qkv_by_head;   /* fused projection: query, key and value of one head after the other, else all queries, all
                           keys, all values */
    bool qk_norm_whole; /* norms of queries and keys over all heads, else each head by itself */

    vkft_activation activation; /* of the MLP, or of the experts */
    uint32_t mlp_width;
    bool mlp_bias;

    uint32_t experts, experts_per_token, expert_width;
    bool expert_weights_normalized;
} vkft_block_spec;

typedef enum vkft_stack_kind { VKFT_ENCODER, VKFT_DECODER } vkft_stack_kind;

vkft_block_spec vkft_config_block(const vkft_config *config, vkft_stack_kind stack, uint32_t layer);

bool vkft_block_has(const vkft_block_spec *block, vkft_block_part part);
/* The part that a linear layer belongs to. */
vkft_block_part vkft_linear_part(vkft_linear_slot slot);
/* Output and input width of a linear layer. */
void vkft_linear_shape(const vkft_block_spec *block, vkft_linear_slot slot, uint32_t *out, uint32_t *in);
bool vkft_linear_has_bias(const vkft_block_spec *block, vkft_linear_slot slot);
uint32_t vkft_norm_width(const vkft_block_spec *block, vkft_norm_slot slot);

#endif
