/* The training loop: step, log, evaluate, save; interruption. */
#include "host/train/train.h"
#include "host/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/train/evaluation/evaluation.h"
#include "host/train/evaluation/samples.h"
#include "host/train/preference/preference.h"
#include "host/train/run/request.h"
#include "host/train/training_data.h"
#include "runtime/base/os/machine.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "runtime/base/json/builder.h"

bool vkft_log_row(vkft_trainer *t, cJSON *row, vkft_err *err)
{
    double now = vkft_os_wall_seconds();
    if (!vkft_run_directory_log(&t->run, t->state.history, row, err))
        return false;
    cJSON *time = cJSON_CreateNumber(now);
    return ((time && cJSON_AddItemToArray(t->state.wall_times, time)) ||
            vkft_fail_memory(err, "while writing the log")) &&
           (!t->board || vkft_tensorboard_add(t->board, row, now, err));
}

/* Sums since the last logged step. */
typedef struct interval {
    double loss; /* of those steps where it was finite */
    uint64_t finite, tokens;
    double seconds; /* of the steps alone */
    vkft_metric_sums metrics;
} interval;

double vkft_epoch_of(const vkft_trainer *t, uint64_t steps)
{
    return (double)steps / (double)t->steps_per_epoch;
}

static bool log_step(vkft_trainer *t, const vkft_step_result *result, interval *since, vkft_err *err)
{
    vkft_train_event event = {
        .step = t->state.step,
        .total_steps = t->total_steps,
        .epoch = vkft_epoch_of(t, t->state.step),
        .loss = since->finite ? since->loss / (double)since->finite : NAN,
        .grad_norm = result->grad_norm,
        .learning_rate = result->learning_rate,
        .tokens = t->state.tokens,
        .skipped_steps = t->state.skipped,
        .tokens_per_second = since->seconds > 0 ? (double)since->tokens / since->seconds : 0,
        .memory_bytes = vkft_memory_get_stats(t->session.dev).device_bytes,
        .eval_loss = NAN,
    };
    vkft_metric_sums_means(&since->metrics, event.metrics);
    bool failed = false;
    vkft_json_node row = vkft_json_make_object(&failed);
    vkft_json_put_number(row, "step", (double)event.step);
    vkft_json_put_number(row, "loss", event.loss);
    vkft_json_put_number(row, "grad_norm", event.grad_norm);
    vkft_json_put_number(row, "learning_rate", event.learning_rate);
    vkft_json_put_number(row, "epoch", event.epoch);
    vkft_json_put_number(row, "tokens", (double)event.tokens);
    vkft_json_put_number(row, "tokens_per_second", event.tokens_per_second);
    vkft_json_put_number(row, "memory_bytes", (double)event.memory_bytes);
    if (event.skipped_steps)
        vkft_json_put_number(row, "skipped_steps", (double)event.skipped_steps);
    vkft_metrics_put(row, "", event.metrics);
    *since = (interval){0};
    if (t->step)
        t->step(t->observer->context, &event);
    return vkft_log_row(t, vkft_json_made(row), err);
}

/* Where a batch could not be computed for lack of memory, what is trained is that of the last step, and is saved.
 * Whether its loss is finite cannot be tried. */
static bool out_of_memory(vkft_trainer *t, const vkft_err *why)
{
    unsigned long long step = t->state.step;
    vkft_err err;
    if (why->kind != VKFT_ERR_MEMORY || t->torn || !step || step == t->saved_step)
        return false;
    t->sound_step = step;
    if (vkft_keep_checkpoint(t, false, &err))
        vkft_observer_say(t->observer, "step %llu is saved; continue with --resume-from-checkpoint auto", step);
    return false;
}

/* What follows a step, or a checkpoint whose evaluation was interrupted. *leave: the person wants to stop. */
static bool evaluate_if_due(vkft_trainer *t, bool *stop, bool *leave, vkft_err *err)
{
    if (!t->state.evaluation_due || *leave || vkft_evaluation_run(t, stop, err))
        return true;
    *leave = err->kind == VKFT_ERR_INTERRUPTED;
    return *leave || out_of_memory(t, err);
}

