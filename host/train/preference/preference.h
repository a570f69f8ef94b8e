/* Training on preferences: the log-probabilities of answers, and what follows from them. */
#ifndef VKFT_PREFERENCE_H
#define VKFT_PREFERENCE_H

#include "host/train/trainer.h"

/* Before the first step, and before a checkpoint is read: the log-probabilities of all answers by the model as it is,
 * which is the reference then. They are kept in the cache directory. */
bool vkft_reference_compute(vkft_trainer *t, vkft_err *err);

/* Adds the gradients of a micro batch, which is this share of its step; *loss: its mean loss. */
bool vkft_preference_train(vkft_trainer *t, const vkft_sample *const *samples, uint32_t count, double share,
                           double *loss, vkft_metric_sums *metrics, vkft_err *err);

/* The mean loss over the validation data, at most max_batches batches of it (0: all). */
bool vkft_preference_evaluate(vkft_trainer *t, double *loss, vkft_metric_sums *metrics, vkft_err *err);

/* score.c: log-probabilities of the answers, by the model as it is. Batches become smaller where memory runs out. */
bool vkft_preference_score(vkft_trainer *t, const vkft_sample *const *samples, uint32_t count, vkft_scored *answers,
                           vkft_err *err);

#endif
