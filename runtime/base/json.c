/* JSON with positions in errors, and typed members.
 *
 * cJSON is given a zero-terminated copy whose terminator counts as part of the text: some of its versions look one byte
 * past the end of a text that stops in the middle of an object.
 */
#include "runtime/base/json.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/text.h"

void vkft_json_position(const char *text, size_t length, size_t offset, uint64_t *line, uint64_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < offset && i < length; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) { /* not a continuation byte of UTF-8 */
            ++*column;
        }
    }
}

/* What stands at the error, as far as it can be shown on one line. */
static void describe_error(const char *text, size_t length, size_t offset, char *buffer, size_t size)
{
    if (offset >= length) {
        snprintf(buffer, size, "the text ends in the middle of a value");
        return;
    }
    size_t n = 0;
    while (n < 24 && offset + n < length && (unsigned char)text[offset + n] >= ' ')
        n++;
    if (n)
        snprintf(buffer, size, "not valid JSON at '%.*s'", (int)n, text + offset);
    else
        snprintf(buffer, size, "not valid JSON at byte 0x%02x", (unsigned char)text[offset]);
}

/* Where a key should begin, cJSON points one past the character that is no quotation mark: {'a':1} or {"a":1,}. */
static size_t step_back(const char *text, size_t offset)
{
    if (offset < 2 || vkft_is_space(text[offset - 1]) || text[offset - 1] == '"' || text[offset - 1] == '[')
        return offset;
    size_t before = offset - 1;
    while (before && vkft_is_space(text[before - 1]))
        before--;
    return before && (text[before - 1] == '{' || text[before - 1] == ',') ? offset - 1 : offset;
}

static cJSON *fail_at(const char *text, size_t length, size_t offset, const char *file, uint64_t first_line,
                      vkft_err *err)
{
    uint64_t line, column;
    char what[128];
    while (offset < length && vkft_is_space(text[offset])) /* cJSON points to the space before what it rejects */
        offset++;
    vkft_json_position(text, length, offset, &line, &column);
    describe_error(text, length, offset, what, sizeof what);
    vkft_fail(err, VKFT_ERR_INPUT, "%s: line %" PRIu64 ", column %" PRIu64 ": %s", file, line + first_line - 1, column,
              what);
    return NULL;
}

/* Whether an escaped zero stands at `at`; the backslashes before it tell. */
static bool is_escaped_zero(const char *text, size_t length, size_t at)
{
    if (length - at < 6 || memcmp(text + at, "\\u0000", 6) != 0)
        return false;
    size_t backslashes = 0;
    while (backslashes < at && text[at - backslashes - 1] == '\\')
        backslashes++;
    return backslashes % 2 == 0;
}

/* Copies text with \u0000 as 0xc0 0x80, which cJSON lets through; returns the length. */
static size_t copy_with_zeros(const char *text, size_t length, char *copy)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\\' && is_escaped_zero(text, length, i)) {
            copy[n++] = '\xc0';
            copy[n++] = '\x80';
            i += 5;
        } else {
            copy[n++] = text[i];
        }
    }
    copy[n] = 0;
    return n;
}

/* The place in text of what copy_with_zeros put to `offset`. */
static size_t original_offset(const char *text, size_t length, size_t offset)
{
    size_t i = 0;
    for (size_t n = 0; n < offset && i < length;) {
        bool zero = text[i] == '\\' && is_escaped_zero(text, length, i);
        n += zero ? 2 : 1;
        i += zero ? 6 : 1;
    }
    return i;
}

size_t vkft_json_decode_zeros(const char *text, char *out)
{
    size_t n = 0;
    for (size_t i = 0; text[i]; i++) {
        bool zero = text[i] == '\xc0' && text[i + 1] == '\x80';
        out[n++] = zero ? 0 : text[i];
        i += zero;
    }
    out[n] = 0;
    return n;
}

cJSON *vkft_json_parse_line(const char *text, size_t length, const char *file, uint64_t first_line, vkft_err *err)
{
    char *copy = length < SIZE_MAX ? malloc(length + 1) : NULL;
    if (!copy) {
        vkft_fail_memory(err, "while reading %s", file);
        return NULL;
    }
    size_t copied = copy_with_zeros(text, length, copy);
    const char *end = copy;
    cJSON *root = cJSON_ParseWithLengthOpts(copy, copied + 1, &end, false);
    size_t offset = end ? (size_t)(end - copy) : 0;
    if (copied != length)
        offset = original_offset(text, length, offset);
    free(copy);
    if (root) {
        while (offset < length && vkft_is_space(text[offset]))
            offset++;
        if (offset >= length)
            return root;
        cJSON_Delete(root); /* something follows the value */
    } else {
        offset = step_back(text, offset < length ? offset : length);
    }
    return fail_at(text, length, offset, file, first_line, err);
}

cJSON *vkft_json_parse(const char *text, size_t length, const char *file, vkft_err *err)
{
    return vkft_json_parse_line(text, length, file, 1, err);
}

