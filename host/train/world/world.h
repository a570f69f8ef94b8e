/* The processes that train one model together. Each runs every size-th micro batch, so sums over a step are sums over
 * processes too: the training loop is written once, and for a single process the calls change nothing.
 */
#ifndef VKFT_WORLD_H
#define VKFT_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "host/trainable/optimizer/optimizer.h"

typedef struct vkft_world {
    uint32_t rank, size;
    /* Replace each value by its sum over all processes. */
    bool (*sum)(double *values, uint32_t count, vkft_err *err);
    bool (*sum_gradients)(vkft_optimizer *optimizer, vkft_err *err);
    /* Whether it is true in any process. */
    bool (*any)(bool value);
} vkft_world;

extern const vkft_world vkft_world_alone;

#endif
