/* See overfit.h. */
#include "host/train/evaluation/overfit.h"

#include <math.h>
#include <stdlib.h>

#include "runtime/base/size.h"

#define RISE 1.02        /* of validation loss; less is noise */
#define SMOOTHED_FROM 40 /* points */

size_t vkft_loss_window(size_t points)
{
    return points < SMOOTHED_FROM ? 0 : points / 50 * 2 + 3;
}

double vkft_loss_mean(const vkft_losses *losses, double step, size_t window)
{
    double sum = 0, n = 0;
    for (size_t i = losses->count; i-- > 0 && n < (double)window;)
        if (losses->step[i] <= step && isfinite(losses->loss[i])) {
            sum += losses->loss[i];
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

vkft_overfit vkft_overfit_judge(const vkft_losses *training, const vkft_losses *validation)
{
    size_t window = max_u64(1, vkft_loss_window(training->count));
    vkft_overfit found = {.best = NAN, .best_step = NAN, .last = NAN};
    for (size_t i = 0; i < validation->count; i++) {
        double loss = validation->loss[i];
        if (!isfinite(loss))
            continue;
        found.last = loss;
        if (!(loss >= found.best)) { /* the first one, too */
            found.best = loss;
            found.best_step = validation->step[i];
        }
    }
    found.overfits = found.last > RISE * found.best &&
                     vkft_loss_mean(training, INFINITY, window) < vkft_loss_mean(training, found.best_step, window);
    return found;
}

static void add(vkft_losses *losses, const cJSON *row, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(row, key),
                *step = cJSON_GetObjectItemCaseSensitive(row, "step");
    if (!cJSON_IsNumber(value) || !cJSON_IsNumber(step))
        return;
    losses->step[losses->count] = step->valuedouble;
    losses->loss[losses->count++] = value->valuedouble;
}

bool vkft_overfit_of_history(const cJSON *history, vkft_overfit *now, vkft_err *err)
{
    size_t rows = (size_t)cJSON_GetArraySize(history) + 1;
    double *numbers = malloc(4 * rows * sizeof *numbers);
    if (!numbers)
        return vkft_fail_memory(err, "while comparing losses");
    vkft_losses training = {numbers, numbers + rows, 0}, validation = {numbers + 2 * rows, numbers + 3 * rows, 0};
    const cJSON *row;
    cJSON_ArrayForEach(row, history)
    {
        add(&training, row, "loss");
        add(&validation, row, "eval_loss");
    }
    *now = vkft_overfit_judge(&training, &validation);
    free(numbers);
    return true;
}
