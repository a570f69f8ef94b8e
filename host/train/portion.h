/* How much of a batch goes through the model at a time: all of it, until memory runs out. Then batches are computed in
 * smaller portions whose losses and gradients are added, which is the same sum.
 */
#ifndef VKFT_PORTION_H
#define VKFT_PORTION_H

#include "host/session/memory.h"
#include "host/train/packs.h"
#include "runtime/base/observer.h"

typedef struct vkft_portion {
    /* What runs in batches, as the user asked: to train, and to evaluate; and whatever else has as many packs. */
    struct {
        const vkft_sample_packs *split; /* NULL: nothing */
        uint32_t batch_size;
    } use[6];
    vkft_batch_limits least; /* what else the session is to hold: a prompt and its answer */
    uint32_t packs;          /* at most so many at a time */
    bool dropout;            /* or noise is drawn, for each portion: not as for the whole batch */
    const vkft_observer *observer;
} vkft_portion;

/* Whole batches. train and eval may be NULL. */
vkft_portion vkft_portion_whole(const vkft_sample_packs *train, uint32_t train_batch, const vkft_sample_packs *eval,
                                uint32_t eval_batch, const vkft_observer *observer);
/* The largest batch of either use. */
bool vkft_portion_limits(const vkft_portion *portion, vkft_batch_limits *limits, vkft_err *err);
/* vkft_session's `smaller`, with a vkft_portion: halves it, and says so. */
bool vkft_portion_halve(void *portion, vkft_limits *limits);

#endif
