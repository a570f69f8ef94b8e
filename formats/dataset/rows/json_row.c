/* Rows in JSON as Python's json reads them: of a key that stands twice in an object the last value counts, and NaN,
 * Infinity and -Infinity are numbers. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/rows/rows.h"
#include "runtime/base/json.h"

/* The text with null for NaN and numbers out of range for infinities; NULL: it has none, or out of memory. */
static char *rewrite_numbers(const char *text, size_t length, size_t *rewritten)
{
    static const struct {
        const char *from, *to;
    } numbers[] = {{"NaN", "null"}, {"-Infinity", "-1e999"}, {"Infinity", "1e999"}};
    char *out = malloc(length + length / 3 + 1);
    size_t n = 0;
    bool quoted = false, any = false;
    for (size_t i = 0; out && i < length; i++) {
        char c = text[i];
        size_t k = 0;
        while (
            !quoted && k < 3 &&
            !(length - i >= strlen(numbers[k].from) && memcmp(text + i, numbers[k].from, strlen(numbers[k].from)) == 0))
            k++;
        if (!quoted && k < 3) {
            memcpy(out + n, numbers[k].to, strlen(numbers[k].to));
            n += strlen(numbers[k].to);
            i += strlen(numbers[k].from) - 1;
            any = true;
            continue;
        }
        out[n++] = c;
        if (quoted && c == '\\' && i + 1 < length)
            out[n++] = text[++i];
        else if (c == '"')
            quoted = !quoted;
    }
    *rewritten = n;
    if (any)
        return out;
    free(out);
    return NULL;
}

cJSON *vkft_json_row_parse(const char *text, size_t length, const char *path, uint64_t line, vkft_err *err)
{
    cJSON *row = vkft_json_parse_exact(text, length, path, line, err);
    if (!row) {
        size_t size;
        char *numbers = rewrite_numbers(text, length, &size);
        row = numbers ? vkft_json_parse_exact(numbers, size, path, line, NULL) : NULL;
        free(numbers);
    }
    if (row && !vkft_json_keep_last(row)) {
        cJSON_Delete(row);
        vkft_fail_memory(err, "while reading %s", path);
        return NULL;
    }
    return row;
}
