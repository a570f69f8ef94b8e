/* What a run keeps: checkpoints, the best, the result. Weights that have diverged are never written: they would push
 * out the last good checkpoint, or be taken for a result. */
#include "host/train/report/card.h"
#include "host/train/train.h"
#include "host/train/trainer.h"
#include "runtime/base/json.h"
#include "runtime/base/json/builder.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"
#include "runtime/base/utf8.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool vkft_fail_diverged(const vkft_trainer *t, vkft_err *err, const char *format, ...)
{
    char what[256], *newest = NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (!vkft_run_directory_newest(t->run.path, &newest, NULL) || !newest)
        vkft_fail(err, VKFT_ERR_INPUT, "%s; begin again with a lower --learning-rate", what);
    else
        vkft_fail(err, VKFT_ERR_INPUT,
                  "%s; the last checkpoint, %s, is of before that: begin again with a lower --learning-rate, or resume "
                  "from it with one and --allow-changes",
                  what, newest);
    free(newest);
    return false;
}

/* Copies what was trained to t->flat. */
static bool get_trained(vkft_trainer *t, bool with_state, vkft_err *err)
{
    return vkft_optimizer_get(&t->learner.optimizer, t->flat, with_state ? t->state_copy : NULL, err);
}

static bool all_finite(const float *values, uint64_t count)
{
    uint64_t bad = 0;
    for (uint64_t i = 0; i < count; i++)
        bad += !isfinite(values[i]);
    return bad == 0;
}

/* Whether what is trained is of use: the numbers in t->flat are finite, and so is the loss that the device computes
 * with them. Numbers may be finite and so large that products are not, so one batch is tried, unless a step was
 * evaluated already; and others where steps were skipped, because a batch may be what is not finite. */
static bool check_sound(vkft_trainer *t, bool *sound, vkft_err *err)
{
    static const vkft_observer silent = {0};
    double loss = 0;
    uint64_t tokens;
    *sound = all_finite(t->flat, vkft_trainables_floats(&t->session.trained));
    if (!*sound || t->sound_step == t->state.step)
        return true;
    const uint32_t size = t->options->batch_size, batches = ceil_div(t->train.packs, size);
    *sound = false;
    for (uint32_t b = 0; !*sound && b < batches && b <= min_u64(t->state.skipped, VKFT_SKIPPED_IN_ROW); b++) {
        vkft_sample_packs rest = t->train;
        rest.pack += b * size;
        rest.packs -= b * size;
        if (!vkft_evaluate(&t->session, t->learner.eval, t->world, &rest, size, 1, &t->portion, &silent, &loss, &tokens,
                           err))
            return false;
        *sound = isfinite(loss);
    }
    if (*sound)
        t->sound_step = t->state.step;
    return true;
}

static bool fail_unsound(const vkft_trainer *t, vkft_err *err)
{
    return vkft_fail_diverged(t, err,
                              "after step %llu the weights are not finite, or give no finite loss: they are not saved",
                              (unsigned long long)t->state.step);
}

/* Whether there is something else than the last step to make the result of. */
static bool has_best(const vkft_trainer *t)
{
    return t->options->load_best_model_at_end && isfinite(t->state.best_metric);
}

static bool write_as(const vkft_trainer *t, vkft_dtype dtype, const char *dir, vkft_err *err)
{
    const char *base = vkft_session_model_name(&t->session);
    return vkft_trainables_write(&t->session.trained, t->flat, t->session.file, base, dtype, dir, err);
}

/* While a run goes on nothing may be rounded; what it ends with has the checkpoint's own type. */
static bool write_exactly(const void *context, const char *dir, vkft_err *err)
{
    return write_as(context, VKFT_F32, dir, err);
}

static bool write_final(const void *context, const char *dir, vkft_err *err)
{
    const vkft_trainer *t = context;
    return write_as(t, t->session.config->dtype, dir, err);
}

bool vkft_keep_checkpoint(vkft_trainer *t, bool ends, vkft_err *err)
{
    bool sound;
    if (!get_trained(t, true, err) || !check_sound(t, &sound, err))
        return false;
    if (!sound && ends && has_best(t)) {
        vkft_observer_say(t->observer, "warning: after step %llu the weights give no finite loss; they are not saved",
                          (unsigned long long)t->state.step);
        return true;
    }
    if (!sound)
        return fail_unsound(t, err);
    vkft_run_checkpoint checkpoint = {
        .saver = {write_exactly, t},
        .optimizer = t->learner.optimizer.kind,
        .optimizer_state = t->state_copy,
        .tensors = &t->learner.tensors,
        .state = &t->state,
        .fingerprint = t->fingerprint,
        .settings = &t->options->settings,
        .max_steps = t->total_steps,
        .epoch = vkft_epoch_of(t, t->state.step),
        .num_train_epochs = t->options->num_train_epochs,
    };
    if (!vkft_run_checkpoint_write(&t->run, &checkpoint, t->options->save_total_limit, err) ||
        !vkft_tensorboard_replace(t->board, err))
        return false;
    t->saved_step = t->state.step;
    return true;
}

