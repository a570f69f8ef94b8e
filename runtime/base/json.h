/* JSON texts with errors that say where: "config.json: line 17, column 3: ...". Parser and printer are cJSON.
 *
 * `file` in all functions is only what errors name; it may carry a path inside the document ("config.json:
 * rope_scaling").
 */
#ifndef VKFT_JSON_H
#define VKFT_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "runtime/base/error.h"
#include "runtime/base/text.h"

/* Parses exactly one value, free with cJSON_Delete. Nesting is limited to 1000 (cJSON). A zero byte inside the text is
 * an error. */
cJSON *vkft_json_parse(const char *text, size_t length, const char *file, vkft_err *err);
/* The same for text in which the first line has number first_line: rows of a .jsonl file. */
cJSON *vkft_json_parse_line(const char *text, size_t length, const char *file, uint64_t first_line, vkft_err *err);
/* The same, with numbers as they are written: one whose digits a double may lose (it has a point or an exponent, or
 * more than 15 digits) has them as its valuestring. */
cJSON *vkft_json_parse_exact(const char *text, size_t length, const char *file, uint64_t first_line, vkft_err *err);
/* Of a key that stands twice in an object the last value counts, as in Python and so in all that reads a model's files.
 * _keep_last does that to a parsed value (false: out of memory, and the value can only be deleted). */
cJSON *vkft_json_parse_config(const char *text, size_t length, const char *file, vkft_err *err);
bool vkft_json_keep_last(cJSON *value);
/* One string alone: any length, zero characters included; a surrogate without its partner becomes U+FFFD. Appended to
 * out as UTF-8. */
bool vkft_json_parse_string(const char *text, size_t length, const char *file, uint64_t line, vkft_text *out,
                            vkft_err *err);
/* Appends text as a JSON string. UTF-8 stays as it is. */
bool vkft_json_write_string(const char *text, size_t length, vkft_text *out, vkft_err *err);
/* Reads and parses a file of at most max_bytes whose root must be an object. */
cJSON *vkft_json_read_object(const char *path, uint64_t max_bytes, vkft_err *err);

/* cJSON's strings end at a zero byte. A \u0000 inside a parsed string is therefore kept as the two bytes 0xc0 0x80,
 * which no valid UTF-8 has; this restores them. out has room for strlen(text) + 1 bytes and is zero-terminated;
 * returns the length. */
size_t vkft_json_decode_zeros(const char *text, char *out);

/* Line and column (both from 1, the column in characters) of a byte offset, for errors found after parsing a text of
 * one's own. */
void vkft_json_position(const char *text, size_t length, size_t offset, uint64_t *line, uint64_t *column);

/* "an object", "a string", "the number 3.5", ...: for messages. buffer is used when the value itself is told. */
const char *vkft_json_describe(const cJSON *value, char *buffer, size_t size);

/* The member, or NULL when it is absent or null. */
const cJSON *vkft_json_member(const cJSON *object, const char *key);

/* Typed members. Absent or null: an error when required, else *value stays as it was and the result is true.
 * Another type or a value out of range is always an error that tells key, what was found and what was expected. */
bool vkft_json_get_u32(const cJSON *object, const char *key, bool required, uint32_t *value, const char *file,
                       vkft_err *err);
bool vkft_json_get_i32(const cJSON *object, const char *key, bool required, int32_t *value, const char *file,
                       vkft_err *err);
bool vkft_json_get_u64(const cJSON *object, const char *key, bool required, uint64_t *value, const char *file,
                       vkft_err *err);
bool vkft_json_get_double(const cJSON *object, const char *key, bool required, double *value, const char *file,
                          vkft_err *err);
bool vkft_json_get_bool(const cJSON *object, const char *key, bool required, bool *value, const char *file,
                        vkft_err *err);
/* Borrowed from the object. */
bool vkft_json_get_string(const cJSON *object, const char *key, bool required, const char **value, const char *file,
                          vkft_err *err);
bool vkft_json_get_array(const cJSON *object, const char *key, bool required, const cJSON **value, const char *file,
                         vkft_err *err);
bool vkft_json_get_object(const cJSON *object, const char *key, bool required, const cJSON **value, const char *file,
                          vkft_err *err);

/* A number that is an integer in [0, 2^53], the range that JSON numbers carry exactly. */
bool vkft_json_is_u64(const cJSON *value, uint64_t *number);

#endif
