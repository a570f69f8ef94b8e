/* The model as a graph: blocks of attention and feed-forward layer, an encoder in front of them or not, and the ways to
 * run it. */
#ifndef VKFT_DECODER_H
#define VKFT_DECODER_H

#include "host/model/batch.h"
#include "host/model/model.h"

/* What the forward pass keeps for the backward. */
typedef enum vkft_checkpointing {
    VKFT_CHECKPOINTING_OFF,    /* everything */
    VKFT_CHECKPOINTING_DEVICE, /* the input of each block; its backward computes the block's inside again */
    VKFT_CHECKPOINTING_HOST,   /* the same, the inputs in host memory */
} vkft_checkpointing;

/* Losses of the batch's trained tokens and the gradients of all adapters, added to what they hold. */
void vkft_decoder_train(vkft_graph *g, const vkft_model *model, const vkft_batch *batch,
                        vkft_checkpointing checkpointing);

/* Losses alone. */
void vkft_decoder_eval(vkft_graph *g, const vkft_model *model, const vkft_batch *batch);

/* Runs the encoder over the batch's source and keeps each decoder layer's keys and values of it in caches [layers]. */
void vkft_decoder_encode(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches);

/* Logits f32 [1,V] of the batch's last token; keys and values of all its tokens are written to caches [layers] at their
 * positions. Where these are is not part of the recording: it serves any batch of the same shape. */
void vkft_decoder_next(vkft_graph *g, const vkft_model *model, const vkft_batch *batch, const vkft_kv *caches,
                       uint64_t logits);

#endif
