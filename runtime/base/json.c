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
#include "runtime/base/size.h"
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

static int32_t hex_unit(const char *text, size_t length)
{
    int32_t unit = 0;
    for (size_t i = 0; i < 4; i++) {
        char c = i < length ? text[i] : 0;
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* What stands at the error, as far as it can be shown on one line. */
static void describe_error(const char *text, size_t length, size_t offset, char *buffer, size_t size)
{
    if (offset >= length) {
        snprintf(buffer, size, "the text ends in the middle of a value");
        return;
    }
    size_t n = 0, before = offset;
    while (n < 24 && offset + n < length && (unsigned char)text[offset + n] >= ' ')
        n++;
    while (n && offset + n < length && ((unsigned char)text[offset + n] & 0xc0) == 0x80) /* not inside a character */
        n--;
    while (before && vkft_is_space(text[before - 1]))
        before--;
    if (before && text[before - 1] == ',' && (text[offset] == '}' || text[offset] == ']'))
        snprintf(buffer, size, "a comma before '%c'; remove it", text[offset]);
    else if (text[offset] == '\'')
        snprintf(buffer, size, "a single quote where JSON has double quotes, at %.*s", (int)n, text + offset);
    else if (n > 5 && memcmp(text + offset, "\\u", 2) == 0 && hex_unit(text + offset + 2, 4) >= 0xd800)
        snprintf(buffer, size, "'%.6s' is no character: a surrogate needs its partner", text + offset);
    else if (n)
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

static size_t put(char *out, const char *bytes, size_t n, size_t consumed, size_t *written)
{
    memcpy(out, bytes, n);
    *written = n;
    return consumed;
}

/* One escape, which begins at text: what cJSON is given instead goes to out, no more than is consumed. \u0000 becomes
 * 0xc0 0x80, one without its four digits something that cJSON refuses. A surrogate without its partner, which cJSON
 * refuses too, becomes U+FFFD if it is to be repaired. */
static size_t copy_escape(const char *text, size_t length, bool repair, char *out, size_t *written)
{
    int32_t unit = length > 1 && text[1] == 'u' ? hex_unit(text + 2, length - 2) : -1;
    if (unit < 0 && length > 1 && text[1] == 'u') /* cJSON takes such an escape for the end of the string */
        return put(out, "\\?", 2, 2, written);
    if (unit == 0)
        return put(out, "\xc0\x80", 2, 6, written);
    if (repair && unit >= 0xd800 && unit <= 0xdfff) {
        bool escaped = length >= 8 && text[6] == '\\' && text[7] == 'u';
        int32_t low = unit < 0xdc00 && escaped ? hex_unit(text + 8, length - 8) : -1;
        return low >= 0xdc00 && low <= 0xdfff ? put(out, text, 12, 12, written)
                                              : put(out, "\xef\xbf\xbd", 3, 6, written);
    }
    size_t n = length > 1 ? 2 : 1; /* a backslash and what it escapes */
    return put(out, text, n, n, written);
}

/* Copies text as cJSON is to see it; returns the length. */
static size_t copy_for_cjson(const char *text, size_t length, bool repair, char *copy)
{
    size_t n = 0, i = 0, written = 0;
    for (const char *at; (at = memchr(text + i, '\\', length - i)) != NULL; n += written) {
        size_t plain = (size_t)(at - text) - i;
        memcpy(copy + n, text + i, plain);
        n += plain;
        i += plain;
        i += copy_escape(text + i, length - i, repair, copy + n, &written);
    }
    memcpy(copy + n, text + i, length - i);
    n += length - i;
    copy[n] = 0;
    return n;
}

/* The place in text of what copy_for_cjson put to `offset`. */
static size_t original_offset(const char *text, size_t length, bool repair, size_t offset)
{
    char out[12];
    size_t i = 0, n = 0;
    while (i < length) {
        size_t written = 1, step = 1;
        if (text[i] == '\\')
            step = copy_escape(text + i, length - i, repair, out, &written);
        if (n + written > offset)
            break;
        n += written;
        i += step;
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

static cJSON *parse(const char *text, size_t length, bool repair, const char *file, uint64_t first_line, vkft_err *err)
{
    char *copy = length < SIZE_MAX ? malloc(length + 1) : NULL;
    if (!copy) {
        vkft_fail_memory(err, "while reading %s", file);
        return NULL;
    }
    size_t copied = copy_for_cjson(text, length, repair, copy);
    const char *end = copy;
    cJSON *root = cJSON_ParseWithLengthOpts(copy, copied + 1, &end, false);
    size_t offset = end ? (size_t)(end - copy) : 0;
    if (copied != length)
        offset = original_offset(text, length, repair, offset);
    free(copy);
    if (root) {
        while (offset < length && vkft_is_space(text[offset]))
            offset++;
        if (offset >= length)
            return root;
        cJSON_Delete(root); /* something follows the value */
    } else {
        offset = step_back(text, min_u64(offset, length));
    }
    return fail_at(text, length, offset, file, first_line, err);
}

cJSON *vkft_json_parse_line(const char *text, size_t length, const char *file, uint64_t first_line, vkft_err *err)
{
    return parse(text, length, false, file, first_line, err);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The next number in a valid JSON text, outside of strings; NULL: none. */
static const char *next_number(const char *at, const char *end)
{
    for (; at < end; at++) {
        if (is_digit(*at) || (*at == '-' && at + 1 < end && is_digit(at[1])))
            return at;
        if (*at == '"')
            for (at++; at < end && *at != '"'; at++)
                at += *at == '\\';
    }
    return NULL;
}

/* The numbers of value and its members are those of the text from *at on, in the same order. */
static bool keep_numbers(cJSON *value, const char **at, const char *end)
{
    if (!cJSON_IsNumber(value)) {
        for (cJSON *item = value->child; item; item = item->next)
            if (!keep_numbers(item, at, end))
                return false;
        return true;
    }
    const char *begin = next_number(*at, end);
    if (!begin)
        return true;
    size_t n = 0, digits = 0;
    for (; begin + n < end && (is_digit(begin[n]) || (begin[n] && strchr("+-.eE", begin[n]))); n++)
        digits += is_digit(begin[n]) != 0;
    *at = begin + n;
    if (digits < 16 && digits + (*begin == '-') == n)
        return true;
    value->valuestring = cJSON_malloc(n + 1);
    if (!value->valuestring)
        return false;
    memcpy(value->valuestring, begin, n);
    value->valuestring[n] = 0;
    return true;
}

cJSON *vkft_json_parse_exact(const char *text, size_t length, const char *file, uint64_t first_line, vkft_err *err)
{
    cJSON *root = vkft_json_parse_line(text, length, file, first_line, err);
    if (root && !keep_numbers(root, &text, text + length)) {
        cJSON_Delete(root);
        vkft_fail_memory(err, "while reading %s", file);
        return NULL;
    }
    return root;
}

cJSON *vkft_json_parse(const char *text, size_t length, const char *file, vkft_err *err)
{
    return vkft_json_parse_line(text, length, file, 1, err);
}

/* Objects with more keys are sorted to find those that stand twice. */
#define FEW_KEYS 24

typedef struct placed_key {
    cJSON *item;
    size_t place;
} placed_key;

static int by_key(const void *pa, const void *pb)
{
    const placed_key *a = pa, *b = pb;
    int order = strcmp(a->item->string, b->item->string);
    return order ? order : a->place < b->place ? -1 : a->place > b->place;
}

/* The value of `later` takes the place of `earlier`, which has the same key. */
static bool replace_earlier(cJSON *object, cJSON *earlier, cJSON *later)
{
    return cJSON_ReplaceItemViaPointer(object, earlier, cJSON_DetachItemViaPointer(object, later));
}

static bool keep_last_of_many(cJSON *object, size_t count)
{
    placed_key *keys = malloc(count * sizeof *keys);
    size_t n = 0;
    bool ok = keys != NULL;
    for (cJSON *item = object->child; ok && item; item = item->next, n++)
        keys[n] = (placed_key){item, n};
    if (ok)
        qsort(keys, n, sizeof *keys, by_key);
    for (size_t i = 0; ok && i + 1 < n; i++)
        if (strcmp(keys[i].item->string, keys[i + 1].item->string) == 0)
            ok = replace_earlier(object, keys[i].item, keys[i + 1].item);
    free(keys);
    return ok;
}

static bool keep_last_of_few(cJSON *object)
{
    for (cJSON *item = object->child; item;) {
        cJSON *later = item->next;
        while (later && strcmp(item->string, later->string) != 0)
            later = later->next;
        if (later && !replace_earlier(object, item, later))
            return false;
        item = later ? later : item->next; /* later is in the place of item now, and may stand a third time */
    }
    return true;
}

bool vkft_json_keep_last(cJSON *value)
{
    size_t count = 0;
    bool ok = true;
    for (cJSON *item = value->child; ok && item; item = item->next, count++)
        if (item->child)
            ok = vkft_json_keep_last(item);
    if (!ok || !cJSON_IsObject(value) || count < 2)
        return ok;
    return count <= FEW_KEYS ? keep_last_of_few(value) : keep_last_of_many(value, count);
}

cJSON *vkft_json_parse_config(const char *text, size_t length, const char *file, vkft_err *err)
{
    cJSON *root = vkft_json_parse(text, length, file, err);
    if (root && !vkft_json_keep_last(root)) {
        cJSON_Delete(root);
        vkft_fail_memory(err, "while reading %s", file);
        return NULL;
    }
    return root;
}

/* Whether the string that text is to hold ends, and has no control characters, which cJSON lets through. */
static bool check_quotes(const char *text, size_t length, const char *file, uint64_t line, vkft_err *err)
{
    size_t i = 0;
    while (i < length && vkft_is_space(text[i]))
        i++;
    if (i == length || text[i] != '"')
        return true;
    for (i++; i < length && text[i] != '"'; i++) {
        if ((unsigned char)text[i] < ' ')
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: line %" PRIu64 ": control character in the JSON string; write it as \\u%04x", file,
                             line, text[i]);
        i += text[i] == '\\';
    }
    return i < length ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: line %" PRIu64 ": the JSON string does not end", file, line);
}

bool vkft_json_parse_string(const char *text, size_t length, const char *file, uint64_t line, vkft_text *out,
                            vkft_err *err)
{
    if (!check_quotes(text, length, file, line, err))
        return false;
    cJSON *root = parse(text, length, true, file, line, err);
    if (!root)
        return false;
    char buffer[96];
    size_t begin = out->length;
    bool ok = cJSON_IsString(root) ||
              vkft_fail(err, VKFT_ERR_INPUT, "%s: line %" PRIu64 ": found %s, expected a JSON string in double quotes",
                        file, line, vkft_json_describe(root, buffer, sizeof buffer));
    ok = ok && vkft_text_append(out, root->valuestring, strlen(root->valuestring), err);
    if (ok)
        out->length = begin + vkft_json_decode_zeros(out->data + begin, out->data + begin);
    cJSON_Delete(root);
    return ok;
}

/* Text as cJSON can carry it: zero-terminated, with zeros inside as 0xc0 0x80. */
static bool encode_zeros(const char *text, size_t length, vkft_text *out, vkft_err *err)
{
    size_t i = 0;
    for (const char *zero; length > i && (zero = memchr(text + i, 0, length - i)) != NULL;
         i = (size_t)(zero - text) + 1)
        if (!vkft_text_append(out, text + i, (size_t)(zero - text) - i, err) ||
            !vkft_text_append(out, "\xc0\x80", 2, err))
            return false;
    return vkft_text_append(out, text + i, length - i, err);
}

bool vkft_json_write_string(const char *text, size_t length, vkft_text *out, vkft_err *err)
{
    vkft_text encoded = {0};
    bool ok = encode_zeros(text, length, &encoded, err);
    cJSON *string = ok ? cJSON_CreateStringReference(encoded.data) : NULL;
    char *printed = string ? cJSON_PrintUnformatted(string) : NULL;
    ok = ok && (printed || vkft_fail_memory(err, "for a JSON string of %zu bytes", length));
    const char *from = printed;
    for (const char *zero; ok && (zero = strstr(from, "\xc0\x80")) != NULL; from = zero + 2)
        ok = vkft_text_append(out, from, (size_t)(zero - from), err) && vkft_text_append(out, "\\u0000", 6, err);
    ok = ok && vkft_text_append(out, from, strlen(from), err);
    cJSON_free(printed);
    cJSON_Delete(string);
    vkft_text_free(&encoded);
    return ok;
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
