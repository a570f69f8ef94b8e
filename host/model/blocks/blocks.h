/* The parts of which blocks are made, as a table: attention, a feed-forward layer and what else reads the residual
 * stream and adds to it. Internal to host/model.
 *
 * A new part is a file here and a row of formats/config/parts.def, beside its linear layers in block.def.
 */
#ifndef VKFT_BLOCKS_H
#define VKFT_BLOCKS_H

#include "host/model/list.h"

/* How a block is run: what its tokens see, and what is kept of it. */
typedef struct vkft_block_call {
    const vkft_sequence *sequence, *windowed;
    vkft_tensor *memory; /* what the encoder gave; NULL without one, or when its keys and values are in the cache */
    const vkft_sequence *cross;
    const vkft_kv *cache;   /* of the block; NULL: none */
    uint64_t expert_choice; /* where the choice of experts is kept, u32 [mixtures, tokens, per token]; 0: nowhere */
    bool only_backward;     /* the result is not needed, only what the backward keeps */
} vkft_block_call;

typedef struct vkft_block_row {
    vkft_norm_slot norm; /* of what it reads, or with post-norm of the sum; where the family has it */
    /* Lists the part's weights; most have linear layers alone: vkft_list_linears. */
    void (*list)(vkft_model_list *list, vkft_layer *layer, vkft_block_part part);
    /* x + residual_scale * f(n), n the normalized stream. */
    vkft_tensor *(*forward)(vkft_graph *g, const vkft_layer *layer, vkft_tensor *x, vkft_tensor *n,
                            const vkft_block_call *call);
} vkft_block_row;

#define PART(name, row) extern const vkft_block_row vkft_block_##row;
#include "formats/config/parts.def"
#undef PART

/* The row of a part that is not NONE. */
const vkft_block_row *vkft_block_row_of(vkft_block_part part);

/* The block's output for the residual stream x. */
vkft_tensor *vkft_block_forward(vkft_graph *g, const vkft_layer *layer, vkft_tensor *x, const vkft_block_call *call);

/* Keeps the keys and values of the encoder's output for later calls with this cache. */
void vkft_cross_store(vkft_graph *g, const vkft_layer *layer, vkft_tensor *memory, const vkft_kv *cache);

/* For the parts: a linear layer of the block without anything added, whether it has one, and
 * x + scale * norm(W h), a part's output projection and its way into the residual stream. */
vkft_tensor *vkft_block_linear(vkft_graph *g, const vkft_layer *layer, vkft_linear_slot slot, vkft_tensor *x);
bool vkft_block_has_linear(const vkft_layer *layer, vkft_linear_slot slot);
vkft_tensor *vkft_block_join(vkft_graph *g, const vkft_layer *layer, vkft_linear_slot slot, vkft_norm_slot after,
                             vkft_tensor *x, vkft_tensor *h, const vkft_block_call *call);

#endif
