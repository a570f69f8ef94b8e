/* Finding and parsing the rows of data files. */
#include "formats/dataset/rows/rows.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"
#include "runtime/base/text.h"

static void skip_spaces(vkft_row_reader *r)
{
    for (; r->at < r->length && vkft_is_space(r->text[r->at]); r->at++)
        r->line += r->text[r->at] == '\n';
}

static bool fail_at(const vkft_row_reader *r, vkft_err *err, const char *what)
{
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: %s", r->path, (unsigned long long)r->line, what);
}

/* Moves past the JSON value that begins here, by its quotes and brackets alone; its inside is checked when it is
 * parsed. */
static bool skip_value(vkft_row_reader *r, vkft_err *err)
{
    uint64_t depth = 0, first_line = r->line;
    bool quoted = false;
    for (; r->at < r->length; r->at++) {
        char c = r->text[r->at];
        r->line += c == '\n';
        if (quoted) {
            if (c == '\\' && r->at + 1 < r->length)
                r->at++;
            quoted = c != '"';
            if (!quoted && depth == 0)
                return r->at++, true;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0)
                return true; /* a bare value before its container's end */
            if (--depth == 0)
                return r->at++, true;
        } else if (depth == 0 && (c == ',' || vkft_is_space(c) || c == ':')) {
            return true;
        }
    }
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: the value that begins in line %llu is not closed; the file is cut off",
                     r->path, (unsigned long long)first_line);
}

/* Moves into the array that is the member "data" of the object that begins here. */
static bool enter_data(vkft_row_reader *r, vkft_err *err)
{
    static const char expected[] =
        "expected an array of objects, or an object whose \"data\" is one; use .jsonl for one object a line";
    r->at++;
    for (;;) {
        skip_spaces(r);
        uint64_t key = r->at;
        if (r->at >= r->length || r->text[r->at] != '"')
            return fail_at(r, err, expected);
        if (!skip_value(r, err))
            return false;
        bool data = r->at - key == 6 && memcmp(r->text + key, "\"data\"", 6) == 0;
        skip_spaces(r);
        if (r->at >= r->length || r->text[r->at] != ':')
            return fail_at(r, err, "expected ':' after the key");
        r->at++;
        skip_spaces(r);
        if (data && r->at < r->length && r->text[r->at] == '[')
            return true;
        if (!skip_value(r, err))
            return false;
        skip_spaces(r);
        if (r->at >= r->length || r->text[r->at] != ',')
            return fail_at(r, err, expected);
        r->at++;
    }
}

static bool open_array(vkft_row_reader *r, vkft_err *err)
{
    skip_spaces(r);
    if (r->at >= r->length)
        return true;
    if (r->text[r->at] == '{' && !enter_data(r, err))
        return false;
    if (r->text[r->at] != '[')
        return fail_at(
            r, err,
            "expected an array of objects, or an object whose \"data\" is one; use .jsonl for one object a line");
    r->at++;
    return true;
}

static bool open_csv(vkft_row_reader *r, vkft_err *err)
{
    uint64_t end, lines;
    if (!vkft_csv_record_end(r->text, r->length, r->at, &end, &lines))
        return fail_at(r, err, "a quote is not closed in the header");
    if (!vkft_csv_fields(r->text + r->at, (size_t)(end - r->at), r->separator, &r->columns, &r->column_count, err))
        return false;
    r->at = end;
    r->line += lines;
    return true;
}

bool vkft_row_reader_open(vkft_row_reader *reader, const char *path, const char *text, uint64_t length,
                          const char *partner, uint64_t partner_length, vkft_err *err)
{
    *reader = (vkft_row_reader){
        .path = path, .text = text, .length = length, .partner = partner, .partner_length = partner_length, .line = 1};
    if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        reader->at = 3;
    if (partner) {
        reader->kind = VKFT_ROWS_PAIRS;
        return true;
    }
    if (vkft_string_ends_with(path, ".jsonl")) {
        reader->kind = VKFT_ROWS_LINES;
        return true;
    }
    if (vkft_string_ends_with(path, ".json")) {
        reader->kind = VKFT_ROWS_ARRAY;
        return open_array(reader, err);
    }
    if (vkft_string_ends_with(path, ".csv") || vkft_string_ends_with(path, ".tsv")) {
        reader->kind = VKFT_ROWS_CSV;
        reader->separator = vkft_string_ends_with(path, ".tsv") ? '\t' : ',';
        return open_csv(reader, err);
    }
    reader->kind = VKFT_ROWS_CORPUS;
    return vkft_string_ends_with(path, ".txt") ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: this kind of file is not supported; expected .jsonl, .json, .csv, .tsv or .txt", path);
}

void vkft_row_reader_close(vkft_row_reader *reader)
{
    vkft_csv_fields_free(reader->columns, reader->column_count);
    memset(reader, 0, sizeof *reader);
}

/* The line at *at without its end; *at moves past it. */
static size_t take_line(const char *text, uint64_t length, uint64_t *at)
{
    const char *begin = text + *at, *newline = memchr(begin, '\n', (size_t)(length - *at));
    size_t size = newline ? (size_t)(newline - begin) : (size_t)(length - *at);
    *at += size + 1;
    return size > 0 && begin[size - 1] == '\r' ? size - 1 : size;
}

static bool is_blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!vkft_is_space(line[i]))
            return false;
    return true;
}

