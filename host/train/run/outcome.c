/* What a finished run left of its numbers. See run_directory.h. */
#include "host/train/run/run_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"

/* The object that a text holds before `end`, from the beginning of its line; moves *end there. */
static cJSON *line_before(const char *text, size_t *end)
{
    size_t begin = *end;
    while (begin > 0 && text[begin - 1] != '\n')
        begin--;
    cJSON *row = cJSON_ParseWithLength(text + begin, *end - begin);
    *end = begin ? begin - 1 : 0;
    return row;
}

/* The last loss of training in the log; NaN: none. */
static bool read_loss(const char *path, double *loss, vkft_err *err)
{
    char *log = vkft_path_join(path, VKFT_LOG_NAME), *text = NULL;
    size_t size;
    *loss = NAN;
    bool ok = log ? vkft_file_read(log, VKFT_STATE_LIMIT, &text, &size, err)
                  : vkft_fail_memory(err, "while reading the log of %s", path);
    while (ok && isnan(*loss) && size) {
        cJSON *row = line_before(text, &size);
        const cJSON *value = row ? vkft_json_member(row, "loss") : NULL;
        *loss = cJSON_IsNumber(value) ? value->valuedouble : NAN;
        cJSON_Delete(row);
    }
    free(text);
    free(log);
    return ok;
}

static bool take(const cJSON *record, const char *file, const char *best_key, vkft_run_outcome *outcome, vkft_err *err)
{
    char key[VKFT_BEST_KEY + 8];
    snprintf(key, sizeof key, "best_%s", best_key);
    outcome->stopped_early = vkft_json_member(record, "stopped_early") != NULL;
    return vkft_json_get_u64(record, "steps", true, &outcome->steps, file, err) &&
           vkft_json_get_double(record, key, false, &outcome->best, file, err) &&
           vkft_json_get_u64(record, "best_step", false, &outcome->best_step, file, err);
}

bool vkft_run_outcome_read(const char *path, const char *best_key, vkft_run_outcome *outcome, cJSON **run,
                           vkft_err *err)
{
    const cJSON *written = NULL;
    *outcome = (vkft_run_outcome){.best = NAN, .loss = NAN};
    *run = NULL;
    char *file = vkft_path_join(path, VKFT_RUN_RECORD);
    bool found = false, ok = file ? vkft_file_find(file, &found, err) : vkft_fail_memory(err, "while reading %s", path);
    cJSON *record = ok && found ? vkft_json_read_object(file, VKFT_STATE_LIMIT, err) : NULL;
    if (ok && found)
        ok = record && take(record, file, best_key, outcome, err) &&
             vkft_json_get_object(record, "run", true, &written, file, err) && read_loss(path, &outcome->loss, err) &&
             ((*run = cJSON_Duplicate(written, true)) || vkft_fail_memory(err, "while reading %s", file));
    cJSON_Delete(record);
    free(file);
    return ok;
}
