/* Small files and identity of a checkpoint directory. */
#include "formats/convert/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/convert/prequantized.h"
#include "formats/convert/recognize.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

#define MAX_BLOB_BYTES 268435456

static const char *const blob_names[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/tool_use.jinja",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
};
#define BLOB_NAMES (sizeof blob_names / sizeof *blob_names)
_Static_assert(BLOB_NAMES <= VKFT_MAX_BLOBS, "room for every small file");

bool vkft_source_is_small_file(const char *name)
{
    for (size_t i = 0; i < BLOB_NAMES; i++)
        if (strcmp(blob_names[i], name) == 0)
            return true;
    return false;
}

static bool read_blob(vkft_source *source, const char *name, vkft_err *err)
{
    char *path = vkft_path_join(source->dir, name), *data = NULL;
    size_t size = 0;
    if (!path)
        return vkft_fail_memory(err, "while reading '%s'", source->dir);
    bool required = strcmp(name, "config.json") == 0;
    bool found = required, ok = required || vkft_file_find(path, &found, err);
    if (ok && found) {
        ok = vkft_file_read(path, MAX_BLOB_BYTES, &data, &size, err);
        if (ok) { /* the list owns it from here, also when the check below fails */
            source->blobs[source->blob_count++] = (vkft_model_blob_spec){.name = name, .data = data, .size = size};
            ok = vkft_check_disguise(path, (const uint8_t *)data, size, err);
        }
    }
    free(path);
    return ok;
}

static bool check_quantization(const char *dir, const char *path, const char *text, size_t length, vkft_err *err)
{
    cJSON *root = vkft_json_parse_config(text, length, path, err);
    if (!root)
        return false;
    const cJSON *quantization = vkft_json_member(root, "quantization_config");
    bool ok = vkft_model_check_mlx(root, path, err) && vkft_prequantized_check(dir, quantization, path, err);
    cJSON_Delete(root);
    return ok;
}

static bool read_config(vkft_source *source, vkft_err *err)
{
    char *path = vkft_path_join(source->dir, "config.json");
    const vkft_model_blob_spec *blob = &source->blobs[0]; /* read first and required */
    bool ok = path ? vkft_config_parse(blob->data, blob->size, path, &source->config, err)
                   : vkft_fail_memory(err, "while reading '%s'", source->dir);
    ok = ok && check_quantization(source->dir, path, blob->data, blob->size, err);
    free(path);
    return ok;
}

/* A directory without config.json is no checkpoint; its other files may say what it is. */
static bool check_config(const char *dir, vkft_err *err)
{
    bool found = false;
    char *path = vkft_path_join(dir, "config.json");
    bool ok = path ? vkft_file_find(path, &found, err) : vkft_fail_memory(err, "while reading '%s'", dir);
    free(path);
    return ok && (found || vkft_model_fail_directory(dir, "config.json", err));
}

bool vkft_source_open(const char *dir, vkft_source *source, vkft_err *err)
{
    *source = (vkft_source){0};
    bool found;
    if (!vkft_directory_find(dir, &found, err))
        return false;
    if (!found)
        return vkft_fail(err, VKFT_ERR_IO, "'%s' is not a directory; expected a Hugging Face checkpoint directory",
                         dir);
    if (!check_config(dir, err))
        return false;
    source->path = vkft_string_copy(dir);
    source->dir = vkft_string_copy(dir);
    bool ok = (source->path && source->dir) || vkft_fail_memory(err, "while reading '%s'", dir);
    for (size_t i = 0; ok && i < BLOB_NAMES; i++)
        ok = read_blob(source, blob_names[i], err);
    ok = ok && read_config(source, err);
    if (!ok)
        vkft_source_close(source);
    return ok;
}

void vkft_source_close(vkft_source *source)
{
    for (uint32_t i = 0; i < source->blob_count; i++)
        free((char *)(uintptr_t)source->blobs[i].data);
    free(source->path);
    free(source->dir);
    free(source->name);
    cJSON_free(source->info);
    *source = (vkft_source){0};
}

/* ".../models--org--name/snapshots/<revision>" of the hub's cache -> "org/name", else NULL. Works on a copy of the
 * path. */
static char *hub_name(const char *path)
{
    const char *start = NULL;
    for (const char *p = path; (p = strstr(p, "models--")); p++)
        start = p;
    const char *end = start ? strpbrk(start, "/\\") : NULL;
    if (!end || strncmp(end + 1, "snapshots", 9) != 0)
        return NULL;
    start += strlen("models--");
    char *name = malloc((size_t)(end - start) + 1);
    if (!name)
        return NULL;
    size_t n = 0;
    for (const char *p = start; p < end; p++) {
        bool separator = p[0] == '-' && p[1] == '-' && p + 1 < end;
        name[n++] = separator ? '/' : *p;
        p += separator;
    }
    name[n] = 0;
    return name;
}

/* What tells a file from another one, by names and as texts: these numbers do not fit the exact range of JSON's. Size
 * and time can be the same for other weights (rsync -t, touch -r, archives); the file's number and the time of its last
 * change cannot. */
