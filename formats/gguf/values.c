/* Typed keys of a GGUF file. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/gguf.h"
#include "formats/gguf/gguf_private.h"
#include "runtime/base/utf8.h"

static const char *const type_names[VKFT_GGUF_TYPES] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                        "bool", "string", "array", "u64", "i64", "f64"};

const vkft_gguf_value *vkft_gguf_find(const vkft_gguf *gguf, const char *key)
{
    uint64_t low = 0, high = gguf->value_count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order = strcmp(key, gguf->values[middle].key);
        if (order == 0)
            return &gguf->values[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static bool is_number(vkft_gguf_type type)
{
    return type != VKFT_GGUF_STRING && type != VKFT_GGUF_BOOL && type != VKFT_GGUF_ARRAY;
}

static bool fail_type(const vkft_gguf *g, const vkft_gguf_value *v, const char *expected, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%.200s' is %s of type %s; expected %s", vkft_gguf_path(g), v->key,
                     v->is_array ? "an array" : "a value", type_names[v->type], expected);
}

/* *value NULL: absent, and not required. */
static bool get(const vkft_gguf *g, const char *key, bool required, const vkft_gguf_value **value, vkft_err *err)
{
    *value = vkft_gguf_find(g, key);
    return *value || !required ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%.200s' is missing; the file is not complete", vkft_gguf_path(g),
                     key);
}

double vkft_gguf_number(const vkft_gguf_value *value, uint64_t index)
{
    const uint32_t bytes = vkft_gguf_type_bytes(value->type);
    const uint8_t *p = value->data + index * bytes;
    uint64_t bits = 0;
    uint32_t half;
    float f;
    double d;
    for (uint32_t i = 0; i < bytes; i++)
        bits |= (uint64_t)p[i] << (8 * i);
    switch (value->type) {
    case VKFT_GGUF_I8: return (int8_t)bits;
    case VKFT_GGUF_I16: return (int16_t)bits;
    case VKFT_GGUF_I32: return (int32_t)bits;
    case VKFT_GGUF_I64: return (double)(int64_t)bits;
    case VKFT_GGUF_F32: half = (uint32_t)bits; return memcpy(&f, &half, sizeof f), (double)f;
    case VKFT_GGUF_F64: return memcpy(&d, &bits, sizeof d), d;
    case VKFT_GGUF_BOOL: return bits != 0;
    default: return (double)bits;
    }
}

const char *vkft_gguf_string(const vkft_gguf_value *value, uint64_t *at, uint64_t *length)
{
    *length = 0;
    for (uint32_t i = 0; i < 8; i++)
        *length |= (uint64_t)value->data[*at + i] << (8 * i);
    const char *text = (const char *)value->data + *at + 8;
    *at += 8 + *length;
    return text;
}

bool vkft_gguf_get_double(const vkft_gguf *gguf, const char *key, bool required, double *value, vkft_err *err)
{
    const vkft_gguf_value *v;
    if (!get(gguf, key, required, &v, err) || !v)
        return v || !required;
    if (v->is_array || !is_number(v->type))
        return fail_type(gguf, v, "a number", err);
    *value = vkft_gguf_number(v, 0);
    return isfinite(*value) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%.200s' is not a finite number", vkft_gguf_path(gguf), key);
}

bool vkft_gguf_get_u32(const vkft_gguf *gguf, const char *key, bool required, uint32_t *value, vkft_err *err)
{
    const vkft_gguf_value *v;
    if (!get(gguf, key, required, &v, err) || !v)
        return v || !required;
    bool fits = !v->is_array && is_number(v->type) && v->type != VKFT_GGUF_F32 && v->type != VKFT_GGUF_F64;
    double number = fits ? vkft_gguf_number(v, 0) : -1;
    if (!(number >= 0 && number <= UINT32_MAX))
        return fail_type(gguf, v, "a whole number from 0 to 4294967295", err);
    *value = (uint32_t)number;
    return true;
}

bool vkft_gguf_get_bool(const vkft_gguf *gguf, const char *key, bool required, bool *value, vkft_err *err)
{
    const vkft_gguf_value *v;
    if (!get(gguf, key, required, &v, err) || !v)
        return v || !required;
    if (v->is_array || v->type != VKFT_GGUF_BOOL)
        return fail_type(gguf, v, "a bool", err);
    *value = v->data[0] != 0;
    return true;
}

bool vkft_gguf_get_string(const vkft_gguf *gguf, const char *key, bool required, char **value, vkft_err *err)
{
    const vkft_gguf_value *v;
    if (!get(gguf, key, required, &v, err) || !v)
        return v || !required;
    if (v->is_array || v->type != VKFT_GGUF_STRING)
        return fail_type(gguf, v, "a string", err);
    uint64_t at = 0, length;
    const char *text = vkft_gguf_string(v, &at, &length);
    if (!vkft_utf8_valid(text, length) || memchr(text, 0, length))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%.200s' is not valid UTF-8, or holds a zero character",
                         vkft_gguf_path(gguf), key);
    char *copy = malloc(length + 1);
    if (!copy)
        return vkft_fail_memory(err, "while reading %s", vkft_gguf_path(gguf));
    memcpy(copy, text, length);
    copy[length] = 0;
    free(*value);
    *value = copy;
    return true;
}

bool vkft_gguf_get_array(const vkft_gguf *gguf, const char *key, bool required, bool strings,
                         const vkft_gguf_value **value, vkft_err *err)
{
    if (!get(gguf, key, required, value, err) || !*value)
        return *value || !required;
    const vkft_gguf_value *v = *value;
    bool fits = v->is_array && (strings ? v->type == VKFT_GGUF_STRING : is_number(v->type));
    return fits || fail_type(gguf, v, strings ? "an array of strings" : "an array of numbers", err);
}
