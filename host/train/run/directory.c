/* The output directory of a run: taking it, the log, the best. Checkpoints are in checkpoint.c, the finished run in
 * result.c. */
#include "host/train/run/request.h"
#include "host/train/run/run_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

static bool take(vkft_run_directory *run, vkft_err *err)
{
    long owner;
    char *path = vkft_run_path(run, VKFT_RUN_LOCK, err), who[48] = "";
    if (!path)
        return false;
    run->lock = vkft_os_lock_file(path, &owner);
    bool ok = run->lock >= 0;
    if (!ok && errno == ENOTSUP) { /* some network file systems */
        vkft_observer_say(run->observer, "%s cannot be locked: let no other run write there", run->path);
        ok = true;
    } else if (!ok && errno == EBUSY) {
        if (owner)
            snprintf(who, sizeof who, " (pid %ld)", owner);
        vkft_fail(err, VKFT_ERR_INPUT,
                  "another vkft%s writes to %s; wait until it has ended, or use another --output-dir", who, run->path);
    } else if (!ok) {
        vkft_fail_errno(err, "cannot write %s", path);
    }
    free(path);
    return ok;
}

/* Whether a checkpoint lies in the directory, be it as a link to another place. */
static bool lies_in(const char *checkpoint, const char *dir)
{
    char *copy = vkft_string_copy(checkpoint), *parent = NULL;
    size_t length = copy ? strlen(copy) : 0;
    while (length > 1 && vkft_os_is_separator(copy[length - 1]))
        copy[--length] = 0;
    if (copy)
        parent = vkft_path_parent(copy);
    bool in = parent && vkft_os_is_same(parent, dir);
    free(parent);
    free(copy);
    return in;
}

static bool check_free(const vkft_run_directory *run, bool begun, bool whole_model, vkft_err *err)
{
    const char *path = run->path;
    static const char *const models[] = {"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"};
    bool model = false, finished, ours;
    for (size_t i = 0; !model && i < sizeof models / sizeof *models; i++)
        if (!vkft_run_find(run, models[i], &model, err))
            return false;
    if (!vkft_run_find_result(run, &finished, err) || !vkft_run_find(run, VKFT_LOG_NAME, &ours, err))
        return false;
    finished = finished || model;
    if (finished && !ours) /* never written over */
        return vkft_fail(err, VKFT_ERR_INPUT, "%s holds %s that no run made here; use another --output-dir", path,
                         model ? "a model" : "an adapter");
    bool config;
    if (!vkft_run_find(run, "config.json", &config, err))
        return false;
    if (whole_model && !ours && config)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s holds a config.json that no run wrote; use another --output-dir",
                         path);
    if (run->overwrite)
        return true;
    /* A run killed during its final write is resumed from its last checkpoint, like any other killed run. */
    if (finished && !(run->continues && begun))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s holds a finished run; use --overwrite or another --output-dir", path);
    if (begun && !run->continues)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s holds checkpoints of a run; use --resume-from-checkpoint auto, --overwrite or another "
                         "--output-dir",
                         path);
    return true;
}

bool vkft_run_directory_open(vkft_run_directory *run, const vkft_run_place *place, const vkft_observer *observer,
                             vkft_err *err)
{
    const char *from = place->resume_from;
    *run = (vkft_run_directory){.path = place->path, .observer = observer, .lock = -1};
    vkft_run_numbers checkpoints = {0};
    if (!vkft_directory_create(place->path, err) || !take(run, err) || !vkft_run_recover_old(run, err) ||
        !vkft_run_list(place->path, VKFT_CHECKPOINT, &checkpoints, err))
        return false;
    bool begun = checkpoints.count != 0;
    free(checkpoints.list);
    run->continues = from && (strcmp(from, "auto") == 0 || lies_in(from, place->path));
    run->overwrite = place->overwrite && !run->continues;
    return check_free(run, begun, place->whole_model, err) && (run->lock < 0 || vkft_run_sweep(run, err));
}