typedef struct identity {
    const char *key;
    char text[24];
} identity;
#define IDENTITIES 4

static bool identify(const char *dir, const char *name, identity parts[IDENTITIES])
{
    vkft_os_info info;
    char *path = vkft_path_join(dir, name);
    bool ok = path && vkft_os_stat(path, &info);
    free(path);
    if (!ok)
        return false;
    const struct {
        const char *key;
        int64_t value;
    } values[IDENTITIES] = {{"size", (int64_t)info.size},
                            {"modified_ns", info.modified_ns},
                            {"changed_ns", info.changed_ns},
                            {"number", (int64_t)info.number}};
    for (size_t i = 0; i < IDENTITIES; i++) {
        parts[i].key = values[i].key;
        snprintf(parts[i].text, sizeof parts[i].text, "%" PRId64, values[i].value);
    }
    return true;
}

static bool add_file(cJSON *list, const char *dir, const char *name)
{
    identity parts[IDENTITIES];
    cJSON *object = identify(dir, name, parts) ? cJSON_CreateObject() : NULL;
    if (!object || !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        return false;
    }
    bool ok = cJSON_AddStringToObject(object, "name", name) != NULL;
    for (size_t i = 0; ok && i < IDENTITIES; i++)
        ok = cJSON_AddStringToObject(object, parts[i].key, parts[i].text) != NULL;
    return ok;
}

bool vkft_source_describe(vkft_source *source, const vkft_hf_checkpoint *checkpoint, const cJSON *notes, vkft_err *err)
{
    char *absolute = vkft_os_absolute_path(source->path);
    source->name = hub_name(absolute ? absolute : source->path);
    if (source->name) {
        free(absolute);
    } else {
        source->name = absolute;
    }
    cJSON *root = cJSON_CreateObject();
    cJSON *files = cJSON_AddArrayToObject(root, "source_files");
    bool ok = source->name && files;
    for (uint32_t i = 0; ok && !source->files_are_made && i < source->blob_count; i++)
        ok = add_file(files, source->dir, source->blobs[i].name);
    if (checkpoint->index)
        ok = ok && add_file(files, source->dir, checkpoint->index);
    for (uint32_t i = 0; ok && i < checkpoint->shard_count; i++)
        ok = add_file(files, source->dir, checkpoint->shard_names[i]);
    ok = ok && cJSON_AddItemToObject(root, "notes", cJSON_Duplicate(notes, true));
    source->info = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return source->info ||
           vkft_fail(err, VKFT_ERR_IO, "cannot describe the files of '%s'; did they change just now?", source->dir);
}

static bool file_unchanged(const char *dir, const cJSON *record)
{
    identity parts[IDENTITIES];
    const char *name = cJSON_GetStringValue(vkft_json_member(record, "name"));
    bool same = name && identify(dir, name, parts);
    for (size_t i = 0; same && i < IDENTITIES; i++) {
        const char *recorded = cJSON_GetStringValue(vkft_json_member(record, parts[i].key));
        same = recorded && strcmp(recorded, parts[i].text) == 0;
    }
    return same;
}

static bool is_recorded(const cJSON *files, const char *name)
{
    for (const cJSON *record = files->child; record; record = record->next) {
        const cJSON *recorded = vkft_json_member(record, "name");
        if (cJSON_IsString(recorded) && strcmp(recorded->valuestring, name) == 0)
            return true;
    }
    return false;
}

bool vkft_source_unchanged(const char *path, const char *info)
{
    bool is_file = !vkft_directory_exists(path);
    char *dir = is_file ? vkft_path_parent(path) : vkft_string_copy(path);
    cJSON *root = vkft_json_parse(info, strlen(info), "info", NULL);
    const cJSON *files = root ? cJSON_GetObjectItemCaseSensitive(root, "source_files") : NULL;
    bool ok = dir && cJSON_IsArray(files) && cJSON_IsArray(vkft_json_member(root, "notes"));
    for (const cJSON *record = ok ? files->child : NULL; ok && record; record = record->next)
        ok = file_unchanged(dir, record);
    for (size_t i = 0; ok && !is_file && i < BLOB_NAMES;
         i++) { /* a tokenizer that was added later belongs into the model */
        char *blob = vkft_path_join(dir, blob_names[i]);
        ok = blob && (!vkft_file_exists(blob) || is_recorded(files, blob_names[i]));
        free(blob);
    }
    cJSON_Delete(root);
    free(dir);
    return ok;
}

void vkft_source_notes(const char *info, void (*say)(void *context, const char *line), void *context)
{
    cJSON *root = vkft_json_parse(info, strlen(info), "info", NULL);
    const cJSON *notes = root ? cJSON_GetObjectItemCaseSensitive(root, "notes") : NULL;
    for (const cJSON *line = cJSON_IsArray(notes) ? notes->child : NULL; line; line = line->next)
        if (cJSON_IsString(line))
            say(context, line->valuestring);
    cJSON_Delete(root);
}