cJSON *vkft_json_read_object(const char *path, uint64_t max_bytes, vkft_err *err)
{
    char *text;
    size_t length;
    if (!vkft_file_read(path, max_bytes, &text, &length, err))
        return NULL;
    cJSON *root = vkft_json_parse(text, length, path, err);
    free(text);
    if (root && !cJSON_IsObject(root)) {
        char buffer[96];
        vkft_fail(err, VKFT_ERR_INPUT, "%s: found %s, expected an object", path,
                  vkft_json_describe(root, buffer, sizeof buffer));
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}

const char *vkft_json_describe(const cJSON *value, char *buffer, size_t size)
{
    if (!value)
        return "nothing";
    if (cJSON_IsObject(value))
        return "an object";
    if (cJSON_IsArray(value))
        return "a list";
    if (cJSON_IsNull(value))
        return "null";
    if (cJSON_IsBool(value))
        return cJSON_IsTrue(value) ? "true" : "false";
    if (cJSON_IsNumber(value))
        snprintf(buffer, size, "the number %.17g", value->valuedouble);
    else
        snprintf(buffer, size, "the string '%.40s'", value->valuestring ? value->valuestring : "");
    return buffer;
}

const cJSON *vkft_json_member(const cJSON *object, const char *key)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
    return member && !cJSON_IsNull(member) ? member : NULL;
}

/* The member; when there is none, NULL with the getter's answer in *result. */
static const cJSON *find(const cJSON *object, const char *key, bool required, const char *file, bool *result,
                         vkft_err *err)
{
    const cJSON *member = vkft_json_member(object, key);
    *result = member || !required || vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s' is missing", file, key);
    return member;
}

static bool wrong(const cJSON *member, const char *key, const char *expected, const char *file, vkft_err *err)
{
    char buffer[96];
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': found %s, expected %s", file, key,
                     vkft_json_describe(member, buffer, sizeof buffer), expected);
}

bool vkft_json_is_u64(const cJSON *value, uint64_t *number)
{
    if (!cJSON_IsNumber(value))
        return false;
    double x = value->valuedouble;
    if (!(x >= 0 && x <= 9007199254740992.0) || x != floor(x))
        return false;
    *number = (uint64_t)x;
    return true;
}

bool vkft_json_get_u64(const cJSON *object, const char *key, bool required, uint64_t *value, const char *file,
                       vkft_err *err)
{
    bool result;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (member && !vkft_json_is_u64(member, value))
        return wrong(member, key, "a whole number from 0 to 2^53", file, err);
    return result;
}

bool vkft_json_get_u32(const cJSON *object, const char *key, bool required, uint32_t *value, const char *file,
                       vkft_err *err)
{
    bool result;
    uint64_t number;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (!member)
        return result;
    if (!vkft_json_is_u64(member, &number) || number > UINT32_MAX)
        return wrong(member, key, "a whole number from 0 to 4294967295", file, err);
    *value = (uint32_t)number;
    return true;
}

bool vkft_json_get_i32(const cJSON *object, const char *key, bool required, int32_t *value, const char *file,
                       vkft_err *err)
{
    bool result;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (!member)
        return result;
    double x = member->valuedouble;
    if (!cJSON_IsNumber(member) || !(x >= INT32_MIN && x <= INT32_MAX) || x != floor(x))
        return wrong(member, key, "a whole number of 32 bits", file, err);
    *value = (int32_t)x;
    return true;
}

bool vkft_json_get_double(const cJSON *object, const char *key, bool required, double *value, const char *file,
                          vkft_err *err)
{
    bool result;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (!member)
        return result;
    if (!cJSON_IsNumber(member) || !(fabs(member->valuedouble) <= DBL_MAX))
        return wrong(member, key, "a number", file, err);
    *value = member->valuedouble;
    return true;
}

bool vkft_json_get_bool(const cJSON *object, const char *key, bool required, bool *value, const char *file,
                        vkft_err *err)
{
    bool result;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (!member)
        return result;
    if (!cJSON_IsBool(member))
        return wrong(member, key, "true or false", file, err);
    *value = cJSON_IsTrue(member);
    return true;
}

bool vkft_json_get_string(const cJSON *object, const char *key, bool required, const char **value, const char *file,
                          vkft_err *err)
{
    bool result;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (!member)
        return result;
    if (!cJSON_IsString(member))
        return wrong(member, key, "a string", file, err);
    *value = member->valuestring;
    return true;
}

bool vkft_json_get_array(const cJSON *object, const char *key, bool required, const cJSON **value, const char *file,
                         vkft_err *err)
{
    bool result;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (!member)
        return result;
    if (!cJSON_IsArray(member))
        return wrong(member, key, "a list", file, err);
    *value = member;
    return true;
}

bool vkft_json_get_object(const cJSON *object, const char *key, bool required, const cJSON **value, const char *file,
                          vkft_err *err)
{
    bool result;
    const cJSON *member = find(object, key, required, file, &result, err);
    if (!member)
        return result;
    if (!cJSON_IsObject(member))
        return wrong(member, key, "an object", file, err);
    *value = member;
    return true;
}
