/* See summary.h. */
#include "host/plot/summary.h"

#include <math.h>

#include "host/plot/curve.h"
#include "host/train/evaluation/overfit.h"
#include "runtime/base/size.h"

static double highest(const vkft_curve *curve)
{
    double high = NAN;
    for (size_t i = 0; i < curve->count; i++)
        high = fmax(high, curve->y[i]);
    return high;
}

static double mean(const vkft_curve *curve)
{
    double sum = 0, n = 0;
    for (size_t i = 0; i < curve->count; i++)
        if (isfinite(curve->y[i])) {
            sum += curve->y[i];
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

/* One number of the log, by one of the functions above. */
static bool tell(const vkft_plot_log *log, const char *key, double (*of)(const vkft_curve *), double *number,
                 vkft_err *err)
{
    vkft_curve curve;
    if (!vkft_curve_read(log, key, VKFT_PLOT_STEP, &curve, err))
        return false;
    *number = of(&curve);
    vkft_curve_free(&curve);
    return true;
}

static void judge(const vkft_curve *loss, const vkft_curve *eval, vkft_plot_summary *s)
{
    const vkft_losses training = {loss->x, loss->y, loss->count}, validation = {eval->x, eval->y, eval->count};
    const vkft_overfit found = vkft_overfit_judge(&training, &validation);
    s->loss = vkft_loss_mean(&training, INFINITY, max_u64(1, vkft_loss_window(loss->count)));
    s->best_eval_loss = found.best;
    s->best_eval_step = found.best_step;
    s->last_eval_loss = found.last;
    s->overfits = found.overfits;
}

bool vkft_plot_summarize(const vkft_plot_log *log, vkft_plot_summary *s, vkft_err *err)
{
    vkft_curve loss = {0}, eval = {0};
    *s = (vkft_plot_summary){.best_eval_loss = NAN, .best_eval_step = NAN};
    bool ok = tell(log, "step", highest, &s->steps, err) && tell(log, "epoch", highest, &s->epochs, err) &&
              tell(log, "tokens", highest, &s->tokens, err) &&
              tell(log, "tokens_per_second", mean, &s->tokens_per_second, err) &&
              tell(log, "memory_bytes", highest, &s->memory_bytes, err) &&
              tell(log, "skipped_steps", highest, &s->skipped_steps, err) &&
              vkft_curve_read(log, "loss", VKFT_PLOT_STEP, &loss, err) &&
              vkft_curve_read(log, "eval_loss", VKFT_PLOT_STEP, &eval, err);
    if (ok)
        judge(&loss, &eval, s);
    vkft_curve_free(&loss);
    vkft_curve_free(&eval);
    return ok;
}
