/* Writing checkpoints of a run, see run_directory.h. */
#include "host/train/run/run_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "formats/tensors/safetensors.h"
#include "runtime/base/json/builder.h"

bool vkft_run_directory_newest(const char *path, char **found, vkft_err *err)
{
    vkft_run_numbers numbers;
    char name[64];
    *found = NULL;
    bool ok = vkft_run_list(path, VKFT_CHECKPOINT, &numbers, err);
    if (ok && numbers.count) {
        vkft_run_name(name, VKFT_CHECKPOINT, numbers.list[0], "");
        *found = vkft_path_join(path, name);
        ok = *found || vkft_fail_memory(err, "while looking for checkpoints in %s", path);
    }
    free(numbers.list);
    return ok;
}

/* The best step that a checkpoint names; UINT64_MAX: none. */
static uint64_t best_named(const vkft_run_directory *run, uint64_t number)
{
    char name[64];
    uint64_t step = UINT64_MAX;
    vkft_run_name(name, VKFT_CHECKPOINT, number, "/vkft_state.json");
    char *path = vkft_path_join(run->path, name);
    cJSON *state = path ? vkft_json_read_object(path, VKFT_STATE_LIMIT, NULL) : NULL;
    if (state)
        vkft_json_get_u64(state, "best_step", true, &step, path, NULL);
    cJSON_Delete(state);
    free(path);
    return step;
}

static bool contains(const uint64_t *list, size_t count, uint64_t number)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == number)
            return true;
    return false;
}

void vkft_run_prune_best(const vkft_run_directory *run, uint64_t best_step)
{
    vkft_run_numbers checkpoints = {0}, best = {0};
    vkft_err err = {0};
    if (!vkft_run_list(run->path, VKFT_CHECKPOINT, &checkpoints, &err) ||
        !vkft_run_list(run->path, VKFT_BEST, &best, &err))
        vkft_observer_say(run->observer, "warning: the best of before stays: %s", err.message);
    uint64_t *named = calloc(checkpoints.count + 1, sizeof *named);
    for (size_t i = 0; named && i < checkpoints.count; i++)
        named[i] = best_named(run, checkpoints.list[i]);
    for (size_t i = 0; named && i < best.count; i++)
        if (best.list[i] != best_step && !contains(named, checkpoints.count, best.list[i]))
            vkft_run_remove(run, VKFT_BEST, best.list[i], true);
    free(named);
    free(checkpoints.list);
    free(best.list);
}

/* Keeps the newest `keep` checkpoints (0: all) up to this one. Whatever goes wrong here, the checkpoint is written. */
static void prune(const vkft_run_directory *run, const vkft_run_state *now, uint32_t keep)
{
    vkft_run_numbers checkpoints = {0};
    vkft_err err = {0};
    if (!vkft_run_list(run->path, VKFT_CHECKPOINT, &checkpoints, &err))
        vkft_observer_say(run->observer, "warning: old checkpoints stay: %s", err.message);
    size_t kept = 0;
    for (size_t i = 0; i < checkpoints.count; i++)
        if (checkpoints.list[i] <= now->step && keep && kept++ >= keep)
            vkft_run_remove(run, VKFT_CHECKPOINT, checkpoints.list[i], kept > keep + 1);
    free(checkpoints.list);
    vkft_run_prune_best(run, now->best_step);
}

/* trainer_state.json in the form that transformers writes. */
static cJSON *trainer_state(const vkft_run_checkpoint *c)
{
    bool failed = false;
    vkft_json_node root = vkft_json_make_object(&failed);
    const vkft_run_state *s = c->state;
    char best[48];
    snprintf(best, sizeof best, "best-%llu", (unsigned long long)s->best_step);
    vkft_json_put_number(root, "best_metric", s->best_metric);
    if (isfinite(s->best_metric))
        vkft_json_put_string(root, "best_model_checkpoint", best);
    else
        vkft_json_put_null(root, "best_model_checkpoint");
    vkft_json_put_number(root, "epoch", c->epoch);
    vkft_json_put_number(root, "global_step", (double)s->step);
    vkft_json_put_bool(root, "is_world_process_zero", true);
    vkft_json_put_number(root, "max_steps", (double)c->max_steps);
    vkft_json_put_number(root, "num_train_epochs", c->num_train_epochs);
    vkft_json_put_number(root, "num_input_tokens_seen", (double)s->tokens);
    vkft_json_put_copy(root, "log_history", s->history);
    return vkft_json_made(root);
}

