/* See log.h. */
#include "host/plot/log.h"

#include <stdlib.h>
#include <string.h>

#include "host/train/run/run_directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/text.h"

#define MAX_LOG_BYTES ((uint64_t)1 << 30)

static bool out_of_memory(vkft_err *err)
{
    return vkft_fail_memory(err, "while reading a run's log");
}

/* Takes the value over. */
static bool add_row(cJSON *rows, cJSON *row, vkft_err *err)
{
    if (cJSON_AddItemToArray(rows, row))
        return true;
    cJSON_Delete(row);
    return out_of_memory(err);
}

/* trainer_log.jsonl: one object a line. */
static bool read_lines(const char *path, cJSON *rows, vkft_err *err)
{
    char *text;
    size_t size;
    if (!vkft_file_read(path, MAX_LOG_BYTES, &text, &size, err))
        return false;
    bool ok = true;
    uint64_t number = 1;
    const char *line = text, *end;
    for (; ok && (end = memchr(line, '\n', (size_t)(text + size - line))); line = end + 1, number++) {
        if (strspn(line, " \t\r") == (size_t)(end - line))
            continue;
        cJSON *row = vkft_json_parse_line(line, (size_t)(end - line), path, number, err);
        ok = row && (cJSON_IsObject(row) || vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: expected a JSON object",
                                                      path, (unsigned long long)number));
        if (!ok)
            cJSON_Delete(row);
        else
            ok = add_row(rows, row, err);
    }
    free(text);
    return ok;
}

/* trainer_state.json of transformers' Trainer: log_history holds the rows. */
static bool read_state(const char *path, cJSON *rows, vkft_err *err)
{
    cJSON *state = vkft_json_read_object(path, MAX_LOG_BYTES, err), *row;
    const cJSON *history = NULL;
    bool ok = state && vkft_json_get_array(state, "log_history", true, &history, path, err);
    while (ok && (row = cJSON_DetachItemFromArray((cJSON *)history, 0))) {
        if (cJSON_IsObject(row))
            ok = add_row(rows, row, err);
        else
            cJSON_Delete(row);
    }
    cJSON_Delete(state);
    return ok;
}

static bool read_file(const char *path, cJSON *rows, vkft_err *err)
{
    return vkft_string_ends_with(path, ".json") ? read_state(path, rows, err) : read_lines(path, rows, err);
}

/* DIR/NAME where there is such a file; *read: there is. */
static bool try_file(const char *dir, const char *name, cJSON *rows, bool *read, vkft_err *err)
{
    char *path = vkft_path_join(dir, name);
    *read = path && vkft_file_exists(path);
    bool ok = path ? !*read || read_file(path, rows, err) : out_of_memory(err);
    free(path);
    return ok;
}

static bool read_rows(const char *path, const char *checkpoint, cJSON *rows, vkft_err *err)
{
    bool read = false;
    if (!vkft_directory_exists(path))
        return read_file(path, rows, err);
    return try_file(path, "trainer_log.jsonl", rows, &read, err) &&
           (read || try_file(path, "trainer_state.json", rows, &read, err)) &&
           (read || !checkpoint || try_file(checkpoint, "trainer_state.json", rows, &read, err)) &&
           (read ||
            vkft_fail(err, VKFT_ERR_INPUT,
                      "%s: no run was logged here: it has neither trainer_log.jsonl nor trainer_state.json", path));
}

/* Adds the texts of an object in a file, names without "--", where nothing is known yet. Other files say nothing. */
static bool read_texts(const char *dir, const char *name, const char *key, cJSON *to, vkft_err *err)
{
    char *path = vkft_path_join(dir, name);
    bool ok = path != NULL || out_of_memory(err);
    cJSON *root = ok && vkft_file_exists(path) && !to->child ? vkft_json_read_object(path, MAX_LOG_BYTES, NULL) : NULL;
    const cJSON *settings = root ? vkft_json_member(root, key) : NULL, *setting;
    cJSON_ArrayForEach(setting, settings)
    {
        const char *bare = setting->string + (strncmp(setting->string, "--", 2) == 0 ? 2 : 0);
        if (ok && cJSON_IsString(setting) && strcmp(bare, "output-dir") != 0)
            ok = cJSON_AddStringToObject(to, bare, setting->valuestring) || out_of_memory(err);
    }
    cJSON_Delete(root);
    free(path);
    return ok;
}

/* A run writes vkft.json at its end. */
static bool is_finished(const char *dir)
{
    char *path = vkft_path_join(dir, "vkft.json");
    bool finished = path && vkft_file_exists(path);
    free(path);
    return finished;
}

static bool read_one(const char *path, vkft_plot_log *log, vkft_err *err)
{
    char *checkpoint = NULL;
    bool is_directory = vkft_directory_exists(path);
    log->label = vkft_string_copy(path);
    log->rows = cJSON_CreateArray();
    log->settings = cJSON_CreateObject();
    log->summary = cJSON_CreateObject();
    log->samples = cJSON_CreateArray();
    bool sampled, ok = (log->label && log->rows && log->settings && log->summary && log->samples) || out_of_memory(err);
    ok = ok && (!is_directory || vkft_run_directory_newest(path, &checkpoint, err)) &&
         read_rows(path, checkpoint, log->rows, err);
    if (ok && is_directory)
        ok = (!checkpoint || read_texts(checkpoint, "vkft_state.json", "settings", log->settings, err)) &&
             read_texts(path, "vkft.json", "run", log->settings, err) &&
             read_texts(path, "vkft.json", "summary", log->summary, err) &&
             try_file(path, "samples.jsonl", log->samples, &sampled, err);
    log->finished = is_directory && is_finished(path);
    free(checkpoint);
    return ok;
}

/* Its last part where that tells it from the others. */
static const char *short_label(const char *const *paths, size_t count, size_t index)
{
    const char *base = vkft_path_base(paths[index]);
    for (size_t i = 0; i < count; i++)
        if (i != index && strcmp(vkft_path_base(paths[i]), base) == 0)
            return paths[index];
    return *base ? base : paths[index];
}

bool vkft_plot_logs_read(const char *const *paths, size_t count, vkft_plot_log *logs, vkft_err *err)
{
    memset(logs, 0, count * sizeof *logs);
    bool ok = true;
    for (size_t i = 0; ok && i < count; i++) {
        ok = read_one(paths[i], &logs[i], err);
        const char *label = short_label(paths, count, i);
        if (ok)
            memmove(logs[i].label, label, strlen(label) + 1);
    }
    if (!ok)
        vkft_plot_logs_free(logs, count);
    return ok;
}

void vkft_plot_logs_free(vkft_plot_log *logs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(logs[i].label);
        cJSON_Delete(logs[i].rows);
        cJSON_Delete(logs[i].settings);
        cJSON_Delete(logs[i].summary);
        cJSON_Delete(logs[i].samples);
        logs[i] = (vkft_plot_log){0};
    }
}
