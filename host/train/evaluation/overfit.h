/* Whether training and validation loss part ways: the model learns its samples by heart. */
#ifndef VKFT_OVERFIT_H
#define VKFT_OVERFIT_H

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "runtime/base/error.h"

/* Losses and the steps that they are of, in the order of the log; NaN: not finite. */
typedef struct vkft_losses {
    double *step, *loss;
    size_t count;
} vkft_losses;

/* How many neighbours a mean is of that shows a curve of so many points: an odd number, about a 25th of them; 0: too
 * few points for a mean. */
size_t vkft_loss_window(size_t points);
/* Mean of the `window` points up to step; with too few of them before it, of what there is; NaN: of none. */
double vkft_loss_mean(const vkft_losses *losses, double step, size_t window);

typedef struct vkft_overfit {
    double best, best_step, last; /* of the validation loss; NaN: there is none */
    bool overfits; /* the validation loss has risen by more than 2 % from its lowest value while training loss fell */
} vkft_overfit;
vkft_overfit vkft_overfit_judge(const vkft_losses *training, const vkft_losses *validation);

/* The same of the rows of a log. */
bool vkft_overfit_of_history(const cJSON *history, vkft_overfit *now, vkft_err *err);

#endif
