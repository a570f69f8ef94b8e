/* Finding and parsing the rows of data files. */
#include "formats/dataset/rows/rows.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/dataset/rows/source.h"
#include "runtime/base/text.h"

static void skip_spaces(vkft_row_reader *r)
{
    for (; r->at < r->length && vkft_is_space(r->text[r->at]); r->at++)
        r->line += r->text[r->at] == '\n';
}

static bool is_blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!vkft_is_space(line[i]))
            return false;
    return true;
}

static bool fail_at(const vkft_row_reader *r, vkft_err *err, const char *what)
{
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: %s", r->path, (unsigned long long)r->line, what);
}

/* Lines before this place in a text. */
static uint64_t count_lines(const char *text, size_t length)
{
    uint64_t lines = 0;
    for (const char *at = text, *end = text + length; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        lines++;
    return lines;
}

static bool check_part(const vkft_row_reader *r, const char *whole, const char *text, size_t length, uint64_t line,
                       vkft_err *err)
{
    size_t at = vkft_text_first_bad(text, length);
    if (at == length)
        return true;
    bool zero = text[at] == 0;
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: byte 0x%02x at offset %llu of the file %s", r->path,
                     (unsigned long long)(line + count_lines(text, at)), (unsigned char)text[at],
                     (unsigned long long)(r->before + (uint64_t)(text + at - whole)),
                     zero ? "is no text; expected UTF-8, or UTF-16 with its byte order mark"
                          : "is not UTF-8; save the file as UTF-8");
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

/* Moves past the key and the colon that begin here; false where there are none. */
static bool skip_key(vkft_row_reader *r, bool *is_data)
{
    skip_spaces(r);
    uint64_t key = r->at;
    if (r->at >= r->length || r->text[r->at] != '"' || !skip_value(r, NULL))
        return false;
    *is_data = r->at - key == 6 && memcmp(r->text + key, "\"data\"", 6) == 0;
    skip_spaces(r);
    if (r->at >= r->length || r->text[r->at++] != ':')
        return false;
    skip_spaces(r);
    return true;
}

/* Moves into the array that is the member "data" of the object that begins here; false where there is none. */
static bool enter_data(vkft_row_reader *r)
{
    for (bool is_data; r->at < r->length && (r->text[r->at] == '{' || r->text[r->at] == ','); skip_spaces(r)) {
        r->at++;
        if (!skip_key(r, &is_data))
            return false;
        if (is_data && r->at < r->length && r->text[r->at] == '[')
            return r->at++, true;
        if (!skip_value(r, NULL))
            return false;
    }
    return false;
}

/* Whether the line at r->at ends in the middle of a value: then objects stand over several lines. A line that ends in
 * the middle of a string is damaged, and the error is about this line. */
static bool goes_on(const vkft_row_reader *r)
{
    uint64_t depth = 0;
    bool quoted = false;
    for (uint64_t i = r->at; i < r->length && r->text[i] != '\n'; i++) {
        char c = r->text[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && depth)
            depth--;
    }
    return depth > 0 && !quoted;
}

/* A .json file that begins with an object: whether that is all of it. Its rows are those of its "data", or it is the
 * only one. */
static bool open_object(vkft_row_reader *r, bool *whole, vkft_err *err)
{
    vkft_row_reader object = *r, data = *r;
    if (!skip_value(&object, err))
        return false;
    skip_spaces(&object);
    *whole = r->undecided = object.at >= object.length;
    if (!*whole)
        return true;
    r->kind = VKFT_ROWS_VALUES;
    if (enter_data(&data)) {
        if (!check_part(r, r->text, r->text + r->at, (size_t)(data.at - r->at), r->line, err))
            return false;
        *r = data;
        r->kind = VKFT_ROWS_ARRAY;
        r->inside_object = true;
    }
    return true;
}

static bool open_json(vkft_row_reader *r, bool lines, vkft_err *err)
{
    skip_spaces(r);
    char first = r->at < r->length ? r->text[r->at] : 0;
    bool whole = false;
    if (first == '[') {
        r->kind = VKFT_ROWS_ARRAY;
        r->at++;
        return true;
    }
    if (first && first != '{' && !lines)
        return fail_at(r, err, "expected an array of objects, an object whose \"data\" is one, or one object a line");
    if (first == '{' && !lines && !open_object(r, &whole, err))
        return false;
    if (!whole)
        r->kind = first == '{' && goes_on(r) ? VKFT_ROWS_VALUES : VKFT_ROWS_LINES;
    return true;
}

/* As pandas: spaces alone are no record, separators are. */
static bool is_blank_record(const vkft_row_reader *r, const vkft_row_slice *record)
{
    return is_blank(record->text, record->length) && !memchr(record->text, r->separator, record->length);
}

static bool open_csv(vkft_row_reader *r, vkft_err *err)
{
    uint64_t end = r->at, lines = 0;
    vkft_row_slice header = {0};
    do { /* blank lines before the header */
        r->at = end;
        r->line += lines;
        if (!vkft_csv_record_end(r->text, r->length, r->at, r->separator, &end, &lines))
            return fail_at(r, err, "a quote is not closed in the header");
        header = (vkft_row_slice){.text = r->text + r->at, .length = (size_t)(end - r->at), .line = r->line};
    } while (end < r->length && is_blank_record(r, &header));
    if (!vkft_row_check_text(r, &header, err) ||
        !vkft_csv_fields(header.text, header.length, r->separator, &r->columns, &r->column_count, err) ||
        (!vkft_csv_name_columns(r->columns, r->column_count, err) && !vkft_fail_context(err, "%s", r->path)))
        return false;
    r->at = end;
    r->line += lines;
    return true;
}

/* Bytes of a UTF-8 byte order mark. */
static uint64_t mark_size(const char *text, uint64_t length)
{
    return length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

/* Whether the file has this ending, perhaps before that of its compression. */
static bool has_ending(const char *path, const char *ending)
{
    static const char *const compressed[] = {"", ".gz", ".zst"};
    char whole[16];
    bool found = false;
    for (size_t i = 0; !found && i < sizeof compressed / sizeof *compressed; i++) {
        snprintf(whole, sizeof whole, "%s%s", ending, compressed[i]);
        found = vkft_string_ends_with(path, whole);
    }
    return found;
}

bool vkft_row_reader_open(vkft_row_reader *reader, const char *path, const char *text, uint64_t length,
                          const char *partner, uint64_t partner_length, vkft_err *err)
{
    *reader = (vkft_row_reader){
        .path = path, .text = text, .length = length, .partner = partner, .partner_length = partner_length, .line = 1};
    reader->at = mark_size(text, length);
    if (partner) {
        reader->partner_at = mark_size(partner, partner_length);
        reader->kind = VKFT_ROWS_PAIRS;
        return true;
    }
    if (has_ending(path, ".jsonl") || has_ending(path, ".json"))
        return open_json(reader, has_ending(path, ".jsonl"), err);
    if (has_ending(path, ".csv") || has_ending(path, ".tsv")) {
        reader->kind = VKFT_ROWS_CSV;
        reader->separator = has_ending(path, ".tsv") ? '\t' : ',';
        return open_csv(reader, err);
    }
    reader->kind = VKFT_ROWS_CORPUS;
    return has_ending(path, ".txt") ||
           vkft_fail(
               err, VKFT_ERR_INPUT,
               "%s: this kind of file is not supported; expected .jsonl, .json, .csv, .tsv or .txt, these with .gz or "
               ".zst, or .parquet",
               path);
}

void vkft_row_reader_open_table(vkft_row_reader *reader, const char *path, const char *text, uint64_t length)
{
    *reader = (vkft_row_reader){.path = path, .kind = VKFT_ROWS_TABLE, .text = text, .length = length, .line = 1};
}

void vkft_row_reader_move(vkft_row_reader *reader, const char *text, uint64_t length, uint64_t before)
{
    reader->text = text;
    reader->length = length;
    reader->before = before;
    reader->at = 0;
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

static void next_line(vkft_row_reader *r, vkft_row_slice *slice, bool *found)
{
    for (*found = false; !*found && r->at < r->length; r->line++) {
        *slice = (vkft_row_slice){.text = r->text + r->at, .line = r->line};
        slice->length = take_line(r->text, r->length, &r->at);
        *found = !is_blank(slice->text, slice->length);
    }
}

/* What follows the bracket that ends the rows: nothing, or the other members of the object around them. */
static bool check_end(const vkft_row_reader *reader, vkft_err *err)
{
    vkft_row_reader r = *reader;
    bool is_data;
    if (!check_part(&r, r.text, r.text + r.at, (size_t)(r.length - r.at), r.line, err))
        return false;
    r.at++;
    for (skip_spaces(&r); r.inside_object && r.at < r.length && r.text[r.at] == ','; skip_spaces(&r)) {
        r.at++;
        if (!skip_key(&r, &is_data))
            return fail_at(&r, err, "expected a key and its value");
        if (!skip_value(&r, err))
            return false;
    }
    if (r.inside_object) {
        if (r.at >= r.length || r.text[r.at++] != '}')
            return fail_at(&r, err, "the object is not closed; the file is cut off");
        skip_spaces(&r);
    }
    return r.at >= r.length ||
           fail_at(&r, err, "something follows the end of the array; expected one array, or one object a line");
}

/* The value that begins here. */
static bool take_value(vkft_row_reader *r, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    uint64_t begin = r->at;
    *slice = (vkft_row_slice){.text = r->text + r->at, .line = r->line};
    if (!skip_value(r, err))
        return false;
    slice->length = (size_t)(r->at - begin);
    *found = slice->length > 0;
    return *found || fail_at(r, err, "not valid JSON; expected an object");
}

static bool next_element(vkft_row_reader *r, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    *found = false;
    skip_spaces(r);
    if (r->at < r->length && r->text[r->at] == ']')
        return check_end(r, err);
    if (r->at < r->length && r->number > 0) {
        if (r->text[r->at] != ',')
            return fail_at(r, err, "a comma is missing between two rows");
        r->at++;
        skip_spaces(r);
        if (r->at < r->length && r->text[r->at] == ']')
            return fail_at(r, err, "a comma after the last row; remove it");
    }
    return r->at < r->length ? take_value(r, slice, found, err)
                             : fail_at(r, err, "the array is not closed; the file is cut off");
}

static bool next_value(vkft_row_reader *r, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    *found = false;
    skip_spaces(r);
    return r->at >= r->length || take_value(r, slice, found, err);
}

static bool next_record(vkft_row_reader *r, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    for (*found = false; !*found && r->at < r->length;) {
        uint64_t end, lines;
        if (!vkft_csv_record_end(r->text, r->length, r->at, r->separator, &end, &lines))
            return fail_at(r, err, "a quote is opened here and not closed until the file ends");
        *slice = (vkft_row_slice){.text = r->text + r->at, .length = (size_t)(end - r->at), .line = r->line};
        *found = !is_blank_record(r, slice);
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

static bool is_line_end(char c)
{
    return c == '\n' || c == '\r';
}

static void next_block(vkft_row_reader *r, vkft_row_slice *slice, bool *found)
{
    *found = r->at < r->length;
    if (!*found)
        return;
    uint64_t end = r->at + VKFT_CORPUS_BLOCK;
    while (end < r->length && !(is_line_end(r->text[end - 1]) && isalnum((unsigned char)r->text[end])))
        end++;
    if (end > r->length)
        end = r->length;
    *slice = (vkft_row_slice){.text = r->text + r->at, .length = (size_t)(end - r->at), .line = r->line};
    r->line += count_lines(slice->text, slice->length);
    r->at = end;
}

bool vkft_row_reader_next(vkft_row_reader *reader, vkft_row_slice *slice, bool *found, vkft_err *err)
{
    bool ok = true;
    switch (reader->kind) {
    case VKFT_ROWS_LINES:
    case VKFT_ROWS_TABLE: next_line(reader, slice, found); break;
    case VKFT_ROWS_VALUES: ok = next_value(reader, slice, found, err); break;
    case VKFT_ROWS_ARRAY: ok = next_element(reader, slice, found, err); break;
    case VKFT_ROWS_CSV: ok = next_record(reader, slice, found, err); break;
    case VKFT_ROWS_PAIRS: ok = next_pair(reader, slice, found, err); break;
    case VKFT_ROWS_CORPUS: next_block(reader, slice, found); break;
    }
    if (ok && *found)
        slice->number = ++reader->number;
    return ok;
}

bool vkft_row_check_text(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err)
{
    return check_part(reader, reader->text, slice->text, slice->length, slice->line, err) &&
           (!slice->partner ||
            check_part(reader, reader->partner, slice->partner, slice->partner_length, slice->line, err));
}

/* Fields are texts, but for the labels that say of an answer whether it is desired: pandas reads those as booleans. */
static bool add_field(cJSON *row, const char *column, const char *field)
{
    static const char *const values[] = {"False", "false", "FALSE", "True", "true", "TRUE"};
    bool label = strcmp(column, "label") == 0 || strcmp(column, "kto_tag") == 0;
    for (size_t i = 0; label && i < 6; i++)
        if (strcmp(field, values[i]) == 0)
            return cJSON_AddBoolToObject(row, column, i > 2) != NULL;
    return cJSON_AddStringToObject(row, column, field) != NULL;
}

/* An empty field, and one that the record does not have, is null. Empty fields after the header's last are nothing. */
static bool add_fields(const vkft_row_reader *reader, const vkft_row_slice *slice, cJSON *row, char *const *fields,
                       uint32_t count, vkft_err *err)
{
    bool ok = row != NULL;
    for (uint32_t i = reader->column_count; i < count; i++)
        if (fields[i][0])
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: line %llu: %u fields, the header has %u", reader->path,
                             (unsigned long long)slice->line, count, reader->column_count);
    for (uint32_t i = 0; ok && i < reader->column_count; i++)
        ok = i < count && fields[i][0] ? add_field(row, reader->columns[i], fields[i])
                                       : cJSON_AddNullToObject(row, reader->columns[i]) != NULL;
    return ok || vkft_fail_memory(err, "while reading %s", reader->path);
}

static cJSON *parse_record(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err)
{
    char **fields;
    uint32_t count;
    if (!vkft_csv_fields(slice->text, slice->length, reader->separator, &fields, &count, err))
        return NULL;
    cJSON *row = cJSON_CreateObject();
    if (!add_fields(reader, slice, row, fields, count, err)) {
        cJSON_Delete(row);
        row = NULL;
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
        !add_line(row, "completion", slice->partner, slice->partner_length)) {
        cJSON_Delete(row);
        vkft_fail_memory(err, "while reading %s", reader->path);
        return NULL;
    }
    return row;
}

cJSON *vkft_row_parse(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err)
{
    if (!vkft_row_check_text(reader, slice, err))
        return NULL;
    switch (reader->kind) {
    case VKFT_ROWS_CSV: return parse_record(reader, slice, err);
    case VKFT_ROWS_PAIRS: return parse_pair(reader, slice, err);
    default: return vkft_json_row_parse(slice->text, slice->length, reader->path, slice->line, err);
    }
}

bool vkft_rows_are_numbered(const vkft_row_reader *reader)
{
    return reader->kind == VKFT_ROWS_ARRAY || reader->kind == VKFT_ROWS_TABLE;
}