static void next_line(vkft_row_reader *r, vkft_row_slice *slice, bool *found)
{
    for (*found = false; !*found && r->at < r->length; r->line++) {
        *slice = (vkft_row_slice){.text = r->text + r->at, .line = r->line};
        slice->length = take_line(r->text, r->length, &r->at);
        *found = !is_blank(slice->text, slice->length);
    }
}

static bool next_element(vkft_row_reader *r, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    *found = false;
    skip_spaces(r);
    if (r->at >= r->length)
        return r->length == 0 || is_blank(r->text, (size_t)r->length) ||
               fail_at(r, err, "the array is not closed; the file is cut off");
    if (r->text[r->at] == ']')
        return true;
    if (r->number > 0) {
        if (r->text[r->at] != ',')
            return fail_at(r, err, "a comma is missing between two rows");
        r->at++;
        skip_spaces(r);
    }
    *slice = (vkft_row_slice){.text = r->text + r->at, .line = r->line};
    uint64_t begin = r->at;
    if (!skip_value(r, err))
        return false;
    slice->length = (size_t)(r->at - begin);
    *found = true;
    return true;
}

static bool next_record(vkft_row_reader *r, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    for (*found = false; !*found && r->at < r->length;) {
        uint64_t end, lines;
        if (!vkft_csv_record_end(r->text, r->length, r->at, &end, &lines))
            return fail_at(r, err, "a quote is opened here and not closed until the file ends");
        *slice = (vkft_row_slice){.text = r->text + r->at, .length = (size_t)(end - r->at), .line = r->line};
        *found = !is_blank(slice->text, slice->length);
        r->at = end;
        r->line += lines;
    }
    return true;
}

static bool next_pair(vkft_row_reader *r, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    *found = false;
    bool first = r->at < r->length, second = r->partner_at < r->partner_length;
    if (first != second)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: line %llu has no partner: the file of %s ends before it; both must have as many lines",
                         r->path, (unsigned long long)r->line, first ? "completions" : "prompts");
    if (!first)
        return true;
    *slice = (vkft_row_slice){.text = r->text + r->at, .line = r->line, .partner = r->partner + r->partner_at};
    slice->length = take_line(r->text, r->length, &r->at);
    slice->partner_length = take_line(r->partner, r->partner_length, &r->partner_at);
    r->line++;
    *found = true;
    return true;
}

static void next_block(vkft_row_reader *r, vkft_row_slice *slice, bool *found)
{
    *found = r->at < r->length;
    if (!*found)
        return;
    uint64_t end = r->at + VKFT_CORPUS_BLOCK;
    while (end < r->length && !(r->text[end - 1] == '\n' && isalnum((unsigned char)r->text[end])))
        end++;
    if (end > r->length)
        end = r->length;
    *slice = (vkft_row_slice){.text = r->text + r->at, .length = (size_t)(end - r->at), .line = r->line};
    r->at = end;
}

bool vkft_row_reader_next(vkft_row_reader *reader, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    bool ok = true;
    switch (reader->kind) {
    case VKFT_ROWS_LINES: next_line(reader, slice, found); break;
    case VKFT_ROWS_ARRAY: ok = next_element(reader, slice, found, err); break;
    case VKFT_ROWS_CSV: ok = next_record(reader, slice, found, err); break;
    case VKFT_ROWS_PAIRS: ok = next_pair(reader, slice, found, err); break;
    case VKFT_ROWS_CORPUS: next_block(reader, slice, found); break;
    }
    if (ok && *found)
        slice->number = ++reader->number;
    return ok;
}

static cJSON *no_memory(const vkft_row_reader *reader, cJSON *row, vkft_err *err)
{
    cJSON_Delete(row);
    vkft_fail_memory(err, "while reading %s", reader->path);
    return NULL;
}

static bool has_zero(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err)
{
    return memchr(slice->text, 0, slice->length) &&
           !vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: a zero byte; expected text in UTF-8", reader->path,
                      (unsigned long long)slice->line);
}

static cJSON *parse_record(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err)
{
    char **fields;
    uint32_t count;
    if (has_zero(reader, slice, err) ||
        !vkft_csv_fields(slice->text, slice->length, reader->separator, &fields, &count, err))
        return NULL;
    cJSON *row = NULL;
    if (count != reader->column_count) {
        vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: %u fields, the header has %u", reader->path,
                  (unsigned long long)slice->line, count, reader->column_count);
    } else {
        row = cJSON_CreateObject();
        for (uint32_t i = 0; row && i < count; i++)
            if (!cJSON_AddStringToObject(row, reader->columns[i], fields[i]))
                row = no_memory(reader, row, err);
    }
    vkft_csv_fields_free(fields, count);
    return row;
}

static bool add_line(cJSON *row, const char *key, const char *text, size_t length)
{
    char *line = malloc(length + 1);
    if (!line)
        return false;
    memcpy(line, text, length);
    line[length] = 0;
    bool ok = cJSON_AddStringToObject(row, key, line) != NULL;
    free(line);
    return ok;
}

static cJSON *parse_pair(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err)
{
    cJSON *row = cJSON_CreateObject();
    if (!row || !add_line(row, "prompt", slice->text, slice->length) ||
        !add_line(row, "completion", slice->partner, slice->partner_length))
        return no_memory(reader, row, err);
    return row;
}

cJSON *vkft_row_parse(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err)
{
    switch (reader->kind) {
    case VKFT_ROWS_CSV: return parse_record(reader, slice, err);
    case VKFT_ROWS_PAIRS: return parse_pair(reader, slice, err);
    default: return vkft_json_parse_exact(slice->text, slice->length, reader->path, slice->line, err);
    }
}
