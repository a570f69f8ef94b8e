/* The output directory of a run: opening, log, best and final result. Checkpoints are in run_checkpoint.c. */
#include "host/train/run_directory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"

#define LOG_NAME "trainer_log.jsonl"

static char *join(const vkft_run_directory *run, const char *name, vkft_err *err)
{
    char *path = vkft_path_join(run->path, name);
    if (!path)
        vkft_fail_memory(err, "while writing %s", name);
    return path;
}

static bool has_file(const vkft_run_directory *run, const char *name)
{
    char *path = vkft_path_join(run->path, name);
    bool found = path && vkft_file_exists(path);
    free(path);
    return found;
}

/* Names that a run makes in its directory, besides the final files. */
static bool is_run_entry(const char *name)
{
    return strncmp(name, "checkpoint-", 11) == 0 || strncmp(name, "best-", 5) == 0;
}

typedef struct sweep {
    const vkft_run_directory *run;
    bool only_temporary;
    vkft_err *err;
} sweep;

static bool sweep_entry(void *context, const char *name)
{
    const sweep *s = context;
    if (!is_run_entry(name) || (s->only_temporary && !strstr(name, ".tmp")))
        return true;
    char *path = join(s->run, name, s->err);
    bool ok = path && vkft_directory_remove(path, s->err);
    free(path);
    return ok;
}

static bool remove_old_run(const vkft_run_directory *run, vkft_err *err)
{
    sweep s = {run, false, err};
    if (!vkft_directory_list(run->path, sweep_entry, &s, err))
        return false;
    static const char *const files[] = {LOG_NAME, "adapter_model.safetensors", "adapter_config.json",
                                        "model.safetensors"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = join(run, files[i], err);
        if (!path)
            return false;
        bool ok = vkft_file_remove(path, err);
        free(path);
        if (!ok)
            return false;
    }
    return true;
}

bool vkft_run_directory_open(vkft_run_directory *run, const char *path, bool resuming, bool overwrite, vkft_err *err)
{
    *run = (vkft_run_directory){.path = path};
    char *newest = NULL;
    if (!vkft_directory_create(path, err) || !vkft_run_directory_newest(path, &newest, err))
        return false;
    bool whole = has_file(run, "model.safetensors") || has_file(run, "model.safetensors.index.json") ||
                 has_file(run, "pytorch_model.bin");
    bool finished = has_file(run, "adapter_model.safetensors") || whole, begun = newest != NULL;
    free(newest);
    if (whole && !has_file(run, LOG_NAME)) /* a model that no run made is never written over */
        return vkft_fail(err, VKFT_ERR_INPUT, "%s holds a model; use another --output-dir", path);
    if (overwrite && !resuming) {
        if (!remove_old_run(run, err))
            return false;
    } else if (finished && !(resuming && begun)) {
        /* A run killed during its final write is resumed from its last checkpoint, like any other killed run. */
        return vkft_fail(err, VKFT_ERR_INPUT, "%s holds a finished run; use --overwrite or another --output-dir", path);
    } else if (begun && !resuming) {
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s holds checkpoints of a run; use --resume-from-checkpoint auto, --overwrite or another "
                         "--output-dir",
                         path);
    }
    sweep s = {run, true, err};
    if (!vkft_directory_list(path, sweep_entry, &s, err))
        return false;
    char *log = join(run, LOG_NAME, err);
    if (!log)
        return false;
    run->log = vkft_os_open_stream(log, resuming);
    bool ok = run->log || vkft_fail_errno(err, "cannot write %s", log);
    free(log);
    return ok;
}

void vkft_run_directory_close(vkft_run_directory *run)
{
    if (run->log)
        fclose(run->log);
    run->log = NULL;
}

bool vkft_run_directory_log(vkft_run_directory *run, cJSON *history, cJSON *row, vkft_err *err)
{
    char *text = row ? cJSON_PrintUnformatted(row) : NULL;
    if (!text || !cJSON_AddItemToArray(history, row)) {
        cJSON_free(text);
        return vkft_fail_memory(err, "while writing the log");
    }
    bool ok = fprintf(run->log, "%s\n", text) >= 0 && fflush(run->log) == 0;
    cJSON_free(text);
    return ok || vkft_fail_errno(err, "cannot write %s/" LOG_NAME, run->path);
}

bool vkft_run_directory_restore_log(vkft_run_directory *run, const cJSON *history, vkft_err *err)
{
    char *path = join(run, LOG_NAME, err);
    if (!path)
        return false;
    fclose(run->log);
    run->log = NULL;
    vkft_writer *writer = vkft_writer_open(path, err);
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

bool vkft_run_directory_write_best(const vkft_run_directory *run, uint64_t step, const vkft_saver *saver, vkft_err *err)
{
    char name[48];
    snprintf(name, sizeof name, "best-%llu", (unsigned long long)step);
    char *final = join(run, name, err);
    snprintf(name, sizeof name, "best-%llu.tmp", (unsigned long long)step);
    char *temporary = join(run, name, err);
    bool ok = final && temporary && vkft_directory_remove(temporary, err) && vkft_directory_create(temporary, err) &&
              saver->write(saver->context, temporary, err) && vkft_directory_remove(final, err) &&
              vkft_directory_rename(temporary, final, err);
    free(final);
    free(temporary);
    return ok;
}

char *vkft_run_directory_best(const vkft_run_directory *run, uint64_t step, vkft_err *err)
{
    char name[48];
    snprintf(name, sizeof name, "best-%llu", (unsigned long long)step);
    return join(run, name, err);
}

static bool write_text(const vkft_run_directory *run, const char *name, const char *text, size_t length, vkft_err *err)
{
    char *path = join(run, name, err);
    bool ok = path && vkft_file_write(path, text, length, err);
    free(path);
    return ok;
}

static bool write_tokenizer(const vkft_run_directory *run, const vkft_model_file *model, vkft_err *err)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length;
        const char *text = vkft_model_file_blob(model, names[i], &length);
        if (text && !write_text(run, names[i], text, length, err))
            return false;
    }
    return true;
}

bool vkft_run_directory_finish(const vkft_run_directory *run, const vkft_saver *saver, const vkft_model_file *model,
                               const char *readme, const cJSON *summary, vkft_err *err)
{
    char *text = cJSON_Print(summary);
    bool ok = text || vkft_fail_memory(err, "while finishing the run");
    ok = ok && write_tokenizer(run, model, err) && write_text(run, "README.md", readme, strlen(readme), err) &&
         write_text(run, "vkft.json", text, strlen(text), err) && saver->write(saver->context, run->path, err);
    cJSON_free(text);
    return ok;
}
