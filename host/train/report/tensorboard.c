/* A run's event file for TensorBoard, see tensorboard.h. */
#include "host/train/report/tensorboard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "formats/tensorboard/event_file.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

#define SCALARS_MAX 32 /* of a row */

struct vkft_tensorboard {
    vkft_event_file *file;
};

/* The length of what two absolute paths have in common, up to a separator or the end of one. */
static size_t common_length(const char *a, const char *b)
{
    size_t common = 0;
    for (size_t i = 0;; i++) {
        bool a_ends = !a[i] || vkft_os_is_separator(a[i]), b_ends = !b[i] || vkft_os_is_separator(b[i]);
        if (a_ends && b_ends)
            common = i;
        if (!a[i] || !b[i] || a[i] != b[i])
            return common;
    }
}

/* ".vkft-<hash>": of "../" for each directory to leave, and the path from there. */
static bool own_ending(const char *dir, const char *output_dir, char *ending, size_t size, vkft_err *err)
{
    char *from = vkft_os_absolute_path(dir), *to = vkft_os_absolute_path(output_dir);
    bool ok = (from && to) || vkft_fail_errno(err, "cannot find the way from '%s' to '%s'", dir, output_dir);
    vkft_text way = {0};
    size_t common = ok ? common_length(from, to) : 0;
    for (const char *p = ok ? from + common : ""; ok && *p; p++)
        ok = !vkft_os_is_separator(*p) || vkft_text_append(&way, "../", 3, err);
    ok = ok && vkft_text_append(&way, to + common, strlen(to + common), err);
    if (ok)
        snprintf(ending, size, ".vkft-%016llx", (unsigned long long)XXH3_64bits(way.data, way.length));
    vkft_text_free(&way);
    free(from);
    free(to);
    return ok;
}

typedef struct sweep {
    const char *dir, *ending;
    long long newest; /* seconds in the names of the files that were removed */
    vkft_err *err;
} sweep;

static bool remove_own(void *context, const char *name)
{
    sweep *s = context;
    size_t prefix = strlen(VKFT_EVENT_FILE_PREFIX);
    if (strncmp(name, VKFT_EVENT_FILE_PREFIX, prefix) != 0 || !vkft_string_ends_with(name, s->ending))
        return true;
    long long seconds = strtoll(name + prefix, NULL, 10);
    if (seconds > s->newest)
        s->newest = seconds;
    char *path = vkft_path_join(s->dir, name);
    bool ok = path ? vkft_file_remove(path, s->err) : vkft_fail_memory(s->err, "while looking into '%s'", s->dir);
    free(path);
    return ok;
}

/* A new file instead of those that the output directory had. Its name is later than theirs, so that a TensorBoard that
 * runs goes on to it. */
static vkft_event_file *create_file(const char *dir, const char *output_dir, double wall_time, vkft_err *err)
{
    char ending[32], name[96];
    sweep s = {.dir = dir, .ending = ending, .err = err};
    if (!vkft_directory_create(dir, err) || !own_ending(dir, output_dir, ending, sizeof ending, err) ||
        !vkft_directory_list(dir, remove_own, &s, err))
        return NULL;
    long long now = (long long)vkft_os_wall_seconds();
    snprintf(name, sizeof name, VKFT_EVENT_FILE_PREFIX "%010lld%s", now > s.newest ? now : s.newest + 1, ending);
    char *path = vkft_path_join(dir, name);
    vkft_event_file *file = path ? vkft_event_file_create(path, wall_time, err) : NULL;
    if (!path)
        vkft_fail_memory(err, "while writing '%s'", name);
    free(path);
    return file;
}

/* The flags as transformers writes its arguments: JSON. Four spaces before each line make it Markdown's verbatim text.
 */
static bool write_settings(vkft_event_file *file, const vkft_settings *settings, double wall_time, vkft_err *err)
{
    cJSON *root = cJSON_CreateObject();
    for (uint32_t i = 0; i < settings->count; i++)
        cJSON_AddStringToObject(root, settings->list[i].name, settings->list[i].value);
    char *json = cJSON_Print(root);
    cJSON_Delete(root);
    vkft_text text = {0};
    bool ok = json || vkft_fail_memory(err, "for the settings of the run");
    for (const char *line = json; ok && line;) {
        const char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) + 1 : strlen(line);
        ok = vkft_text_append(&text, "    ", 4, err) && vkft_text_append(&text, line, length, err);
        line = end ? end + 1 : NULL;
    }
    ok = ok && vkft_event_file_text(file, (vkft_event_time){wall_time, 0}, "args/text_summary", text.data, err);
    vkft_text_free(&text);
    cJSON_free(json);
    return ok;
}

static double time_of(const cJSON *wall_time, double otherwise)
{
    return cJSON_IsNumber(wall_time) ? wall_time->valuedouble : otherwise;
}

vkft_tensorboard *vkft_tensorboard_open(const char *dir, const char *output_dir, const vkft_settings *settings,
                                        const cJSON *history, const cJSON *wall_times, vkft_err *err)
{
    vkft_tensorboard *board = calloc(1, sizeof *board);
    if (!board) {
        vkft_fail_memory(err, "for TensorBoard's events");
        return NULL;
    }
    double now = vkft_os_wall_seconds();
    const cJSON *time = wall_times ? wall_times->child : NULL, *row;
    double began = time_of(time, now);
    board->file = create_file(dir, output_dir, began, err);
    bool ok = board->file && write_settings(board->file, settings, began, err);
    cJSON_ArrayForEach(row, history)
    {
        ok = ok && vkft_tensorboard_add(board, row, time_of(time, now), err);
        time = time ? time->next : NULL;
    }
    if (ok)
        return board;
    vkft_tensorboard_close(board);
    vkft_fail_context(err, "--logging-dir");
    return NULL;
}

/* A row of an evaluation has its epoch, too; as train/epoch it would stand beside that of the step. */
bool vkft_tensorboard_add(vkft_tensorboard *board, const cJSON *row, double wall_time, vkft_err *err)
{
    if (!cJSON_IsObject(row)) /* of a damaged checkpoint */
        return true;
    vkft_event_scalar scalars[SCALARS_MAX];
    char tags[SCALARS_MAX][64];
    size_t count = 0;
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(row, "step"), *item;
    bool evaluation = cJSON_GetObjectItemCaseSensitive(row, "eval_loss") != NULL;
    cJSON_ArrayForEach(item, row)
    {
        const char *name = item->string;
        bool of_evaluation = strncmp(name, "eval_", 5) == 0;
        if (item == step || evaluation != of_evaluation || count == SCALARS_MAX ||
            !(cJSON_IsNumber(item) || cJSON_IsNull(item)))
            continue;
        snprintf(tags[count], sizeof tags[count], "%s/%s", evaluation ? "eval" : "train", name + (evaluation ? 5 : 0));
        scalars[count] = (vkft_event_scalar){tags[count], cJSON_IsNull(item) ? NAN : (float)item->valuedouble};
        count++;
    }
    bool counts = cJSON_IsNumber(step) && step->valuedouble >= 0 && step->valuedouble < 0x1p63;
    vkft_event_time time = {wall_time, counts ? (uint64_t)step->valuedouble : 0};
    return vkft_event_file_scalars(board->file, time, scalars, count, err);
}

void vkft_tensorboard_close(vkft_tensorboard *board)
{
    if (board)
        vkft_event_file_close(board->file);
    free(board);
}
