/* The rows of a data file, as slices of its text: found quickly one after the other, parsed by whoever has time.
 * Internal to formats.
 *
 * Kinds of files: .jsonl and .json, which by their content hold one object a line, objects over several lines, an array
 * of objects, or (.json) an object whose "data" is such an array; .csv and .tsv (the first record names the columns);
 * .txt (a corpus in blocks; or with a second file of as many lines, pairs of lines). ".gz" and ".zst" after these are
 * ignored: the text is unpacked. Parquet files are tables, given as one JSON object a line.
 */
#ifndef VKFT_DATASET_ROWS_H
#define VKFT_DATASET_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "runtime/base/error.h"

typedef enum vkft_rows_kind {
    VKFT_ROWS_LINES,  /* JSON, one object a line */
    VKFT_ROWS_VALUES, /* JSON, objects over several lines */
    VKFT_ROWS_ARRAY,  /* JSON */
    VKFT_ROWS_CSV,
    VKFT_ROWS_CORPUS,
    VKFT_ROWS_PAIRS,
    VKFT_ROWS_TABLE
} vkft_rows_kind;

/* Large corpora are encoded in blocks of about this size that end at a line's end, before a line that begins with a
 * letter or digit. */
#define VKFT_CORPUS_BLOCK (1u << 20)

typedef struct vkft_row_slice {
    const char *text; /* inside the file */
    size_t length;
    uint64_t number;     /* of the row, from 1 */
    uint64_t line;       /* where it begins, from 1 */
    const char *partner; /* pairs: the line of the second file */
    size_t partner_length;
} vkft_row_slice;

typedef struct vkft_row_reader {
    const char *path;
    vkft_rows_kind kind;
    const char *text, *partner;
    uint64_t length, at, partner_length, partner_at;
    uint64_t before; /* bytes of the file's text before this one */
    uint64_t number, line;
    bool undecided;     /* of a part of a text: the next part may make it another kind */
    bool inside_object; /* array: it is a member of the file's object */
    char separator;     /* csv */
    char **columns;     /* csv */
    uint32_t column_count;
} vkft_row_reader;

/* path decides the kind by its ending, JSON further by its content, and names the file in errors; text stays the
 * caller's. partner: NULL, or the text of the second file of pairs. Error: another ending, a .json that holds no
 * objects, a csv without a header. */
bool vkft_row_reader_open(vkft_row_reader *reader, const char *path, const char *text, uint64_t length,
                          const char *partner, uint64_t partner_length, vkft_err *err);
void vkft_row_reader_open_table(vkft_row_reader *reader, const char *path, const char *text, uint64_t length);
/* The text from the reader's place on, and what follows it; `before` is its place in all of the text. */
void vkft_row_reader_move(vkft_row_reader *reader, const char *text, uint64_t length, uint64_t before);
void vkft_row_reader_close(vkft_row_reader *reader);

/* *found is false at the end. Error: an array that ends early or has something after it, a quote that is not closed,
 * pairs of different length. */
bool vkft_row_reader_next(vkft_row_reader *reader, vkft_row_slice *slice, bool *found, vkft_err *err);

/* Whether rows are told by their number; else by the line in which they begin. */
bool vkft_rows_are_numbered(const vkft_row_reader *reader);

/* Error: a byte of the row that is no UTF-8 or zero, with its line and its offset in the file. */
bool vkft_row_check_text(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err);

/* The row as a value: an object with the columns' names for csv, {"prompt", "completion"} for pairs. May be called from
 * several threads. Not for a corpus. Error: no UTF-8, no JSON, more fields than the header has.
 *
 * As Python reads JSON: of a key that stands twice the last value counts, NaN (null here) and Infinity are numbers. As
 * pandas reads tables: an empty or missing field is null. */
cJSON *vkft_row_parse(const vkft_row_reader *reader, const vkft_row_slice *slice, vkft_err *err);

/* json_row.c */
cJSON *vkft_json_row_parse(const char *text, size_t length, const char *path, uint64_t line, vkft_err *err);

/* csv.c: the end of the record that begins at `at` (after its line end), and its fields. */
bool vkft_csv_record_end(const char *text, uint64_t length, uint64_t at, char separator, uint64_t *end,
                         uint64_t *lines);
/* Fields are malloc'ed, unquoted; the array too. */
bool vkft_csv_fields(const char *record, size_t length, char separator, char ***fields, uint32_t *count, vkft_err *err);
void vkft_csv_fields_free(char **fields, uint32_t count);
/* Makes the names of a header's columns unique as pandas does: x, x.1, x.2. Error: too many columns. */
bool vkft_csv_name_columns(char **columns, uint32_t count, vkft_err *err);

#endif