/* Whether something is to be done after a step: when it is due, and after the last step. */
static bool is_due(const vkft_trainer *t, vkft_when when, uint32_t steps, bool last)
{
    uint64_t every = when == VKFT_WHEN_EPOCH ? t->steps_per_epoch : steps;
    return when != VKFT_WHEN_NEVER && (last || (every && t->state.step % every == 0));
}

static bool fail_interrupted(const vkft_trainer *t, vkft_err *err)
{
    unsigned long long step = t->state.step, total = t->total_steps;
    if (!step)
        return vkft_fail(err, VKFT_ERR_INTERRUPTED,
                         "interrupted before the first step was done; there is nothing to save");
    return vkft_fail(err, VKFT_ERR_INTERRUPTED,
                     "interrupted at step %llu of %llu, saved; continue with --resume-from-checkpoint auto", step,
                     total);
}

/* Does what another process asks of the run. *leave: it is to stop. */
static bool obey(vkft_trainer *t, bool *leave, vkft_err *err)
{
    vkft_run_request request = vkft_run_request_read(t->run.path);
    if (request == VKFT_REQUEST_PAUSE)
        vkft_observer_say(t->observer, "paused after step %llu; vkft watch lets it go on, or removing %s",
                          (unsigned long long)t->state.step, VKFT_RUN_REQUEST_FILE);
    while (request == VKFT_REQUEST_PAUSE && !vkft_observer_interrupted(t->observer)) {
        vkft_os_sleep(0.1);
        request = vkft_run_request_read(t->run.path);
    }
    if (request == VKFT_REQUEST_NONE || request == VKFT_REQUEST_PAUSE)
        return true;
    *leave = request == VKFT_REQUEST_STOP;
    return vkft_run_request_write(t->run.path, VKFT_REQUEST_NONE, err) &&
           (request != VKFT_REQUEST_SAVE || t->state.step == t->saved_step || vkft_keep_checkpoint(t, false, err));
}

/* Of the step that was done. */
static bool count_skipped(vkft_trainer *t, bool skipped, vkft_err *err)
{
    unsigned long long step = t->state.step, row;
    row = t->state.skipped_in_row = skipped ? t->state.skipped_in_row + 1 : 0;
    if (!skipped)
        return true;
    t->state.skipped++;
    vkft_observer_say(t->observer, "step %llu is skipped: its loss or gradient is not finite", step);
    return (row < VKFT_SKIPPED_IN_ROW && (step < t->total_steps || t->state.skipped < step)) ||
           vkft_fail_diverged(t, err,
                              "loss or gradient were not finite in the last %llu steps, which were skipped; the "
                              "last one is step %llu",
                              row, step);
}

/* Milliseconds that the kernels of all passes have taken until now. */
static double kernels_so_far(const vkft_trainer *t)
{
    vkft_profile_row rows[VKFT_KERNEL_COUNT] = {0};
    double total = 0;
    vkft_session_profile(&t->session, rows);
    for (size_t i = 0; i < VKFT_KERNEL_COUNT; i++)
        total += rows[i].time_ms;
    return total;
}

