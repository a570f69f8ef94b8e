/* The files of a finished run. What was trained is whole before anything else is touched; the small files beside it are
 * only put where there is none, or where vkft.json remembers that vkft wrote the one that is there. */
#include "host/train/run/run_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"

#define CONFIG "config.json"
#define FINISHING "while finishing the run"
#define SMALL_FILE_LIMIT (1u << 28)

/* The last one is what makes a run a finished one. */
const char *const vkft_run_result_files[] = {"adapter_config.json", "adapter_model.safetensors", "model.safetensors",
                                             NULL};

static bool is_result_file(const char *name)
{
    for (size_t i = 0; vkft_run_result_files[i]; i++)
        if (strcmp(vkft_run_result_files[i], name) == 0)
            return true;
    return false;
}

bool vkft_run_find(const vkft_run_directory *run, const char *name, bool *found, vkft_err *err)
{
    char *path = vkft_run_path(run, name, err);
    bool ok = path && vkft_file_find(path, found, err);
    free(path);
    return ok;
}

bool vkft_run_find_result(const vkft_run_directory *run, bool *found, vkft_err *err)
{
    *found = false;
    for (size_t i = 1; !*found && vkft_run_result_files[i]; i++) /* a configuration alone is none */
        if (!vkft_run_find(run, vkft_run_result_files[i], found, err))
            return false;
    return true;
}

/* vkft.json of an earlier run; NULL: there is none. */
static cJSON *read_record(const vkft_run_directory *run)
{
    char *path = vkft_path_join(run->path, VKFT_RUN_RECORD);
    cJSON *record = path && vkft_file_exists(path) ? vkft_json_read_object(path, SMALL_FILE_LIMIT, NULL) : NULL;
    free(path);
    const cJSON *program = record ? vkft_json_member(record, "program") : NULL;
    if (record && !(cJSON_IsString(program) && strcmp(program->valuestring, "vkft") == 0)) {
        cJSON_Delete(record);
        record = NULL;
    }
    return record;
}

static void hash_text(const void *data, size_t size, char text[17])
{
    snprintf(text, 17, "%016llx", (unsigned long long)XXH3_64bits(data, size));
}

typedef enum state { ABSENT, SAME, OURS, FOREIGN } state;

/* What lies under the name: nothing, the same text, what vkft wrote, or something else. */
static state state_of(const cJSON *record, const char *path, const char *name, const void *data, size_t size)
{
    vkft_os_info info;
    char *text = NULL, hash[17];
    size_t length;
    if (!vkft_os_stat_entry(path, &info))
        return ABSENT;
    if (!info.is_regular || !vkft_file_read(path, SMALL_FILE_LIMIT, &text, &length, NULL))
        return FOREIGN;
    const cJSON *files = record ? vkft_json_member(record, "files") : NULL;
    const cJSON *known = files ? vkft_json_member(files, name) : NULL;
    hash_text(text, length, hash);
    bool ours = (cJSON_IsString(known) && strcmp(known->valuestring, hash) == 0) ||
                (record && strcmp(name, VKFT_RUN_RECORD) == 0),
         same = length == size && memcmp(text, data, size) == 0;
    free(text);
    return ours ? OURS : same ? SAME : FOREIGN;
}

typedef struct finishing {
    const vkft_run_directory *run;
    const char *temporary; /* where the result was written */
    cJSON *record;         /* of the run before; may be NULL */
    cJSON *files;          /* of this one: name to hash */
    vkft_err *err;
} finishing;

/* A directory of what was written, and what comes before the names there: "", or "folder/". */
typedef struct placing {
    const finishing *f;
    const char *dir, *prefix;
} placing;

/* Remembers a small file as this run's, unless it is somebody else's. Before any of them is written: a run that is
 * killed in between knows its own files when it is resumed. */
static bool list_small(const finishing *f, const char *name, const char *text, size_t size)
{
    char *path = vkft_run_path(f->run, name, f->err), hash[17];
    bool ok = path != NULL;
    state was = ok ? state_of(f->record, path, name, text, size) : FOREIGN;
    hash_text(text, size, hash);
    if (was == ABSENT || was == OURS || (was == FOREIGN && strcmp(name, CONFIG) == 0))
        ok = ok && (cJSON_AddStringToObject(f->files, name, hash) || vkft_fail_memory(f->err, FINISHING));
    free(path);
    return ok;
}

