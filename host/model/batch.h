/* A micro batch on the device: samples laid end to end without padding, so that a short one costs only its own tokens.
 *
 * The arrays lie in one host-visible buffer that kernels read directly; they are rewritten between runs.
 */
#ifndef VKFT_BATCH_H
#define VKFT_BATCH_H

#include "formats/dataset/dataset.h"
#include "runtime/memory.h"
#include "host/engine/ops/ops.h"

typedef struct vkft_batch_limits {
    uint32_t tokens;        /* maximum tokens of a batch, of the decoder where there is an encoder */
    uint32_t source_tokens; /* maximum tokens for the encoder */
    uint32_t rows;          /* maximum trained tokens of a batch */
    uint32_t positions;     /* longest sample */
    uint32_t expert_choice; /* words that keep a token's experts, of all layers; 0: they are not kept */
} vkft_batch_limits;

typedef struct vkft_batch {
    vkft_batch_limits limits;
    vkft_buffer buffer;
    uint64_t ids, target, loss_row, loss; /* device addresses: u32 [tokens], u32 [rows], u32 [rows], f32 [rows] */
    uint64_t source_ids;                  /* u32 [source_tokens] */
    vkft_sequence sequence;               /* attention to all tokens before */
    vkft_sequence source;                 /* with an encoder: its tokens to each other */
    vkft_sequence cross;                  /* the decoder's tokens to the encoder's */
    vkft_sequence windowed; /* attention to the last `window` of them; the same where there is no window */
    uint32_t *ids_host, *target_host, *loss_row_host, *position_host, *query_range_host, *key_range_host,
        *query_window_host, *key_window_host;
    uint32_t *source_ids_host, *source_range_host, *cross_query_host, *cross_key_host;
    uint64_t row_weight;    /* device address: f32 [rows], what a row's loss counts in the gradient */
    float *row_weight_host; /* written by whoever trains, after the batch is filled */
    const float *loss_host; /* losses of the last run, valid after it */
    uint64_t expert_choice; /* device address: the experts of each token, u32 [layers with experts, tokens, experts a
                        token]; 0: not kept */
    const uint32_t *expert_choice_host;   /* of the last run, valid after it; NULL: not kept */
    uint32_t tokens, source_tokens, rows; /* of the present batch */
    uint32_t longest;                     /* longest sample of the present batch */
} vkft_batch;

/* Makes room for another batch, too. */
void vkft_batch_limits_join(vkft_batch_limits *limits, const vkft_batch_limits *other);

uint64_t vkft_batch_bytes(const vkft_batch_limits *limits);
/* A batch as large as the limits allow, without memory: for plans. */
vkft_batch vkft_batch_largest(const vkft_batch_limits *limits);
bool vkft_batch_init(vkft_batch *batch, vkft_device *dev, const vkft_batch_limits *limits, vkft_err *err);
void vkft_batch_free(vkft_batch *batch, vkft_device *dev);

/* Lays the samples out, those with source tokens in two parts. window: 0, or how many tokens a query sees back, itself
 * included. */
void vkft_batch_fill(vkft_batch *batch, const vkft_sample *const *samples, uint32_t count, uint32_t window);

/* Lays out `count` new tokens of one sequence at positions first ... of a KV cache; the last one's logits are wanted.
 */
void vkft_batch_fill_next(vkft_batch *batch, const int32_t *ids, uint32_t count, uint32_t first, uint32_t window);

/* Lays out the encoder's tokens of one sequence, and one decoder's token that sees them all. */
void vkft_batch_fill_source(vkft_batch *batch, const int32_t *ids, uint32_t count);

#endif
