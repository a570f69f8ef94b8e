/* Reading a checkpoint, and comparing its run with the one that resumes it. */
#include "host/train/run/run_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/safetensors.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

static bool read_optimizer(const char *dir, const vkft_parameter_tensors *tensors, const vkft_optimizer_kind *kind,
                           void *const *state, vkft_err *err)
{
    char *path = vkft_path_join(dir, "optimizer.safetensors");
    vkft_tensor_file file;
    bool ok = path && vkft_safetensors_open(path, &file, err);
    free(path);
    if (!ok)
        return false;
    for (uint32_t i = 0; ok && i < vkft_optimizer_states(kind); i++) {
        uint64_t values = vkft_optimizer_state_values(kind, i, tensors);
        const vkft_file_tensor *t = vkft_tensor_file_find(&file, kind->state[i].name);
        if (t && t->dtype == kind->state[i].dtype && t->elements == values)
            memcpy(state[i], vkft_tensor_file_data(&file, t), vkft_optimizer_state_bytes(kind, i, tensors));
        else
            ok = vkft_fail(err, VKFT_ERR_INPUT,
                           "%s: tensor %s is missing or does not fit this run (%llu %s values expected)", file.path,
                           kind->state[i].name, (unsigned long long)values, vkft_dtype_name(kind->state[i].dtype));
    }
    vkft_tensor_file_close(&file);
    return ok;
}

/* Whether a flag's text says what an earlier version stored as a number or a switch. */
static bool same_typed(const cJSON *stored, const cJSON *text)
{
    if (cJSON_IsBool(stored))
        return strcmp(text->valuestring, cJSON_IsTrue(stored) ? "on" : "off") == 0;
    if (strcmp(stored->string, "--lora-r") == 0)
        return true; /* it was the rank of the adapter, which need not be the flag's: the parameters are compared */
    return strtod(text->valuestring, NULL) == stored->valuedouble;
}

static bool same_value(const cJSON *stored, const cJSON *now)
{
    bool typed = cJSON_IsString(now) && (cJSON_IsNumber(stored) || cJSON_IsBool(stored));
    return typed ? same_typed(stored, now) : cJSON_Compare(stored, now, true);
}

/* "2", or a text as it is; malloc'ed. */
static char *value_text(const cJSON *value)
{
    return cJSON_IsString(value) ? vkft_string_copy(value->valuestring) : cJSON_PrintUnformatted(value);
}

/* Says or refuses a difference; false: refused. */
static bool differs(const char *dir, const vkft_run_reading *r, const cJSON *stored, const cJSON *now, vkft_err *err)
{
    char *was = value_text(stored), *is = value_text(now);
    bool flag = now->string[0] == '-', ok = r->allow_changes;
    if (!was || !is)
        ok = vkft_fail_memory(err, "while reading %s", dir);
    else if (ok)
        vkft_observer_say(r->observer, "changed: %s was %s, is %s", now->string, was, is);
    else
        vkft_fail(err, VKFT_ERR_INPUT,
                  "%s: it is of a run with %s %s, this one has %s; resume with the same %s, with "
                  "--allow-changes, or begin another run in another --output-dir",
                  dir, now->string, was, is, flag ? "value" : "model and data");
    free(was);
    free(is);
    return ok;
}

/* What the version that wrote the checkpoint did not record is not compared. */
bool vkft_run_compare(const char *dir, const cJSON *stored, const vkft_run_reading *r, vkft_err *err)
{
    const cJSON *value;
    cJSON_ArrayForEach(value, r->fingerprint)
    {
        const cJSON *old = vkft_json_member(stored, value->string);
        if (old && !same_value(old, value) && !differs(dir, r, old, value, err))
            return false;
    }
    return true;
}

/* Settings that may differ, and do: the numbers of the steps, or what is kept of them, may follow from them. */
static void say_other_settings(const vkft_run_reading *r, const cJSON *stored)
{
    static const char *const silent[] = {"output-dir",    "overwrite", "resume-from-checkpoint",
                                         "allow-changes", "json",      "dry-run"};
    for (uint32_t i = 0; stored && i < r->settings->count; i++) {
        const vkft_setting *s = &r->settings->list[i];
        const cJSON *old = s->same_run ? NULL : vkft_json_member(stored, s->name);
        bool said = true;
        for (size_t j = 0; j < sizeof silent / sizeof *silent; j++)
            said = said && strcmp(s->name, silent[j]) != 0;
        if (said && cJSON_IsString(old) && strcmp(old->valuestring, s->value) != 0)
            vkft_observer_say(r->observer, "note: --%s was %s, is %s", s->name, old->valuestring, s->value);
    }
}

