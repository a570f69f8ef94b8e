/* Going on from a checkpoint. See run/run_directory.h. */
#include "host/train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/text.h"

/* *damaged: not this run's fault, nor another run's checkpoint. */
static bool read_checkpoint(vkft_trainer *t, const char *path, bool *damaged, vkft_err *err)
{
    const vkft_train_options *o = t->options;
    const vkft_run_reading reading = {
        .optimizer = t->learner.optimizer.kind,
        .optimizer_state = t->state_copy,
        .tensors = &t->learner.tensors,
        .fingerprint = t->fingerprint,
        .settings = &o->settings,
        .allow_changes = o->allow_changes,
        .observer = t->observer,
    };
    vkft_run_state state;
    if (!vkft_run_checkpoint_read(path, &reading, &state, damaged, err))
        return false;
    if (strcmp(state.best_key, t->best.key) != 0) {
        vkft_observer_say(t->observer, "the best so far was chosen by %s: the best by %s begins here", state.best_key,
                          t->best.key);
        state.best_metric = NAN;
        state.best_step = state.bad_evals = 0;
        snprintf(state.best_key, sizeof state.best_key, "%s", t->best.key);
    }
    cJSON_Delete(t->state.history);
    cJSON_Delete(t->state.wall_times);
    t->state = state;
    if (vkft_trainables_read(&t->session.trained, path, t->flat, err))
        return vkft_session_write_origin(&t->session, err) &&
               vkft_optimizer_set(&t->learner.optimizer, t->flat, (const void *const *)t->state_copy, err);
    *damaged = err->kind != VKFT_ERR_MEMORY;
    return false;
}

static bool resume_from(vkft_trainer *t, const char *path, bool *damaged, vkft_err *err)
{
    if (!read_checkpoint(t, path, damaged, err))
        return false;
    t->saved_step = t->state.step;
    t->resumed_from = vkft_string_copy(path);
    vkft_observer_say(t->observer, "resumed from %s at step %llu", path, (unsigned long long)t->state.step);
    return t->resumed_from || vkft_fail_memory(err, "while resuming");
}

/* The newest checkpoint that is whole. */
static bool resume_newest(vkft_trainer *t, vkft_err *err)
{
    const char *dir = t->options->output_dir;
    uint64_t *numbers;
    size_t count, i = 0;
    bool ok = vkft_run_directory_checkpoints(dir, &numbers, &count, err), done = false;
    if (ok && !count) {
        vkft_observer_say(t->observer, "%s holds no complete checkpoint: starting at step 0", dir);
        done = true;
    }
    for (; ok && !done && i < count; i++) {
        bool damaged;
        char *path = vkft_run_directory_checkpoint(dir, numbers[i], err);
        done = path && resume_from(t, path, &damaged, err);
        ok = done || (path && damaged);
        if (!done && ok && i + 1 < count)
            vkft_observer_say(t->observer, "warning: %s is damaged, taking the one before: %s", path, err->message);
        free(path);
    }
    free(numbers);
    if (ok && !done)
        vkft_fail_context(err, "no checkpoint in %s is whole; begin again with --overwrite", dir);
    return ok && done;
}

bool vkft_resume(vkft_trainer *t, vkft_err *err)
{
    const char *from = t->options->resume_from_checkpoint;
    bool damaged;
    if (!from)
        return true;
    if (strcmp(from, "auto") == 0)
        return resume_newest(t, err);
    return resume_from(t, from, &damaged, err) || (damaged && vkft_fail_context(err, "%s is damaged", from));
}

/* Reads best-<step> from a directory to t->flat. */
static bool read_best(vkft_trainer *t, const char *dir, vkft_err *err)
{
    char name[64];
    snprintf(name, sizeof name, "best-%llu", (unsigned long long)t->state.best_step);
    char *path = vkft_path_join(dir, name);
    bool ok = path ? vkft_trainables_read(&t->session.trained, path, t->flat, err)
                   : vkft_fail_memory(err, "while reading %s", name);
    free(path);
    return ok;
}

bool vkft_resume_best(vkft_trainer *t, vkft_err *err)
{
    vkft_err lost = {0};
    if (!t->resumed_from || !t->options->load_best_model_at_end || !isfinite(t->state.best_metric) ||
        read_best(t, t->options->output_dir, &lost))
        return true;
    char *parent = vkft_path_parent(t->resumed_from);
    bool found = parent && read_best(t, parent, &lost);
    free(parent);
    if (found)
        return vkft_keep_best_copy(t, err);
    vkft_observer_say(t->observer,
                      "warning: the best so far, of step %llu, is lost (%s): the best from here on will be the result",
                      (unsigned long long)t->state.best_step, lost.message);
    t->state.best_metric = NAN;
    t->state.best_step = 0;
    return true;
}
