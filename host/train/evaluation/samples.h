/* --sample-prompts: what the model answers before training and at each evaluation, side by side: on the terminal, and
 * as rows of samples.jsonl in the run's directory, one for each evaluation and prompt:
 *
 *     {"step": 40, "prompt": "...", "base": "...", "adapter": "..."}
 *
 * "base" is the answer before training: that of the base model, or of what --init-adapter begins with. */
#ifndef VKFT_SAMPLES_H
#define VKFT_SAMPLES_H

#include "host/train/trainer.h"

/* Before the session's plan: reads the prompts, and counts them into the limits of t->answerer. */
bool vkft_samples_open(vkft_trainer *t, vkft_err *err);
void vkft_samples_close(vkft_trainer *t);
/* Before the first step, and before a checkpoint is read: the answers of the base. */
bool vkft_samples_begin(vkft_trainer *t, vkft_err *err);
/* At an evaluation: its rows; NULL: failed. Then says and writes them. */
cJSON *vkft_samples_take(vkft_trainer *t, vkft_err *err);
bool vkft_samples_keep(const vkft_trainer *t, const cJSON *rows, vkft_err *err);

#endif
