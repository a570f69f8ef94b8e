/* Arguments of the kernels of the loss; shaders/core/args.h says how to read them. */
#ifndef VKFT_LOSS_ARGS_H
#define VKFT_LOSS_ARGS_H

#include "shaders/core/args.h"

/* cross_entropy: loss[i] = l - (1-e) z[i,target[i]] - e mean(z[i]) + b l^2, l = logsumexp(z[i]), e = smoothing, b =
 * z_loss, z = logits or, with softcap > 0, softcap * tanh(logits / softcap); with backward != 0 logits[i] is replaced
 * by dlogits[i] = (softmax(z[i]) (1 + 2 b l) - (1-e) onehot(target[i]) - e/V) * weight[i], times the cap's slope 1 -
 * (z/softcap)^2. logits [rows,V]. One workgroup a row. */
struct cross_entropy_args {
    ADDR(F32) logits;
    ADDR(U32) target;
    ADDR(F32) loss;
    ADDR(F32) weight; /* [rows], with backward */
    uint rows, V;
    uint backward;
    float softcap, smoothing, z_loss;
};

#endif
