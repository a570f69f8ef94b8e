/* What a session needs to train: the passes with and without backward, the optimizer, and the memory that it holds. */
#ifndef VKFT_LEARNER_H
#define VKFT_LEARNER_H

#include "host/session/session.h"
#include "host/trainable/optimizer/optimizer.h"

/* What changes the loss that is minimized: transformers' label_smoothing_factor and neftune_noise_alpha, and the
 * coefficient of the z-loss; 0: none. */
typedef struct vkft_loss_changes {
    double label_smoothing, z_loss; /* in evaluations, too */
    double noise;                   /* on embeddings */
} vkft_loss_changes;

typedef struct vkft_learner {
    vkft_session *session;
    vkft_loss_changes loss; /* none, unless set before the plan */
    vkft_optimizer_options options;
    const float *initial; /* values of what is trained, f32 [vkft_trainables_floats], borrowed until the start */
    vkft_parameter_tensors tensors;
    vkft_optimizer optimizer; /* from the start on */
    vkft_pass *train, *eval;
} vkft_learner;

/* The pass that computes losses alone. NULL: out of memory. */
vkft_pass *vkft_add_evaluation(vkft_session *session, vkft_err *err);

/* After session->trained was chosen and before the plan. The learner keeps its place until vkft_learner_close. */
bool vkft_learner_open(vkft_learner *learner, vkft_session *session, const vkft_optimizer_options *options,
                       const float *initial, vkft_err *err);
/* Before the session is closed. */
void vkft_learner_close(vkft_learner *learner);

/* Adds the gradients of the batch that the session was filled with, whose rows have their weights. *loss_sum: of its
 * losses. */
bool vkft_learner_run(vkft_learner *learner, uint32_t micro_step, double *loss_sum, vkft_err *err);
/* Adds the gradients of a micro batch of a step with so many trained tokens. *loss_sum: of the micro batch's losses.
 * Supervised fine-tuning. */
bool vkft_learner_train(vkft_learner *learner, const vkft_sample *const *samples, uint32_t count, uint64_t step_tokens,
                        uint32_t micro_step, double *loss_sum, vkft_err *err);

#endif
