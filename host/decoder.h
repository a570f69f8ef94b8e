/* The decoder: blocks of attention and feed-forward layer, and the three ways to run it. */
#ifndef VKFT_DECODER_H
#define VKFT_DECODER_H

#include "batch.h"
#include "model.h"

/* One layer's keys and values of all positions so far, f32 [positions, Hk*D]. */
typedef struct vkft_kv {
    uint64_t k, v; /* addresses of position 0 */
} vkft_kv;

/* Losses of the batch's trained tokens and the gradients of all adapters, added to what they hold.
 * With checkpointing only the input of each block is kept; its backward computes the block's inside again. */
void vkft_decoder_train(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, bool checkpointing);

/* Losses alone. */
void vkft_decoder_eval(vkft_graph *g, const vkft_model *model, const vkft_batch *batch);

/* Logits f32 [1,V] of the batch's last token, whose sequence has `first` tokens in the cache already; caches [layers] are extended. */
void vkft_decoder_next(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches,
                       uint32_t first, uint64_t logits);

#endif
