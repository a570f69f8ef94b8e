/* The values of a page in each encoding, one by one, as bytes. */
#include <stdlib.h>
#include <string.h>

#include "formats/parquet/parquet_private.h"

enum {
    PLAIN = 0,
    PLAIN_DICTIONARY = 2,
    RLE = 3,
    DELTA_BINARY_PACKED = 5,
    DELTA_LENGTH_BYTE_ARRAY = 6,
    DELTA_BYTE_ARRAY = 7,
    RLE_DICTIONARY = 8,
    BYTE_STREAM_SPLIT = 9
};

static const char *const names[] = {
    "PLAIN",          "GROUP_VAR_INT",       "PLAIN_DICTIONARY",        "RLE",
    "BIT_PACKED",     "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY",
    "RLE_DICTIONARY", "BYTE_STREAM_SPLIT"};

uint64_t parquet_type_size(const parquet_field *field)
{
    static const uint8_t sizes[PARQUET_TYPES] = {0, 4, 8, 12, 4, 8, 0, 0};
    return field->type == PARQUET_FIXED ? field->length : sizes[field->type];
}

static uint32_t read_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool fail_short(const parquet_column *c, vkft_err *err)
{
    return parquet_column_fail(c, err,
                               "a page has fewer values than it says; the file is damaged or cut off: get it again");
}

/* --- dictionaries ------------------------------------------------------------------------------------------------- */

void parquet_dictionary_close(parquet_dictionary *d)
{
    free(d->memory);
    free(d->offsets);
    *d = (parquet_dictionary){0};
}

static bool find_texts(parquet_column *c, uint64_t size, uint64_t count, vkft_err *err)
{
    parquet_dictionary *d = &c->dictionary;
    if (count > size / 4)
        return fail_short(c, err);
    d->offsets = malloc((count + 1) * sizeof *d->offsets);
    if (!d->offsets)
        return vkft_fail_memory(err, "while reading %s", c->file->path);
    uint64_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        d->offsets[i] = at;
        if (size - at < 4 || read_u32(d->data + at) > size - at - 4)
            return fail_short(c, err);
        at += 4 + read_u32(d->data + at);
    }
    d->offsets[count] = at;
    return true;
}

bool parquet_dictionary_open(parquet_column *c, uint8_t *memory, const uint8_t *data, uint64_t size, uint64_t count,
                             vkft_err *err)
{
    c->dictionary = (parquet_dictionary){.memory = memory, .data = data, .count = (uint32_t)count, .present = true};
    if (c->field->type == PARQUET_BYTE_ARRAY)
        return find_texts(c, size, count, err);
    uint64_t each = parquet_type_size(c->field);
    return (each > 0 && count <= size / each) || fail_short(c, err);
}

static bool next_from_dictionary(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    const parquet_dictionary *d = &c->dictionary;
    uint32_t i;
    if (!parquet_runs_next(&c->runs, &i) || i >= d->count)
        return fail_short(c, err);
    if (d->offsets) {
        value->data = d->data + d->offsets[i] + 4;
        value->length = d->offsets[i + 1] - d->offsets[i] - 4;
    } else {
        value->length = parquet_type_size(c->field);
        value->data = d->data + i * value->length;
    }
    return true;
}

/* --- pages -------------------------------------------------------------------------------------------------------- */

static bool fail_encoding(const parquet_column *c, vkft_err *err)
{
    bool known = c->encoding >= 0 && c->encoding < (int32_t)(sizeof names / sizeof *names);
    return parquet_column_fail(
        c, err,
        "its values are in encoding %s (%d), which is not supported for this type; write the file "
        "again with plain or dictionary encoding",
        known ? names[c->encoding] : "of an unknown name", c->encoding);
}

static bool open_dictionary_values(parquet_column *c, uint64_t size, vkft_err *err)
{
    if (c->field->type == PARQUET_BOOLEAN)
        return fail_encoding(c, err);
    if (!c->dictionary.present)
        return parquet_column_fail(c, err, "its dictionary is missing; the file is damaged: get it again");
    if (size == 0) /* all are null */
        return true;
    if (c->values[0] > 32)
        return fail_short(c, err);
    c->runs = (parquet_runs){.width = c->values[0], .at = c->values + 1, .end = c->values_end};
    return true;
}

/* Lengths first, then the bytes. */
static bool open_lengths(parquet_column *c, parquet_delta *lengths)
{
    return parquet_delta_open(lengths, c->values, c->values_end) && parquet_delta_end(lengths, &c->values);
}

static bool open_delta(parquet_column *c, uint64_t size, vkft_err *err)
{
    bool ok;
    if (size == 0) { /* all are null */
        c->delta = c->suffix = (parquet_delta){0};
        return true;
    }
    if (c->encoding == DELTA_BINARY_PACKED)
        ok = parquet_delta_open(&c->delta, c->values, c->values_end);
    else
        ok = open_lengths(c, &c->delta) && (c->encoding == DELTA_LENGTH_BYTE_ARRAY || open_lengths(c, &c->suffix));
    return ok || fail_short(c, err);
}

