/* The trained parameters with their gradients and AdamW state, and the update that runs on the device. */
#ifndef VKFT_OPTIMIZER_H
#define VKFT_OPTIMIZER_H

#include "shaders/core/args.h"
#include "runtime/commands.h"
#include "host/trainable/parameter_space.h"
#include "runtime/memory.h"

typedef struct vkft_adamw {
    double beta1, beta2, epsilon, weight_decay;
    double max_grad_norm; /* 0: no clipping */
} vkft_adamw;

/* A part of the flat space: parameters, gradients, first and second moments, n floats each. */
typedef struct vkft_optimizer_part {
    vkft_buffer p, g, m, v;
    uint32_t n, decayed; /* weight decay is for the first `decayed` */
} vkft_optimizer_part;

typedef struct vkft_optimizer {
    vkft_device *dev;
    vkft_adamw adamw;
    vkft_parameter_space parameters, gradients; /* where they are */
    vkft_optimizer_part part[VKFT_PARAMETER_SPACE_PARTS];
    vkft_buffer partial; /* sums of squared gradients */
    vkft_buffer step;    /* host memory, struct step_state */
    vkft_commands *update;
} vkft_optimizer;

#define VKFT_OPTIMIZER_PARTS 1024u /* partial sums of the gradient norm */

/* layout: how the space is cut. Weight decay is for its first `decayed` floats. Parameters and moments are
 * uninitialized (see vkft_optimizer_set); gradients are zero. */
bool vkft_optimizer_init(vkft_optimizer *opt, vkft_device *dev, const vkft_parameter_space *layout, uint64_t decayed,
                         const vkft_adamw *adamw, vkft_err *err);
void vkft_optimizer_free(vkft_optimizer *opt);

static inline struct step_state *vkft_optimizer_step_state(const vkft_optimizer *opt)
{
    return (struct step_state *)opt->step.mapped;
}

/* Clips, updates the parameters with this rate as step number t (from 1), and clears the gradients. *grad_norm: before
 * clipping. */
bool vkft_optimizer_update(vkft_optimizer *opt, double learning_rate, uint64_t t, double *grad_norm, vkft_err *err);

/* Host copies of the state, f32 [floats] each; m and v NULL for zero. */
bool vkft_optimizer_set(vkft_optimizer *opt, const float *p, const float *m, const float *v, vkft_err *err);
bool vkft_optimizer_get(vkft_optimizer *opt, float *p, float *m, float *v, vkft_err *err);

#endif
