/* See evaluation.h. */
#include "host/train/evaluation/evaluation.h"

#include <math.h>
#include <stdio.h>

#include "host/train/evaluation/overfit.h"
#include "host/train/evaluation/samples.h"
#include "host/train/preference/preference.h"
#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"

#define RETAIN_LOSS "eval_retain_loss"
#define FORGOTTEN 1.02 /* of the loss on retained data; less is noise */

/* The row of the log, and the event that tells of it. */
static bool measure(vkft_trainer *t, vkft_json_node row, vkft_train_event *event, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    double loss;
    uint64_t tokens;
    vkft_metric_sums metrics = {0};
    if (t->objective->judge ? !vkft_preference_evaluate(t, &loss, &metrics, err)
                            : !vkft_evaluate(&t->session, t->learner.eval, t->world, &t->valid, vkft_eval_batch_size(o),
                                             o->eval_batches, &t->portion, t->observer, &loss, &tokens, err))
        return false;
    *event = (vkft_train_event){.step = t->state.step,
                                .total_steps = t->total_steps,
                                .epoch = vkft_epoch_of(t, t->state.step),
                                .loss = NAN,
                                .tokens = t->state.tokens,
                                .memory_bytes = vkft_memory_get_stats(t->session.dev).device_bytes,
                                .evaluation = true,
                                .eval_loss = loss};
    vkft_json_put_number(row, "step", (double)t->state.step);
    vkft_json_put_number(row, "eval_loss", loss);
    vkft_json_put_number(row, "epoch", event->epoch);
    vkft_metric_sums_means(&metrics, event->metrics);
    vkft_metrics_put(row, "eval_", event->metrics);
    if (t->retain.count) {
        if (!vkft_evaluate(&t->session, t->learner.eval, t->world, &t->retain, vkft_eval_batch_size(o), o->eval_batches,
                           &t->portion, t->observer, &loss, &tokens, err))
            return false;
        vkft_json_put_number(row, RETAIN_LOSS, loss);
    }
    if (!t->task.count)
        return true;
    if (!vkft_task_measure(&t->task, NULL, NULL, err))
        return false;
    vkft_task_put(&t->task, row, "eval_");
    return true;
}

/* A number of a row of the log; NaN: it has none. */
static double number_of(const cJSON *row, const char *key)
{
    const cJSON *number = vkft_json_member(row, key);
    return cJSON_IsNumber(number) ? number->valuedouble : NAN;
}

/* The loss on retained data before training: of the first row that has it. */
static double retained_before(const vkft_trainer *t)
{
    const cJSON *row;
    cJSON_ArrayForEach(row, t->state.history)
    {
        if (vkft_json_member(row, RETAIN_LOSS))
            return number_of(row, RETAIN_LOSS);
    }
    return NAN;
}

/* What the event does not tell of a row that is logged. */
static void say_more(const vkft_trainer *t, const cJSON *row)
{
    char text[128];
    if (t->retain.count && t->state.step == 0)
        vkft_observer_say(t->observer, "  loss on retained data %.4f", number_of(row, RETAIN_LOSS));
    else if (t->retain.count)
        vkft_observer_say(t->observer, "  loss on retained data %.4f, %.4f before training",
                          number_of(row, RETAIN_LOSS), retained_before(t));
    if (!t->task.count)
        return;
    vkft_task_text(&t->task, text, sizeof text);
    vkft_observer_say(t->observer, "  %s of %u answers", text, t->task.count);
}

/* Measures, and tells of it; NULL: failed. */
static cJSON *measured_row(vkft_trainer *t, vkft_train_event *event, vkft_err *err)
{
    bool failed = false;
    vkft_json_node node = vkft_json_make_object(&failed);
    bool measured = measure(t, node, event, err);
    cJSON *row = vkft_json_made(node);
    if (measured && row)
        return row;
    if (measured)
        vkft_fail_memory(err, "while writing the log");
    cJSON_Delete(row);
    return NULL;
}

