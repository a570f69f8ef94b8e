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
#include "runtime/base/json/builder.h"

#define SCALARS_MAX 32 /* of a row */

struct vkft_tensorboard {
    vkft_event_file *file;
    char *dir, name[96], ending[32]; /* of this run's file; of all files of its output directory */
    bool has_earlier;                /* files of the run that this one may replace */
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

static bool is_own(const vkft_tensorboard *board, const char *name)
{
    return strncmp(name, VKFT_EVENT_FILE_PREFIX, strlen(VKFT_EVENT_FILE_PREFIX)) == 0 &&
           vkft_string_ends_with(name, board->ending);
}

static bool remove_file(const vkft_tensorboard *board, const char *name, vkft_err *err)
{
    char *path = vkft_path_join(board->dir, name);
    bool ok = path ? vkft_file_remove(path, err) : vkft_fail_memory(err, "while looking into '%s'", board->dir);
    free(path);
    return ok;
}

typedef struct search {
    const vkft_tensorboard *board;
    long long newest; /* seconds in the name of an earlier file */
    vkft_err *err;
} search;

static bool find_newest(void *context, const char *name)
{
    search *s = context;
    long long seconds = is_own(s->board, name) ? strtoll(name + strlen(VKFT_EVENT_FILE_PREFIX), NULL, 10) : 0;
    if (seconds > s->newest)
        s->newest = seconds;
    return true;
}

static bool remove_earlier(void *context, const char *name)
{
    const search *s = context;
    return !is_own(s->board, name) || strcmp(name, s->board->name) == 0 || remove_file(s->board, name, s->err);
}

bool vkft_tensorboard_replace(vkft_tensorboard *board, vkft_err *err)
{
    search s = {.board = board, .err = err};
    if (!board || !board->has_earlier)
        return true;
    if (!vkft_directory_list(board->dir, remove_earlier, &s, err))
        return false;
    board->has_earlier = false;
    return true;
}

/* Its name is later than those of earlier files, so that a TensorBoard that runs goes on to it. */
static bool create_file(vkft_tensorboard *board, const char *output_dir, double wall_time, bool keep_earlier,
                        vkft_err *err)
{
    search s = {.board = board};
    if (!vkft_directory_create(board->dir, err) ||
        !own_ending(board->dir, output_dir, board->ending, sizeof board->ending, err) ||
        !vkft_directory_list(board->dir, find_newest, &s, err))
        return false;
    long long now = (long long)vkft_os_wall_seconds();
    snprintf(board->name, sizeof board->name, VKFT_EVENT_FILE_PREFIX "%010lld%s", now > s.newest ? now : s.newest + 1,
             board->ending);
    board->has_earlier = s.newest != 0;
    if (!keep_earlier && !vkft_tensorboard_replace(board, err))
        return false;
    char *path = vkft_path_join(board->dir, board->name);
    board->file = path ? vkft_event_file_create(path, wall_time, err) : NULL;
    bool ok = path || vkft_fail_memory(err, "while writing '%s'", board->name);
    free(path);
    return ok && board->file;
}

/* The flags as transformers writes its arguments: JSON. Four spaces before each line make it Markdown's verbatim text.
 */
static bool write_settings(vkft_event_file *file, const vkft_settings *settings, double wall_time, vkft_err *err)
{
    bool failed = false;
    vkft_json_node root = vkft_json_make_object(&failed);
    for (uint32_t i = 0; i < settings->count; i++)
        vkft_json_put_string(root, settings->list[i].name, settings->list[i].value);
    cJSON *made = vkft_json_made(root);
    char *json = made ? cJSON_Print(made) : NULL;
    cJSON_Delete(made);
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
                                        const cJSON *history, const cJSON *wall_times, bool keep_earlier, vkft_err *err)
{
    vkft_tensorboard *board = calloc(1, sizeof *board);
    if (!board || !(board->dir = vkft_string_copy(dir))) {
        free(board);
        vkft_fail_memory(err, "for TensorBoard's events");
        return NULL;
    }
    double now = vkft_os_wall_seconds();
    const cJSON *time = wall_times ? wall_times->child : NULL, *row;
    double began = time_of(time, now);
    bool ok =
        create_file(board, output_dir, began, keep_earlier, err) && write_settings(board->file, settings, began, err);
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
    if (!board)
        return;
    vkft_event_file_close(board->file);
    if (board->file && board->has_earlier)
        remove_file(board, board->name, NULL);
    free(board->dir);
    free(board);
}
