/* An evaluation of a run: what it measures, logs and decides. */
#ifndef VKFT_EVALUATION_H
#define VKFT_EVALUATION_H

#include "host/train/trainer.h"

/* Before the first step, where something is compared with what was then: a row of the log for step 0. */
bool vkft_evaluation_begin(vkft_trainer *t, vkft_err *err);

/* Evaluates, logs, and keeps what is trained when it is the best so far and the best is wanted. *stop: the run is to
 * end, and t->stop_reason says why. Interrupted, it leaves everything as it was. */
bool vkft_evaluation_run(vkft_trainer *t, bool *stop, vkft_err *err);

#endif