bool vkft_evaluation_begin(vkft_trainer *t, vkft_err *err)
{
    vkft_train_event event;
    if ((!t->task.count && !t->retain.count) || t->state.step)
        return true;
    cJSON *row = measured_row(t, &event, err);
    if (!row)
        return false;
    vkft_observer_say(t->observer, "before training: validation loss %.4f", event.eval_loss);
    if (!vkft_log_row(t, row, err))
        return false;
    say_more(t, row);
    return true;
}

/* Says that training and validation loss part ways, once after each lowest validation loss. */
static bool warn_of_overfitting(vkft_trainer *t, vkft_overfit *now, vkft_err *err)
{
    if (!vkft_overfit_of_history(t->state.history, now, err))
        return false;
    if (now->overfits && now->best_step != t->overfit_step)
        vkft_observer_say(t->observer,
                          "warning: over-fitting: the validation loss was lowest at step %.0f (%.4f) and is %.4f now, "
                          "while the training loss kept falling",
                          now->best_step, now->best, now->last);
    t->overfit_step = now->overfits ? now->best_step : t->overfit_step;
    return true;
}

/* Why patience has run out. */
static void explain(vkft_trainer *t, const vkft_overfit *now)
{
    const vkft_run_state *s = &t->state;
    const vkft_train_options *o = t->options;
    char than[64] = "", *reason = t->stop_reason;
    const size_t size = sizeof t->stop_reason;
    if (o->early_stopping_threshold > 0)
        snprintf(than, sizeof than, " by more than %g", o->early_stopping_threshold);
    int n =
        isnan(s->best_metric)
            ? snprintf(reason, size, "no finite %s in %u evaluations", vkft_best_name(&t->best), s->bad_evals)
            : snprintf(reason, size, "no better %s%s in %u evaluations, the best is %.6g of step %llu",
                       vkft_best_name(&t->best), than, s->bad_evals, s->best_metric, (unsigned long long)s->best_step);
    if (now->overfits)
        snprintf(reason + n, size - (size_t)n,
                 "; the training loss kept falling: over-fitting (fewer epochs, a lower rank or learning rate, dropout "
                 "or more data help)");
}

/* Says once that the model forgets. Returns whether it is more than is allowed, which is then why the run ends; what is
 * trained by then is not the best. */
static bool forgets_too_much(vkft_trainer *t, double retained)
{
    double before = retained_before(t), limit = t->options->max_retain_loss_increase;
    if (!t->retain.count)
        return false;
    if (retained > FORGOTTEN * before && !t->forgets) {
        t->forgets = true;
        vkft_observer_say(t->observer,
                          "warning: the model forgets: the loss on retained data was %.4f before training and is %.4f; "
                          "--replay 0.1, a lower learning rate or fewer epochs help",
                          before, retained);
    }
    if (!(limit > 0) || retained - before <= limit)
        return false;
    snprintf(t->stop_reason, sizeof t->stop_reason,
             "the loss on retained data has risen by %.4f, from %.4f to %.4f, and --max-retain-loss-increase is %g",
             retained - before, before, retained, limit);
    return true;
}

bool vkft_evaluation_run(vkft_trainer *t, bool *stop, vkft_err *err)
{
    vkft_train_event event;
    vkft_overfit now;
    bool better;
    cJSON *row = measured_row(t, &event, err), *samples = row ? vkft_samples_take(t, err) : NULL;
    if (!samples) {
        cJSON_Delete(row);
        return false;
    }
    double value = number_of(row, t->best.key), retained = number_of(row, RETAIN_LOSS);
    if (t->step)
        t->step(t->observer->context, &event);
    bool kept = vkft_log_row(t, row, err);
    if (kept)
        say_more(t, row);
    kept = kept && vkft_samples_keep(t, samples, err);
    cJSON_Delete(samples);
    if (!kept || !warn_of_overfitting(t, &now, err))
        return false;
    t->state.evaluation_due = false;
    if (isfinite(event.eval_loss))
        t->sound_step = t->state.step;
    if (forgets_too_much(t, retained)) {
        *stop = true;
        return true;
    }
    *stop = vkft_best_judge(&t->best, t->options, value, &t->state, &better);
    if (*stop)
        explain(t, &now);
    return !better || !t->options->load_best_model_at_end || vkft_keep_best(t, err);
}
