/* Comma-separated values after RFC 4180, as pandas reads them: a quote opens a quoted field only as the field's first
 * character; inside, separators and line ends are text and a doubled quote is one. A record ends with \n, \r\n or \r.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/rows/rows.h"

bool vkft_csv_record_end(const char *text, uint64_t length, uint64_t at, char separator, uint64_t *end, uint64_t *lines)
{
    enum { FIELD_START, PLAIN, QUOTED } state = FIELD_START;
    *lines = 0;
    for (uint64_t i = at; i < length; i++) {
        char c = text[i], next = i + 1 < length ? text[i + 1] : 0;
        bool line_end = c == '\n' || (c == '\r' && next != '\n');
        *lines += line_end;
        if (state == QUOTED) {
            if (c == '"' && next == '"')
                i++;
            else if (c == '"')
                state = PLAIN;
        } else if (line_end) {
            *end = i + 1;
            return true;
        } else if (c == separator) {
            state = FIELD_START;
        } else {
            state = c == '"' && state == FIELD_START ? QUOTED : PLAIN;
        }
    }
    *end = length;
    return state != QUOTED;
}

/* Where the quoted field that begins at `at` closes; length where it does not. */
static size_t closing_quote(const char *record, size_t length, size_t at)
{
    for (size_t i = at + 1; i < length; i++) {
        if (record[i] != '"')
            continue;
        if (i + 1 == length || record[i + 1] != '"')
            return i;
        i++; /* doubled */
    }
    return length;
}

/* The field at *at without its quotes; *at moves past its separator. */
static char *take_field(const char *record, size_t length, char separator, size_t *at)
{
    size_t begin = *at, n = 0;
    bool quoted = begin < length && record[begin] == '"';
    size_t close = quoted ? closing_quote(record, length, begin) : begin;
    const char *next = close < length ? memchr(record + close, separator, length - close) : NULL;
    size_t end = next ? (size_t)(next - record) : length;
    char *field = malloc(end - begin + 1);
    if (!field)
        return NULL;
    for (size_t i = begin + quoted; quoted && i < close; i++) {
        field[n++] = record[i];
        i += record[i] == '"'; /* doubled */
    }
    size_t rest = quoted && close < end ? close + 1 : close; /* what follows a closing quote is text as it is */
    memcpy(field + n, record + rest, end - rest);
    n += end - rest;
    field[n] = 0;
    *at = end + 1;
    return field;
}

bool vkft_csv_fields(const char *record, size_t length, char separator, char ***fields, uint32_t *count, vkft_err *err)
{
    char **list = NULL;
    uint32_t n = 0;
    if (length > 0 && record[length - 1] == '\n')
        length--;
    if (length > 0 && record[length - 1] == '\r')
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

/* The place of this name among the first columns; count where there is none. */
static uint32_t find_name(char *const *columns, uint32_t count, const char *name)
{
    uint32_t i = 0;
    while (i < count && strcmp(columns[i], name) != 0)
        i++;
    return i;
}

bool vkft_csv_name_columns(char **columns, uint32_t count, vkft_err *err)
{
    static const uint32_t max_columns = 4096;
    if (count > max_columns)
        return vkft_fail(err, VKFT_ERR_INPUT, "the header has %u columns; expected at most %u", count, max_columns);
    uint32_t *numbers = calloc(count + 1ull, sizeof *numbers); /* given to names that repeat this one */
    bool ok = numbers || vkft_fail_memory(err, "for the names of the columns");
    for (uint32_t i = 1; ok && i < count; i++) {
        uint32_t first = find_name(columns, i, columns[i]);
        if (first == i)
            continue;
        size_t size = strlen(columns[i]) + 12;
        char *name = malloc(size);
        if (!name) {
            ok = vkft_fail_memory(err, "for the names of the columns");
            break;
        }
        do
            snprintf(name, size, "%s.%u", columns[i], ++numbers[first]);
        while (find_name(columns, count, name) < count);
        free(columns[i]);
        columns[i] = name;
    }
    free(numbers);
    return ok;
}
