/* What an evaluation is judged by: one number of its row in the log, as transformers' metric_for_best_model chooses it.
 */
#ifndef VKFT_BEST_H
#define VKFT_BEST_H

#include "host/train/options.h"
#include "host/train/run/run_directory.h"
#include "runtime/base/error.h"

typedef struct vkft_best {
    char key[VKFT_BEST_KEY]; /* "eval_loss" */
    bool greater;            /* is better */
} vkft_best;

/* By --metric-for-best-model and --greater-is-better. Error: a name that no evaluation of this run logs. */
bool vkft_best_choose(const vkft_train_options *options, vkft_best *best, vkft_err *err);

/* Takes an evaluation's number, NaN where it has none, into the state. *better: than all before. Returns whether
 * patience has run out, which counts as transformers' EarlyStoppingCallback does: an improvement of the threshold or
 * less makes a new best, and patience goes on. */
bool vkft_best_judge(const vkft_best *best, const vkft_train_options *options, double value, vkft_run_state *state,
                     bool *better);

/* "validation loss", "f1"; "lowest", "highest". */
const char *vkft_best_name(const vkft_best *best);
const char *vkft_best_direction(const vkft_best *best);

#endif
