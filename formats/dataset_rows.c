/* Rows of .jsonl, parsed line by line, and of a .json array. */
#include "dataset_rows.h"

#include <stdio.h>
#include <string.h>

#include "json_file.h"

static bool is_blank(const char *line, uint64_t length)
{
    for (uint64_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r')
            return false;
    return true;
}

static uint64_t skip_mark(const char *text, uint64_t length)
{
    return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

bool vkft_rows_of_lines(const char *path, const char *text, uint64_t length, vkft_row_visitor visit, void *context, vkft_err *err)
{
    uint64_t number = 1;
    for (uint64_t at = skip_mark(text, length); at < length; number++) {
        const char *newline = memchr(text + at, '\n', (size_t)(length - at));
        uint64_t size = (newline ? (uint64_t)(newline - text) : length) - at;
        if (!is_blank(text + at, size)) {
            char place[700];
            snprintf(place, sizeof place, "%.600s: line %llu", path, (unsigned long long)number);
            cJSON *row = vkft_json_parse_line(text + at, (size_t)size, path, number, err);
            bool ok = row && visit(context, row, place);
            cJSON_Delete(row);
            if (!ok)
                return false;
        }
        at += size + 1;
    }
    return true;
}

bool vkft_rows_of_array(const char *path, const char *text, uint64_t length, vkft_row_visitor visit, void *context, vkft_err *err)
{
    uint64_t skip = skip_mark(text, length);
    cJSON *root = vkft_json_parse(length ? text + skip : "", (size_t)(length - skip), path, err);
    if (!root)
        return false;
    bool ok = cJSON_IsArray(root) || vkft_fail(err, VKFT_ERR_INPUT, "%s: expected an array of objects; use .jsonl for one object a line", path);
    uint64_t number = 0;
    const cJSON *row;
    if (ok)
        cJSON_ArrayForEach(row, root)
        {
            char place[700];
            snprintf(place, sizeof place, "%.600s: row %llu", path, (unsigned long long)++number);
            if (!(ok = visit(context, row, place)))
                break;
        }
    cJSON_Delete(root);
    return ok;
}