/* A step with its log, evaluation and checkpoint. */
static bool advance(vkft_trainer *t, interval *since, vkft_train_result *result, bool *stop, bool *leave, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_step_result step;
    double kernels_ms = o->profile ? kernels_so_far(t) : 0;
    double started = vkft_os_seconds();
    if (!vkft_train_step(t, &step, err)) {
        *leave = err->kind == VKFT_ERR_INTERRUPTED; /* the step is taken again after resuming */
        return *leave || out_of_memory(t, err);
    }
    double seconds = vkft_os_seconds() - started;
    since->seconds += seconds;
    if (o->profile) {
        t->profiled_ms += 1000 * seconds;
        t->profiled_kernels_ms += kernels_so_far(t) - kernels_ms;
    }
    t->state.step++;
    t->state.tokens += step.tokens;
    if (!count_skipped(t, step.skipped, err))
        return false;
    since->loss += isfinite(step.loss) ? step.loss : 0;
    since->finite += isfinite(step.loss);
    if (!step.skipped)
        vkft_metric_sums_join(&since->metrics, &step.metrics);
    since->tokens += step.tokens;
    result->steps++;
    if (isfinite(step.loss)) {
        result->first_loss = isnan(result->first_loss) ? step.loss : result->first_loss;
        result->last_loss = step.loss;
    }
    bool last = t->state.step == t->total_steps;
    if (is_due(t, o->logging_strategy, o->logging_steps, last) && !log_step(t, &step, since, err))
        return false;
    t->state.evaluation_due = t->valid.count && is_due(t, o->eval_strategy, o->eval_steps, last);
    *leave = t->world->any(vkft_observer_interrupted(t->observer));
    if (!evaluate_if_due(t, stop, leave, err))
        return false;
    bool ends = last || *stop;
    if (!*leave && is_due(t, o->save_strategy, o->save_steps, ends) && !vkft_keep_checkpoint(t, ends, err))
        return false;
    return *leave || ends || obey(t, leave, err);
}

static bool train_loop(vkft_trainer *t, vkft_train_result *result, vkft_err *err)
{
    interval since = {0};
    bool stop = false, leave = false;
    bool ok = evaluate_if_due(t, &stop, &leave, err);
    while (ok && !stop && !leave && t->state.step < t->total_steps)
        ok = advance(t, &since, result, &stop, &leave, err);
    if (ok && leave)
        ok = t->state.step == t->saved_step || !t->state.step || vkft_keep_checkpoint(t, false, err);
    if (ok && leave && (t->state.step < t->total_steps || t->state.evaluation_due))
        ok = fail_interrupted(t, err);
    if (ok && stop)
        vkft_observer_say(t->observer, "stopped early at step %llu: %s", (unsigned long long)t->state.step,
                          t->stop_reason);
    return ok;
}

static bool open_reports(vkft_trainer *t, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    if (o->report_to == VKFT_REPORT_NONE)
        return true;
    char *runs = o->logging_dir ? NULL : vkft_path_join(o->output_dir, "runs");
    const char *dir = o->logging_dir ? o->logging_dir : runs;
    if (!dir)
        return vkft_fail_memory(err, "for TensorBoard's events");
    t->board = vkft_tensorboard_open(dir, o->output_dir, &o->settings, t->state.history, t->state.wall_times,
                                     t->run.old_run, err);
    vkft_text argument = {0};
    if (t->board && vkft_text_append_argument(&argument, vkft_os_is_windows(), dir, NULL))
        vkft_observer_say(t->observer, "events for TensorBoard: tensorboard --logdir %s", argument.data);
    vkft_text_free(&argument);
    free(runs);
    return t->board != NULL;
}

static int longest_first(const void *pa, const void *pb)
{
    double a = ((const vkft_profile_row *)pa)->time_ms, b = ((const vkft_profile_row *)pb)->time_ms;
    return a < b ? 1 : a > b ? -1 : 0;
}

/* Whether it multiplies matrices, or decodes one for that. */
static bool is_product(const char *kernel)
{
    static const char *const beginnings[] = {"matmul", "panel", "grouped", "lookup", "coop", "dot", "half", "rows_f16"};
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (strncmp(kernel, beginnings[i], strlen(beginnings[i])) == 0)
            return true;
    return false;
}

/* --profile: kernels by their time on the device, and the share of the matrix products. The optimizer's own launches
 * are not in it. */
