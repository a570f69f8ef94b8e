/* The half of LoRA that is before B, for the head, whose rows are computed in chunks. Internal to host/engine/ops. */
#ifndef VKFT_LINEAR_PRIVATE_H
#define VKFT_LINEAR_PRIVATE_H

#include "host/engine/ops/ops.h"

/* z = dropout(x) A^T. */
vkft_tensor *vkft_lora_inner(vkft_graph *g, const vkft_linear *linear, vkft_tensor *x);
/* dA += dz^T dropout(x);  dx += mask/(1-p) * (dz A) where dx is not NULL. */
void vkft_lora_inner_backward(vkft_graph *g, const vkft_linear *linear, vkft_tensor *x, vkft_tensor *dz,
                              vkft_tensor *dx);

#endif
