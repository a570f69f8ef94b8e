/* Tables from a stranger: the first byte chooses the separator. Records cover the text without a gap, and the fields of
 * a record, written again in quotes, are read back as they were. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/rows/rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(char *text, size_t *length, char c)
{
    text[(*length)++] = c;
}

static void same_when_quoted(char *const *fields, uint32_t count, char separator, size_t record_length)
{
    char *text = malloc(2 * record_length + 3ull * count + 1), **again;
    size_t length = 0;
    uint32_t again_count;
    uint64_t end, lines;
    vkft_err err;
    for (uint32_t i = 0; i < count; i++) {
        if (i)
            add(text, &length, separator);
        add(text, &length, '"');
        for (const char *c = fields[i]; *c; c++) {
            if (*c == '"')
                add(text, &length, '"');
            add(text, &length, *c);
        }
        add(text, &length, '"');
    }
    if (!vkft_csv_record_end(text, length, 0, separator, &end, &lines) || end != length ||
        !vkft_csv_fields(text, length, separator, &again, &again_count, &err) || again_count != count)
        abort();
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(fields[i], again[i]) != 0)
            abort();
    vkft_csv_fields_free(again, again_count);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    char separator = data[0] % 2 ? ',' : '\t', *text = malloc(size - 1);
    uint64_t length = size - 1, end = 0, lines, all_lines = 0;
    vkft_err err;
    memcpy(text, data + 1, size - 1);
    for (uint64_t at = 0; at < length; at = end) {
        char **fields;
        uint32_t count;
        bool closed = vkft_csv_record_end(text, length, at, separator, &end, &lines);
        all_lines += lines;
        if (end <= at || end > length || (!closed && end != length) || all_lines > length)
            abort();
        if (!vkft_csv_fields(text + at, (size_t)(end - at), separator, &fields, &count, &err))
            break;
        if (closed && !memchr(text + at, 0, (size_t)(end - at)))
            same_when_quoted(fields, count, separator, (size_t)(end - at));
        if (at == 0 && vkft_csv_name_columns(fields, count, &err))
            for (uint32_t i = 1; i < count && count < 100; i++)
                for (uint32_t k = 0; k < i; k++)
                    if (strcmp(fields[i], fields[k]) == 0)
                        abort();
        vkft_csv_fields_free(fields, count);
    }
    free(text);
    return 0;
}