static void say_profile(const vkft_trainer *t)
{
    vkft_profile_row rows[VKFT_KERNEL_COUNT] = {0};
    double total = 0, products = 0;
    vkft_session_profile(&t->session, rows);
    qsort(rows, VKFT_KERNEL_COUNT, sizeof *rows, longest_first);
    for (size_t i = 0; i < VKFT_KERNEL_COUNT; i++) {
        total += rows[i].time_ms;
        if (is_product(vkft_kernel_name(rows[i].kernel)))
            products += rows[i].time_ms;
    }
    for (size_t i = 0; i < VKFT_KERNEL_COUNT && rows[i].launches; i++)
        vkft_observer_say(t->observer, "%-20s %9llu launches %12.1f ms %5.1f %%", vkft_kernel_name(rows[i].kernel),
                          (unsigned long long)rows[i].launches, rows[i].time_ms, 100 * rows[i].time_ms / total);
    vkft_observer_say(t->observer, "matrix products: %.1f %% of %.1f ms", total > 0 ? 100 * products / total : 0,
                      total);
    if (t->profiled_ms > 0)
        vkft_observer_say(t->observer, "outside these kernels: %.1f %% of the %.1f ms that steps took",
                          100 * (t->profiled_ms - t->profiled_kernels_ms) / t->profiled_ms, t->profiled_ms);
}

static bool run(vkft_trainer *t, vkft_train_result *result, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    const vkft_run_place place = {o->output_dir, o->resume_from_checkpoint, o->overwrite,
                                  vkft_trains_all_weights(&t->session.trained)};
    if (!vkft_run_directory_open(&t->run, &place, t->observer, err) ||
        !vkft_session_start(&t->session, &t->plan, t->observer, err) ||
        !((t->fingerprint = vkft_trainer_fingerprint(t)) || vkft_fail_memory(err, "while preparing the run")) ||
        !vkft_reference_compute(t, err) || !vkft_samples_begin(t, err) || !vkft_resume(t, err) ||
        !vkft_run_directory_begin(&t->run, t->state.step, t->state.history, err) ||
        !vkft_run_samples_begin(&t->run, t->state.step - t->state.evaluation_due, err) || !vkft_resume_best(t, err) ||
        !open_reports(t, err))
        return false;
    const vkft_device_info *info = vkft_device_get_info(t->session.dev);
    vkft_observer_say(t->observer, "device: %s (%s)", info->name, info->driver);
    vkft_observer_say(t->observer, "weights: %s",
                      vkft_storage_get(t->session.model.modules[0].linear->w.storage)->label);
    char where[64] = "all weights";
    if (!vkft_trains_all_weights(&t->session.trained))
        snprintf(where, sizeof where, "adapters on %u modules", t->session.trained.adapters.count);
    vkft_observer_say(t->observer, "%llu steps of %u x %u samples; %llu parameters in %s",
                      (unsigned long long)t->total_steps, o->gradient_accumulation_steps, o->batch_size,
                      (unsigned long long)vkft_trainables_parameters(&t->session.trained), where);
    if (!vkft_data_show_sample(t->session.text.tokenizer, t->train.samples[0], "first sample", t->observer, err))
        return false;
    if (t->objective->preferences == VKFT_PREFERENCES_PAIRS &&
        !vkft_data_show_sample(t->session.text.tokenizer, t->train.samples[1], "its rejected answer", t->observer, err))
        return false;
    if (!vkft_evaluation_begin(t, err))
        return false;
    double started = vkft_os_seconds();
    uint64_t tokens = t->state.tokens;
    if (!train_loop(t, result, err))
        return false;
    if (o->profile)
        say_profile(t);
    result->seconds = vkft_os_seconds() - started;
    result->tokens_per_second = result->seconds > 0 ? (double)(t->state.tokens - tokens) / result->seconds : 0;
    result->peak_memory_bytes = vkft_memory_get_stats(t->session.dev).device_peak_bytes;
    result->skipped_steps = t->state.skipped;
    result->best = t->best;
    memcpy(result->stop_reason, t->stop_reason, sizeof result->stop_reason);
    result->has_tokenizer = t->session.text.tokenizer != NULL;
    return vkft_keep_result(t, result, err);
}

bool vkft_train(const vkft_train_options *options, const vkft_train_observer *observer, vkft_train_result *result,
                vkft_err *err)
{
    vkft_trainer t;
    *result = (vkft_train_result){.first_loss = NAN, .last_loss = NAN, .best_metric = NAN};
    bool ok = vkft_trainer_open(&t, options, observer, err) && run(&t, result, err);
    if (!ok)
        vkft_observer_failing(&observer->general, err);
    vkft_trainer_close(&t);
    return ok;
}