static cJSON *vkft_state(const vkft_run_checkpoint *c)
{
    bool failed = false;
    vkft_json_node root = vkft_json_make_object(&failed);
    vkft_json_put_number(root, "version", 1);
    vkft_json_put_number(root, "best_step", (double)c->state->best_step);
    vkft_json_put_string(root, "best_key", c->state->best_key);
    vkft_json_put_number(root, "bad_evals", c->state->bad_evals);
    vkft_json_put_number(root, "skipped_steps", (double)c->state->skipped);
    vkft_json_put_number(root, "skipped_in_row", c->state->skipped_in_row);
    vkft_json_put_bool(root, "evaluation_due", c->state->evaluation_due);
    vkft_json_put_copy(root, "run", c->fingerprint);
    vkft_json_node settings = vkft_json_put_object(root, "settings");
    for (uint32_t i = 0; i < c->settings->count; i++)
        vkft_json_put_string(settings, c->settings->list[i].name, c->settings->list[i].value);
    vkft_json_put_copy(root, "wall_times", c->state->wall_times);
    return vkft_json_made(root);
}

static bool write_json(const char *dir, const char *name, cJSON *root, vkft_err *err)
{
    char *path = vkft_path_join(dir, name), *text = root ? cJSON_Print(root) : NULL;
    bool ok = (path && text) || vkft_fail_memory(err, "while writing a checkpoint");
    ok = ok && vkft_file_write(path, text, strlen(text), err);
    free(path);
    cJSON_free(text);
    cJSON_Delete(root);
    return ok;
}

static bool write_optimizer(const char *dir, const vkft_run_checkpoint *c, vkft_err *err)
{
    char *path = vkft_path_join(dir, "optimizer.safetensors");
    uint32_t count = vkft_optimizer_states(c->optimizer);
    vkft_safetensors_spec specs[VKFT_OPTIMIZER_STATES];
    for (uint32_t i = 0; i < count; i++)
        specs[i] = (vkft_safetensors_spec){.name = c->optimizer->state[i].name,
                                           .dtype = c->optimizer->state[i].dtype,
                                           .dims = 1,
                                           .shape = {vkft_optimizer_state_values(c->optimizer, i, c->tensors)}};
    vkft_safetensors_writer *writer = path ? vkft_safetensors_create(path, specs, count, err) : NULL;
    free(path);
    bool ok = writer != NULL;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = vkft_safetensors_append(writer, c->optimizer_state[i],
                                     vkft_optimizer_state_bytes(c->optimizer, i, c->tensors), err);
    if (ok)
        return vkft_safetensors_commit(writer, err);
    vkft_safetensors_abandon(writer);
    return false;
}

bool vkft_run_checkpoint_write(vkft_run_directory *run, const vkft_run_checkpoint *c, uint32_t keep, vkft_err *err)
{
    char name[64], temporary_name[64], foreign[128];
    vkft_run_name(name, VKFT_CHECKPOINT, c->state->step, "");
    vkft_run_name(temporary_name, VKFT_CHECKPOINT, c->state->step, ".tmp");
    char *final = vkft_run_path(run, name, err), *temporary = vkft_run_path(run, temporary_name, err);
    bool ok = temporary && final && vkft_run_set_aside(run, temporary_name, VKFT_IN_THE_WAY, err) &&
              vkft_directory_create(temporary, err) && c->saver.write(c->saver.context, temporary, err) &&
              write_optimizer(temporary, c, err) &&
              write_json(temporary, "trainer_state.json", trainer_state(c), err) &&
              write_json(temporary, "vkft_state.json", vkft_state(c), err) &&
              vkft_run_set_aside(run, name, VKFT_IN_THE_WAY, err) && vkft_directory_rename(temporary, final, err);
    if (!ok && temporary && vkft_run_is_own_directory(temporary, foreign))
        vkft_directory_remove(temporary, NULL);
    free(temporary);
    free(final);
    if (ok) {
        vkft_run_drop_old(run);
        prune(run, c->state, keep);
    }
    return ok;
}