static cJSON *read_json(const char *dir, const char *name, vkft_err *err)
{
    char *path = vkft_path_join(dir, name);
    cJSON *root = path ? vkft_json_read_object(path, VKFT_STATE_LIMIT, err) : NULL;
    free(path);
    return root;
}

static bool read_state(const char *dir, const vkft_run_reading *r, vkft_run_state *state, bool *other_run,
                       vkft_err *err)
{
    *state = (vkft_run_state){.best_metric = NAN, .best_key = "eval_loss"};
    cJSON *trainer = read_json(dir, "trainer_state.json", err),
          *own = trainer ? read_json(dir, "vkft_state.json", err) : NULL;
    const cJSON *run, *settings = NULL, *history = NULL, *wall_times = NULL;
    bool ok = own && vkft_json_get_object(own, "run", true, &run, dir, err) &&
              vkft_json_get_object(own, "settings", false, &settings, dir, err) &&
              vkft_json_get_u64(own, "best_step", true, &state->best_step, dir, err) &&
              vkft_json_get_u32(own, "bad_evals", true, &state->bad_evals, dir, err) &&
              vkft_json_get_u64(own, "skipped_steps", false, &state->skipped, dir, err) &&
              vkft_json_get_u32(own, "skipped_in_row", false, &state->skipped_in_row, dir, err) &&
              vkft_json_get_bool(own, "evaluation_due", false, &state->evaluation_due, dir, err) &&
              vkft_json_get_u64(trainer, "global_step", true, &state->step, dir, err) &&
              vkft_json_get_u64(trainer, "num_input_tokens_seen", true, &state->tokens, dir, err) &&
              vkft_json_get_double(trainer, "best_metric", false, &state->best_metric, dir, err) &&
              vkft_json_get_array(trainer, "log_history", true, &history, dir, err) &&
              vkft_json_get_array(own, "wall_times", false, &wall_times, dir, err);
    if (ok) {
        state->history = cJSON_Duplicate(history, true);
        state->wall_times = wall_times ? cJSON_Duplicate(wall_times, true) : cJSON_CreateArray();
        const cJSON *key = vkft_json_member(own, "best_key"); /* of earlier versions, none */
        if (cJSON_IsString(key))
            snprintf(state->best_key, sizeof state->best_key, "%s", key->valuestring);
        ok = (state->history && state->wall_times) || vkft_fail_memory(err, "while reading %s", dir);
    }
    if (ok && !vkft_run_compare(dir, run, r, err)) {
        *other_run = true;
        ok = false;
    }
    if (ok)
        say_other_settings(r, settings);
    cJSON_Delete(trainer);
    cJSON_Delete(own);
    return ok;
}

bool vkft_run_checkpoint_read(const char *path, const vkft_run_reading *r, vkft_run_state *state, bool *damaged,
                              vkft_err *err)
{
    bool other_run = false;
    *damaged = false;
    *state = (vkft_run_state){0};
    if (!vkft_directory_exists(path))
        return vkft_fail(err, VKFT_ERR_INPUT, "--resume-from-checkpoint: %s is not a directory", path);
    if (read_state(path, r, state, &other_run, err) &&
        read_optimizer(path, r->tensors, r->optimizer, r->optimizer_state, err))
        return true;
    *damaged = !other_run && err->kind != VKFT_ERR_MEMORY;
    cJSON_Delete(state->history);
    cJSON_Delete(state->wall_times);
    *state = (vkft_run_state){0};
    return false;
}

bool vkft_run_directory_checkpoints(const char *path, uint64_t **numbers, size_t *count, vkft_err *err)
{
    vkft_run_numbers found;
    bool ok = vkft_run_list(path, VKFT_CHECKPOINT, &found, err);
    *numbers = found.list;
    *count = found.count;
    return ok;
}

char *vkft_run_directory_checkpoint(const char *path, uint64_t number, vkft_err *err)
{
    char name[64];
    vkft_run_name(name, VKFT_CHECKPOINT, number, "");
    char *whole = vkft_path_join(path, name);
    if (!whole)
        vkft_fail_memory(err, "while looking for checkpoints in %s", path);
    return whole;
}
