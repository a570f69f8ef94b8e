/* samples.jsonl in the output directory: see evaluation/samples.h for its rows. */
#include "host/train/run/run_private.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

#define SAMPLES_LIMIT (1u << 30)

/* Whether a line is a whole row of a step up to this one. */
static bool is_of(const char *line, size_t length, uint64_t step)
{
    cJSON *row = vkft_json_parse(line, length, VKFT_SAMPLES_NAME, NULL);
    const cJSON *number = row ? vkft_json_member(row, "step") : NULL;
    bool keep = cJSON_IsNumber(number) && number->valuedouble <= (double)step;
    cJSON_Delete(row);
    return keep;
}

bool vkft_run_samples_begin(const vkft_run_directory *run, uint64_t step, vkft_err *err)
{
    char *path = vkft_run_path(run, VKFT_SAMPLES_NAME, err), *text = NULL;
    size_t size;
    bool found = false, ok = path && vkft_file_find(path, &found, err);
    vkft_text kept = {0};
    ok = ok && (!found || vkft_file_read(path, SAMPLES_LIMIT, &text, &size, err));
    for (const char *line = text, *end; ok && line && (end = strchr(line, '\n')); line = end + 1)
        if (is_of(line, (size_t)(end - line), step))
            ok = vkft_text_append(&kept, line, (size_t)(end - line) + 1, err);
    if (ok && found)
        ok = kept.length ? vkft_file_write(path, kept.data, kept.length, err) : vkft_file_remove(path, err);
    vkft_text_free(&kept);
    free(text);
    free(path);
    return ok;
}

bool vkft_run_samples_add(const vkft_run_directory *run, const cJSON *rows, vkft_err *err)
{
    char *path = vkft_run_path(run, VKFT_SAMPLES_NAME, err);
    FILE *file = path ? vkft_os_open_stream(path, true) : NULL;
    bool ok = path && (file || vkft_fail_errno(err, "cannot write %s", path));
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        char *text = ok ? cJSON_PrintUnformatted(row) : NULL;
        ok = ok && (text || vkft_fail_memory(err, "while writing " VKFT_SAMPLES_NAME)) &&
             (fprintf(file, "%s\n", text) >= 0 || vkft_fail_errno(err, "cannot write %s", path));
        cJSON_free(text);
    }
    if (file && fclose(file) != 0 && ok)
        ok = vkft_fail_errno(err, "cannot write %s", path);
    free(path);
    return ok;
}