static bool write_small(const finishing *f, const char *name, const char *text, size_t size)
{
    char *path = vkft_run_path(f->run, name, f->err), *folder = path ? vkft_path_parent(path) : NULL;
    if (!folder) {
        free(path);
        return vkft_fail_memory(f->err, FINISHING);
    }
    state was = state_of(f->record, path, name, text, size);
    bool ok = vkft_directory_create(folder, f->err);
    if (was == FOREIGN && strcmp(name, CONFIG) == 0) { /* of a model that has another one */
        ok = ok && vkft_run_set_aside(f->run, name, VKFT_IN_THE_WAY, f->err);
        was = ABSENT;
    }
    if (was == FOREIGN)
        vkft_observer_say(f->run->observer, "%s is kept: it is not as a run of vkft wrote it", path);
    else if (ok && was != SAME)
        ok = vkft_file_write(path, text, size, f->err);
    free(folder);
    free(path);
    return ok;
}

/* A small file that belongs to the result, such as config.json beside a model; or a folder of them. */
static bool place_small(void *context, const char *name)
{
    const placing *p = context;
    const finishing *f = p->f;
    char *path = vkft_path_join(p->dir, name), *text = NULL, whole[256];
    size_t size;
    snprintf(whole, sizeof whole, "%.120s%.120s", p->prefix, name);
    bool ok = path || vkft_fail_memory(f->err, FINISHING);
    if (ok && vkft_directory_exists(path)) {
        char prefix[256];
        snprintf(prefix, sizeof prefix, "%.120s/", name);
        placing below = {f, path, prefix};
        ok = vkft_directory_list(path, place_small, &below, f->err) &&
             (vkft_os_remove_directory(path) || vkft_fail_errno(f->err, "cannot remove %s", path));
    } else if (ok && !is_result_file(name)) {
        ok = vkft_file_read(path, SMALL_FILE_LIMIT, &text, &size, f->err) && list_small(f, whole, text, size) &&
             write_small(f, whole, text, size) && vkft_file_remove(path, f->err);
    }
    free(text);
    free(path);
    return ok;
}

static bool place_result(const finishing *f)
{
    placing all = {f, f->temporary, ""};
    bool ok = vkft_directory_list(f->temporary, place_small, &all, f->err);
    for (size_t i = 0; ok && vkft_run_result_files[i]; i++) {
        const char *name = vkft_run_result_files[i];
        char *from = vkft_path_join(f->temporary, name), *to = vkft_run_path(f->run, name, f->err);
        if (!from)
            vkft_fail_memory(f->err, FINISHING);
        bool found = false;
        ok = from && to && vkft_file_find(from, &found, f->err) && (!found || vkft_directory_rename(from, to, f->err));
        free(from);
        free(to);
    }
    return ok && (vkft_os_remove_directory(f->temporary) || vkft_fail_errno(f->err, "cannot remove %s", f->temporary));
}

typedef bool (*small_file)(const finishing *f, const char *name, const char *text, size_t size);

/* The files beside the result, listed or written. */
static bool small_files(const finishing *f, const vkft_model_file *model, const char *readme, small_file each)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                        "chat_template.jinja"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length;
        const char *text = vkft_model_file_blob(model, names[i], &length);
        if (text && !each(f, names[i], text, length))
            return false;
    }
    return each(f, "README.md", readme, strlen(readme));
}

/* summary takes f->files over. */
static bool write_record(finishing *f, cJSON *summary)
{
    bool ok = cJSON_AddItemToObject(summary, "files", f->files);
    char *text = ok ? cJSON_Print(summary) : NULL;
    f->files = ok ? NULL : f->files;
    ok = text ? write_small(f, VKFT_RUN_RECORD, text, strlen(text)) : vkft_fail_memory(f->err, FINISHING);
    cJSON_free(text);
    return ok;
}

bool vkft_run_directory_finish(vkft_run_directory *run, const vkft_saver *saver, const vkft_model_file *model,
                               const char *readme, cJSON *summary, vkft_err *err)
{
    char *temporary = vkft_run_path(run, VKFT_RESULT_TEMPORARY, err);
    finishing f = {run, temporary, read_record(run), cJSON_CreateObject(), err};
    bool ok = temporary && (f.files || vkft_fail_memory(err, FINISHING)) &&
              vkft_run_set_aside(run, VKFT_RESULT_TEMPORARY, VKFT_IN_THE_WAY, err) &&
              vkft_directory_create(temporary, err) && saver->write(saver->context, temporary, err) && place_result(&f);
    if (ok)
        vkft_run_drop_old(run);
    ok = ok && small_files(&f, model, readme, list_small) && write_record(&f, summary) &&
         small_files(&f, model, readme, write_small) &&
         (vkft_os_sync_stream(run->log) || vkft_fail_errno(err, "cannot write %s/" VKFT_LOG_NAME, run->path));
    free(temporary);
    cJSON_Delete(f.record);
    cJSON_Delete(f.files);
    return ok;
}
