/* Comma-separated values after RFC 4180: fields in double quotes may hold separators, line ends and doubled quotes. */
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/rows/rows.h"

bool vkft_csv_record_end(const char *text, uint64_t length, uint64_t at, uint64_t *end, uint64_t *lines)
{
    bool quoted = false;
    *lines = 0;
    for (uint64_t i = at; i < length; i++) {
        if (text[i] == '"')
            quoted = !quoted; /* a doubled quote toggles twice */
        *lines += text[i] == '\n';
        if (text[i] == '\n' && !quoted) {
            *end = i + 1;
            return true;
        }
    }
    *end = length;
    return !quoted;
}

/* The field at *at without its quotes; *at moves past its separator. */
static char *take_field(const char *record, size_t length, char separator, size_t *at)
{
    char *field = malloc(length - *at + 1);
    size_t n = 0, i = *at;
    bool quoted = i < length && record[i] == '"';
    if (!field)
        return NULL;
    if (quoted) {
        for (i++; i < length; i++) {
            if (record[i] == '"' && !(i + 1 < length && record[i + 1] == '"'))
                break;
            i += record[i] == '"';
            field[n++] = record[i];
        }
        i += i < length;
    }
    for (; i < length && record[i] != separator; i++)
        field[n++] = record[i];
    field[n] = 0;
    *at = i + 1;
    return field;
}

bool vkft_csv_fields(const char *record, size_t length, char separator, char ***fields, uint32_t *count, vkft_err *err)
{
    char **list = NULL;
    uint32_t n = 0;
    while (length > 0 && (record[length - 1] == '\n' || record[length - 1] == '\r'))
        length--;
    for (size_t at = 0; at <= length;) { /* a separator at the end is followed by an empty field */
        char *field = take_field(record, length, separator, &at);
        char **grown = field ? realloc(list, (n + 1ull) * sizeof *grown) : NULL;
        if (!grown) {
            free(field);
            vkft_csv_fields_free(list, n);
            return vkft_fail_memory(err, "for a record of %zu bytes", length);
        }
        list = grown;
        list[n++] = field;
    }
    *fields = list;
    *count = n;
    return true;
}

void vkft_csv_fields_free(char **fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(fields[i]);
    free(fields);
}
