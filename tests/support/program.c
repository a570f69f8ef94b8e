/* What tests do with files, and runs of the program with their output. */
#include "tests/support/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "tests/support/system/system.h"

char *vkft_test_read(const char *path, size_t *size)
{
    char *data;
    size_t length;
    vkft_err err;
    if (!vkft_file_read(path, 1u << 30, &data, &length, &err))
        fail_msg("%s", err.message);
    if (size)
        *size = length;
    return data;
}

void vkft_test_same_file(const char *dir, const char *a, const char *b, const char *name)
{
    const char *const which[] = {a, b};
    char paths[2][700], *data[2];
    size_t sizes[2];
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s%s%s", dir, which[i], name ? "/" : "", name ? name : "");
        data[i] = vkft_test_read(paths[i], &sizes[i]);
    }
    if (!sizes[0] || sizes[0] != sizes[1] || memcmp(data[0], data[1], sizes[0]) != 0)
        fail_msg("%s and %s are empty or differ", paths[0], paths[1]);
    free(data[0]);
    free(data[1]);
}

/* A foreign program's lines end as those of its system. */
static void make_lines_ours(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++)
        if (from[0] != '\r' || from[1] != '\n')
            *to++ = *from;
    *to = '\0';
}

static vkft_test_result run(const char *arguments)
{
    if (!getenv("HF_ENDPOINT")) /* no test asks the hub itself */
        vkft_test_environment("HF_HUB_OFFLINE", "1");
    char *dir = vkft_test_directory(), *out = vkft_path_join(dir, "out"), *err = vkft_path_join(dir, "err");
    vkft_test_result result = {.exit_code = vkft_test_run(arguments, out, err)};
    result.out = vkft_test_read(out, NULL);
    result.err = vkft_test_read(err, NULL);
    if (vkft_test_program_is_foreign())
        make_lines_ours(result.err);
    free(out);
    free(err);
    vkft_test_remove_directory(dir);
    return result;
}

vkft_test_result vkft_test_program(const char *format, ...)
{
    char arguments[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    return run(arguments);
}

void vkft_test_result_free(vkft_test_result *result)
{
    free(result->out);
    free(result->err);
    *result = (vkft_test_result){0};
}

void vkft_test_program_ok(const char *format, ...)
{
    char arguments[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    vkft_test_result result = run(arguments);
    if (result.exit_code != 0)
        fail_msg("exit code %d\n%s", result.exit_code, result.err);
    vkft_test_result_free(&result);
}

char *vkft_test_directory(void)
{
    static uint32_t count;
    const char *base = getenv("TMPDIR");
    char path[512];
    vkft_err err;
    snprintf(path, sizeof path, "%s/vkft-test-%ld-%.0f-%u", base ? base : "/tmp", vkft_os_process_id(),
             vkft_os_seconds() * 1e6, count++);
    if (!vkft_directory_create(path, &err))
        fail_msg("%s", err.message);
    return strdup(path);
}

void vkft_test_remove_directory(char *path)
{
    vkft_directory_remove(path, NULL);
    free(path);
}

static char *group_folder; /* one group runs at a time */

int vkft_test_folder_set_up(void **state)
{
    (void)state;
    group_folder = vkft_test_directory();
    return 0;
}

int vkft_test_folder_tear_down(void **state)
{
    (void)state;
    vkft_test_remove_directory(group_folder);
    group_folder = NULL;
    return 0;
}

const char *vkft_test_folder(void)
{
    return group_folder;
}

const char *vkft_test_in(const char *name)
{
    static char paths[4][1024];
    static uint32_t next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", group_folder, name);
    return path;
}

void vkft_test_copy(const char *from, const char *to)
{
    vkft_test_copy_part(from, to, SIZE_MAX);
}

void vkft_test_copy_part(const char *from, const char *to, size_t max_bytes)
{
    vkft_err err = {0};
    size_t size;
    char *data = vkft_test_read(from, &size), *folder = strdup(to);
    *strrchr(folder, '/') = 0;
    if (!vkft_directory_create(folder, &err) || !vkft_file_write(to, data, size < max_bytes ? size : max_bytes, &err))
        fail_msg("%s", err.message);
    free(folder);
    free(data);
}

cJSON *vkft_test_read_json(const char *path)
{
    vkft_err err = {0};
    size_t size;
    char *text = vkft_test_read(path, &size);
    cJSON *json = vkft_json_parse(text, size, path, &err);
    if (!json)
        fail_msg("%s", err.message);
    free(text);
    return json;
}

cJSON *vkft_test_read_jsonl(const char *path)
{
    char *text = vkft_test_read(path, NULL), *rest = NULL;
    cJSON *rows = cJSON_CreateArray();
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        cJSON *row = cJSON_Parse(line);
        if (!row)
            fail_msg("%s: not JSON: %.200s", path, line);
        cJSON_AddItemToArray(rows, row);
    }
    free(text);
    return rows;
}

char *vkft_test_swap_environment(const char *name, const char *value)
{
    char *before = getenv(name);
    before = before ? strdup(before) : NULL;
    vkft_test_environment(name, value);
    return before;
}

const char *vkft_test_shared_data(void)
{
    const char *named = getenv("VKFT_SHARED_DATA");
    const char *path = named ? named : VKFT_PROJECT_DIR "/../shared/data";
    if (vkft_directory_exists(path))
        return path;
    print_message("skipped: %s is absent (set VKFT_SHARED_DATA)\n", path);
    return NULL;
}