bool vkft_keep_best_copy(vkft_trainer *t, vkft_err *err)
{
    return vkft_run_directory_write_best(&t->run, t->state.best_step, &(vkft_saver){write_exactly, t}, err);
}

bool vkft_keep_best(vkft_trainer *t, vkft_err *err)
{
    if (!get_trained(t, false, err))
        return false;
    if (!all_finite(t->flat, vkft_trainables_floats(&t->session.trained)))
        return fail_unsound(t, err);
    return vkft_keep_best_copy(t, err);
}

static cJSON *make_record(const vkft_trainer *t, const vkft_run_summary *summary)
{
    bool failed = false;
    vkft_json_node root = vkft_json_make_object(&failed);
    vkft_json_put_string(root, "program", "vkft");
    vkft_json_put_string(root, "device", vkft_device_get_info(t->session.dev)->name);
    vkft_json_put_string(root, "quant", vkft_quant_label(t->session.options.quant));
    vkft_json_put_bool(root, "double_quant", t->options->model.super_scales);
    vkft_json_put_number(root, "steps", (double)t->state.step);
    if (t->state.skipped)
        vkft_json_put_number(root, "skipped_steps", (double)t->state.skipped);
    vkft_json_put_number(root, "tokens", (double)t->state.tokens);
    vkft_json_put_number(root, "learning_rate", t->options->learning_rate);
    vkft_json_put_number(root, "seed", (double)t->options->seed);
    if (isfinite(t->state.best_metric)) {
        char name[VKFT_BEST_KEY + 8];
        snprintf(name, sizeof name, "best_%s", t->best.key);
        vkft_json_put_number(root, name, t->state.best_metric);
        vkft_json_put_number(root, "best_step", (double)t->state.best_step);
    }
    if (t->stop_reason[0])
        vkft_json_put_string(root, "stopped_early", t->stop_reason);
    vkft_json_node lines = vkft_json_put_object(root, "summary");
    for (uint32_t i = 0; i < summary->count; i++)
        vkft_json_put_string(lines, summary->lines[i].name, summary->lines[i].text);
    vkft_json_put_copy(root, "run", t->fingerprint);
    return vkft_json_made(root);
}

static bool take_last(vkft_trainer *t, vkft_err *err)
{
    bool sound;
    return get_trained(t, false, err) && check_sound(t, &sound, err) && (sound || fail_unsound(t, err));
}

/* Takes what the best evaluation kept, if asked to, else what the last step left. */
static bool choose_result(vkft_trainer *t, vkft_err *err)
{
    if (!has_best(t))
        return take_last(t, err);
    vkft_err lost = {0};
    char *path = vkft_run_directory_best(&t->run, t->state.best_step, &lost);
    bool ok = path && vkft_trainables_read(&t->session.trained, path, t->flat, &lost);
    free(path);
    if (!ok) {
        vkft_observer_say(t->observer, "warning: the best, of step %llu, cannot be read: %s",
                          (unsigned long long)t->state.best_step, lost.message);
        vkft_observer_say(t->observer, "the result is what the last step left");
        t->state.best_metric = NAN; /* what is said of the result is true of it */
        return take_last(t, err);
    }
    vkft_observer_say(t->observer, "the %s of step %llu has the %s %s, %.6f",
                      vkft_trains_all_weights(&t->session.trained) ? "model" : "adapter",
                      (unsigned long long)t->state.best_step, vkft_best_direction(&t->best), vkft_best_name(&t->best),
                      t->state.best_metric);
    return true;
}

/* Half precision ends at 65504; what is beyond would be infinite in the file. */
static bool check_range(const vkft_trainer *t, vkft_err *err)
{
    uint64_t count = vkft_trainables_floats(&t->session.trained);
    float largest = 0;
    if (!vkft_trains_all_weights(&t->session.trained) || t->session.config->dtype != VKFT_F16)
        return true;
    for (uint64_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(t->flat[i]));
    return largest <= 65504.0f ||
           vkft_fail_diverged(t, err, "a weight has grown to %g, and the model's type, float16, ends at 65504",
                              (double)largest);
}

bool vkft_keep_result(vkft_trainer *t, vkft_train_result *result, vkft_err *err)
{
    if (!choose_result(t, err) || !check_range(t, err))
        return false;
    result->best_metric = t->state.best_metric;
    result->best_step = t->state.best_step;
    vkft_run_summarize(t, result, &result->summary);
    cJSON *record = make_record(t, &result->summary);
    vkft_text card = {0};
    bool ok =
        (record || vkft_fail_memory(err, "while finishing the run")) &&
        vkft_card_write(t, &result->summary, &card, err) &&
        vkft_run_directory_finish(&t->run, &(vkft_saver){write_final, t}, t->session.file, card.data, record, err);
    cJSON_Delete(record);
    vkft_text_free(&card);
    return ok && vkft_tensorboard_replace(t->board, err);
}
