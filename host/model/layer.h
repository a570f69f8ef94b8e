/* One block with its weights, as the parts of host/model/blocks run it. */
#ifndef VKFT_LAYER_H
#define VKFT_LAYER_H

#include "formats/config/block.h"
#include "host/engine/ops/ops.h"

/* What is absent in an architecture has width 0, or no rows. */
typedef struct vkft_layer {
    vkft_block_spec spec;
    vkft_norm norm[VKFT_NORM_SLOTS];
    vkft_linear linear[VKFT_LINEAR_SLOTS];
    vkft_grouped_linear experts[VKFT_EXPERT_SLOTS];  /* gate, up, down; no groups: there is no mixture */
    uint32_t mixture;                                /* number of this layer among those with a mixture */
    vkft_attention_shape attention, cross_attention; /* of the block's tokens to each other, and to the encoder's */
    const vkft_rotary *rotary;                       /* NULL: no rotary positions */
    vkft_relative_bias relative;                     /* that of block 0 serves all blocks of its stack */
    const vkft_upload *upload; /* of its weights, where they are streamed; NULL: they are resident */
} vkft_layer;

/* A linear layer, an embedding or the head by its name in transformers, which PEFT uses:
 * "model.layers.3.self_attn.q_proj". */
typedef struct vkft_module {
    char name[128];
    vkft_linear *linear;
    bool explicit_only;    /* adapted only when named, not as one of "all-linear" */
    bool embedding, head;  /* what it is; both false: a linear layer of a block */
    vkft_token_rows *rows; /* of an embedding or the head: rows that are trained in the place of its matrix's */
    uint32_t expert_group; /* experts that one kernel multiplies have the same number, from 1 on; 0: not an expert */
} vkft_module;

/* One layer's keys and values of all positions so far, f32 [positions, Hk*D]; with an encoder also those of its tokens.
 */
typedef struct vkft_kv {
    uint64_t k, v; /* addresses of position 0 */
    uint64_t cross_k, cross_v;
} vkft_kv;

#endif