/* Makes the log hold exactly this history: on resume, rows of steps after the checkpoint go. */
static bool begin_log(vkft_run_directory *run, const cJSON *history, vkft_err *err)
{
    char *path = vkft_run_path(run, VKFT_LOG_NAME, err);
    vkft_writer *writer = path ? vkft_writer_open(path, err) : NULL;
    bool ok = writer != NULL;
    const cJSON *row;
    cJSON_ArrayForEach(row, history)
    {
        char *text = ok ? cJSON_PrintUnformatted(row) : NULL;
        ok = ok && (text || vkft_fail_memory(err, "while writing the log")) &&
             vkft_writer_append(writer, text, strlen(text), err) && vkft_writer_append(writer, "\n", 1, err);
        cJSON_free(text);
    }
    if (ok)
        ok = vkft_writer_commit(writer, err);
    else
        vkft_writer_abandon(writer);
    if (ok) {
        run->log = vkft_os_open_stream(path, true);
        ok = run->log || vkft_fail_errno(err, "cannot write %s", path);
    }
    free(path);
    return ok;
}

/* The checkpoints after this step, and the best ones that they name. */
static bool give_up_future(const vkft_run_directory *run, uint64_t step, vkft_err *err)
{
    static const char *const prefixes[] = {VKFT_CHECKPOINT, VKFT_BEST};
    static const char why[] = "it is of steps that this run takes again";
    bool later = true; /* checkpoints first: without a later one no best is given up */
    for (int i = 0; i < 2 && later; i++) {
        vkft_run_numbers numbers;
        bool ok = vkft_run_list(run->path, prefixes[i], &numbers, err);
        later = numbers.count && numbers.list[0] > step;
        for (size_t j = 0; ok && j < numbers.count && numbers.list[j] > step; j++) {
            char name[64];
            vkft_run_name(name, prefixes[i], numbers.list[j], "");
            ok = vkft_run_set_aside(run, name, why, err);
        }
        free(numbers.list);
        if (!ok)
            return false;
    }
    return true;
}

bool vkft_run_directory_begin(vkft_run_directory *run, uint64_t step, const cJSON *history, vkft_err *err)
{
    bool ok = run->overwrite ? vkft_run_put_away(run, err) : give_up_future(run, step, err);
    vkft_run_request_write(run->path, VKFT_REQUEST_NONE, NULL); /* what was asked of an earlier run */
    return ok && begin_log(run, history, err);
}

void vkft_run_directory_close(vkft_run_directory *run)
{
    if (run->log)
        fclose(run->log);
    run->log = NULL;
    if (run->old_run)
        vkft_run_put_back(run);
    if (run->path && run->lock >= 0)
        vkft_run_request_write(run->path, VKFT_REQUEST_NONE, NULL);
    char *path = run->path && run->lock >= 0 ? vkft_path_join(run->path, VKFT_RUN_LOCK) : NULL;
    if (path)
        vkft_os_unlock_file(run->lock, path);
    free(path);
    run->lock = -1;
}

bool vkft_run_directory_log(vkft_run_directory *run, cJSON *history, cJSON *row, vkft_err *err)
{
    char *text = row ? cJSON_PrintUnformatted(row) : NULL;
    if (!text || !cJSON_AddItemToArray(history, row)) {
        cJSON_free(text);
        cJSON_Delete(row);
        return vkft_fail_memory(err, "while writing the log");
    }
    bool ok = fprintf(run->log, "%s\n", text) >= 0 && fflush(run->log) == 0;
    cJSON_free(text);
    return ok || vkft_fail_errno(err, "cannot write %s/" VKFT_LOG_NAME, run->path);
}

bool vkft_run_directory_write_best(const vkft_run_directory *run, uint64_t step, const vkft_saver *saver, vkft_err *err)
{
    char name[64], foreign[128];
    vkft_run_name(name, VKFT_BEST, step, "");
    char *final = vkft_run_path(run, name, err);
    vkft_run_name(name, VKFT_BEST, step, ".tmp");
    char *temporary = vkft_run_path(run, name, err);
    bool ok =
        final && temporary && vkft_directory_create(temporary, err) && saver->write(saver->context, temporary, err);
    if (ok && vkft_run_is_own_directory(final, foreign)) /* of this step, before the run was resumed */
        ok = vkft_directory_remove(final, err);
    else if (ok)
        ok = vkft_run_set_aside(run, vkft_path_base(final), VKFT_IN_THE_WAY, err);
    ok = ok && vkft_directory_rename(temporary, final, err);
    if (ok)
        vkft_run_prune_best(run, step);
    if (!ok && temporary && vkft_run_is_own_directory(temporary, foreign))
        vkft_directory_remove(temporary, NULL);
    free(final);
    free(temporary);
    return ok;
}

char *vkft_run_directory_best(const vkft_run_directory *run, uint64_t step, vkft_err *err)
{
    char name[64];
    vkft_run_name(name, VKFT_BEST, step, "");
    return vkft_run_path(run, name, err);
}
