/* See summary.h. */
#include "host/plot/summary.h"

#include <math.h>

#include "host/plot/curve.h"
#include "runtime/base/size.h"

#define RISE 1.02 /* of validation loss; less is noise */

static double last(const vkft_curve *curve)
{
    for (size_t i = curve->count; i-- > 0;)
        if (isfinite(curve->y[i]))
            return curve->y[i];
    return NAN;
}

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

/* Mean of the `window` points up to step; with too few of them before it, of what there is. */
static double loss_at(const vkft_curve *loss, double step, size_t window)
{
    double sum = 0, n = 0;
    for (size_t i = loss->count; i-- > 0 && n < (double)window;)
        if (loss->x[i] <= step && isfinite(loss->y[i])) {
            sum += loss->y[i];
            n++;
        }
    return n > 0 ? sum / n : NAN;
}

static void judge(const vkft_curve *loss, const vkft_curve *eval, vkft_plot_summary *s)
{
    size_t window = max_u64(1, vkft_curve_window(loss));
    s->loss = loss_at(loss, INFINITY, window);
    s->last_eval_loss = last(eval);
    for (size_t i = 0; i < eval->count; i++)
        if (isfinite(eval->y[i]) && !(eval->y[i] >= s->best_eval_loss)) { /* the first one, too */
            s->best_eval_loss = eval->y[i];
            s->best_eval_step = eval->x[i];
        }
    s->overfits = s->last_eval_loss > RISE * s->best_eval_loss && s->loss < loss_at(loss, s->best_eval_step, window);
}

bool vkft_plot_summarize(const vkft_plot_log *log, vkft_plot_summary *s, vkft_err *err)
{
    vkft_curve loss = {0}, eval = {0};
    *s = (vkft_plot_summary){.best_eval_loss = NAN, .best_eval_step = NAN};
    bool ok = tell(log, "step", highest, &s->steps, err) && tell(log, "epoch", highest, &s->epochs, err) &&
              tell(log, "tokens", highest, &s->tokens, err) &&
              tell(log, "tokens_per_second", mean, &s->tokens_per_second, err) &&
              tell(log, "memory_bytes", highest, &s->memory_bytes, err) &&
              vkft_curve_read(log, "loss", VKFT_PLOT_STEP, &loss, err) &&
              vkft_curve_read(log, "eval_loss", VKFT_PLOT_STEP, &eval, err);
    if (ok)
        judge(&loss, &eval, s);
    vkft_curve_free(&loss);
    vkft_curve_free(&eval);
    return ok;
}
