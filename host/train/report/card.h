/* What is said of a finished run, and README.md beside its result, which is a model card as the Hugging Face hub reads
 * it. Internal to host/train. */
#ifndef VKFT_CARD_H
#define VKFT_CARD_H

#include "host/train/trainer.h"
#include "host/train/train.h"
#include "runtime/base/text.h"

/* result: all but its summary is filled in. The state's best is what the result was made of. */
void vkft_run_summarize(const vkft_trainer *t, const vkft_train_result *result, vkft_run_summary *summary);

/* Paths of this machine are not in it, but for their last parts. base_model is, where the model lies in the hub's cache
 * and so has a name there. */
bool vkft_card_write(const vkft_trainer *t, const vkft_run_summary *summary, vkft_text *card, vkft_err *err);

#endif
