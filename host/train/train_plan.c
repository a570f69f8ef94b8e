/* What a run would need: its memory plan, beside what the device has free. */
#include "host/train/train.h"
#include "host/train/trainer.h"

/* The longest batch of one sequence, by halving, whose plan fits; 0 when none does. */
static uint32_t fitting_length(const vkft_trainer *t, const vkft_device_info *info)
{
    for (uint32_t length = t->plan.limits.batch.positions; length >= 16; length /= 2) {
        vkft_memory_plan trial;
        const vkft_limits limits = {.batch = {.tokens = length,
                                              .source_tokens = t->session.config->encoder_layers ? length : 0,
                                              .rows = length,
                                              .positions = length},
                                    .checkpointing = VKFT_CHECKPOINTING_HOST,
                                    .stream_weights = t->plan.limits.stream_weights};
        if (vkft_session_plan(&t->session, &limits, &trial, NULL) &&
            vkft_session_plan_buffers(&t->session, info, &trial, NULL) &&
            trial.device_bytes <= info->memory_free_bytes && trial.largest.bytes <= vkft_buffer_max_bytes(info))
            return length;
    }
    return 0;
}

static void compare_with_device(const vkft_trainer *t, vkft_train_plan *plan)
{
    vkft_device *opened = NULL, *dev = t->session.dev;
    if (!dev && !(dev = opened = vkft_device_open(t->options->model.device, &plan->no_device)))
        return;
    const vkft_device_info *info = vkft_device_get_info(dev);
    plan->device = *info;
    plan->fits = vkft_session_plan_buffers(&t->session, info, &plan->memory, &plan->why_not) &&
                 vkft_memory_plan_check(&plan->memory, info, &plan->why_not);
    if (!plan->fits)
        plan->fitting_length = fitting_length(t, info);
    vkft_device_close(opened);
}

/* Whether the run that is resumed has ended, after as many steps as are wanted or early. Error: it was another one. */
static bool find_finished(const vkft_trainer *t, bool *finished, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    vkft_run_outcome outcome;
    cJSON *run;
    *finished = false;
    if (!o->data.path || !o->resume_from_checkpoint)
        return true;
    if (!vkft_run_outcome_read(o->output_dir, t->best.key, &outcome, &run, err))
        return false;
    *finished = run && (outcome.steps == t->total_steps || outcome.stopped_early);
    cJSON *fingerprint = *finished ? vkft_trainer_fingerprint(t) : NULL;
    const vkft_run_reading reading = {.fingerprint = fingerprint,
                                      .settings = &o->settings,
                                      .allow_changes = o->allow_changes,
                                      .observer = t->observer};
    bool ok = !*finished || ((fingerprint || vkft_fail_memory(err, "while planning the run")) &&
                             vkft_run_compare(o->output_dir, run, &reading, err));
    cJSON_Delete(fingerprint);
    cJSON_Delete(run);
    return ok;
}

bool vkft_train_plan_make(const vkft_train_options *options, const vkft_train_observer *observer, vkft_train_plan *plan,
                          vkft_err *err)
{
    vkft_trainer t;
    *plan = (vkft_train_plan){0};
    bool ok = vkft_trainer_open(&t, options, observer, err) && find_finished(&t, &plan->finished, err);
    if (ok) {
        plan->best = t.best;
        plan->memory = t.plan;
        plan->parameters = vkft_trainables_parameters(&t.session.trained);
        compare_with_device(&t, plan);
    }
    vkft_trainer_close(&t);
    return ok;
}