bool parquet_values_open(parquet_column *c, const uint8_t *data, uint64_t size, vkft_err *err)
{
    const parquet_type type = c->field->type;
    const bool integer = type == PARQUET_INT32 || type == PARQUET_INT64;
    c->values = data;
    c->values_end = data + size;
    c->done = 0;
    c->scratch.length = 0;
    c->runs = (parquet_runs){0};
    switch (c->encoding) {
    case PLAIN: return true;
    case PLAIN_DICTIONARY:
    case RLE_DICTIONARY: return open_dictionary_values(c, size, err);
    case RLE:
        if (type != PARQUET_BOOLEAN)
            return fail_encoding(c, err);
        if (size >= 4 && read_u32(data) <= size - 4)
            c->runs = (parquet_runs){.width = 1, .at = data + 4, .end = data + 4 + read_u32(data)};
        return true;
    case DELTA_BINARY_PACKED: return integer ? open_delta(c, size, err) : fail_encoding(c, err);
    case DELTA_LENGTH_BYTE_ARRAY: return type == PARQUET_BYTE_ARRAY ? open_delta(c, size, err) : fail_encoding(c, err);
    case DELTA_BYTE_ARRAY:
        return type == PARQUET_BYTE_ARRAY || type == PARQUET_FIXED ? open_delta(c, size, err) : fail_encoding(c, err);
    case BYTE_STREAM_SPLIT:
        if (type == PARQUET_BOOLEAN || type == PARQUET_BYTE_ARRAY || type == PARQUET_INT96 ||
            parquet_type_size(c->field) == 0)
            return fail_encoding(c, err);
        return size % parquet_type_size(c->field) == 0 || fail_short(c, err);
    default: return fail_encoding(c, err);
    }
}

static bool put_scratch(parquet_column *c, const void *data, size_t size, vkft_err *err)
{
    return vkft_text_append(&c->scratch, data, size, err);
}

static bool take_scratch(const parquet_column *c, parquet_bytes *value)
{
    value->data = (const uint8_t *)c->scratch.data;
    value->length = c->scratch.length;
    return true;
}

static bool next_boolean(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    uint32_t bit;
    uint64_t plain = 0;
    if (c->encoding == RLE) {
        if (!parquet_runs_next(&c->runs, &bit))
            return fail_short(c, err);
    } else {
        if (!parquet_bits(c->values, (uint64_t)(c->values_end - c->values), c->done, 1, &plain))
            return fail_short(c, err);
        bit = (uint32_t)plain;
    }
    char byte = (char)bit;
    c->scratch.length = 0;
    return put_scratch(c, &byte, 1, err) && take_scratch(c, value);
}

static bool take_bytes(parquet_column *c, uint64_t length, parquet_bytes *value, vkft_err *err)
{
    if (length > (uint64_t)(c->values_end - c->values))
        return fail_short(c, err);
    *value = (parquet_bytes){c->values, length};
    c->values += length;
    return true;
}

static bool next_plain(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    if (c->field->type == PARQUET_BOOLEAN)
        return next_boolean(c, value, err);
    uint64_t length = parquet_type_size(c->field);
    if (c->field->type == PARQUET_BYTE_ARRAY) {
        if (!take_bytes(c, 4, value, err))
            return false;
        length = read_u32(value->data);
    }
    return take_bytes(c, length, value, err);
}

static bool next_number(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    int64_t number;
    uint8_t bytes[8];
    if (!parquet_delta_next(&c->delta, &number))
        return fail_short(c, err);
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)((uint64_t)number >> (8 * i));
    c->scratch.length = 0;
    return put_scratch(c, bytes, (size_t)parquet_type_size(c->field), err) && take_scratch(c, value);
}

/* A prefix of the value before, and what follows it. */
static bool next_with_prefix(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    int64_t prefix, suffix;
    if (!parquet_delta_next(&c->delta, &prefix) || !parquet_delta_next(&c->suffix, &suffix) || prefix < 0 ||
        suffix < 0 || (uint64_t)prefix > c->scratch.length)
        return fail_short(c, err);
    if (!take_bytes(c, (uint64_t)suffix, value, err))
        return false;
    c->scratch.length = (size_t)prefix;
    return put_scratch(c, value->data, (size_t)value->length, err) && take_scratch(c, value);
}

static bool next_split(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    uint64_t size = parquet_type_size(c->field), count = (uint64_t)(c->values_end - c->values) / size;
    if (c->done >= count)
        return fail_short(c, err);
    c->scratch.length = 0;
    for (uint64_t i = 0; i < size; i++)
        if (!put_scratch(c, c->values + i * count + c->done, 1, err))
            return false;
    return take_scratch(c, value);
}

static bool next_value(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    int64_t length;
    switch (c->encoding) {
    case PLAIN: return next_plain(c, value, err);
    case RLE: return next_boolean(c, value, err);
    case DELTA_BINARY_PACKED: return next_number(c, value, err);
    case DELTA_LENGTH_BYTE_ARRAY:
        if (!parquet_delta_next(&c->delta, &length) || length < 0)
            return fail_short(c, err);
        return take_bytes(c, (uint64_t)length, value, err);
    case DELTA_BYTE_ARRAY: return next_with_prefix(c, value, err);
    case BYTE_STREAM_SPLIT: return next_split(c, value, err);
    default: return next_from_dictionary(c, value, err);
    }
}

bool parquet_value_next(parquet_column *c, parquet_bytes *value, vkft_err *err)
{
    if (!next_value(c, value, err))
        return false;
    c->done++;
    uint64_t size = parquet_type_size(c->field);
    return c->field->type == PARQUET_BOOLEAN || c->field->type == PARQUET_BYTE_ARRAY || value->length == size ||
           fail_short(c, err);
}
