/* Thrift's compact protocol, as far as Parquet's metadata needs it. */
#include "formats/parquet/parquet_private.h"

enum { MAX_DEPTH = 32 };

bool parquet_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (uint32_t shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return true;
    }
    return false;
}

int64_t parquet_zigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static uint64_t fail(thrift *t)
{
    t->failed = true;
    t->at = t->size;
    return 0;
}

static uint8_t read_byte(thrift *t)
{
    return t->at < t->size ? t->data[t->at++] : (uint8_t)fail(t);
}

static uint64_t read_varint(thrift *t)
{
    const uint8_t *at = t->data + t->at;
    uint64_t value;
    if (!parquet_varint(&at, t->data + t->size, &value))
        return fail(t);
    t->at = (uint64_t)(at - t->data);
    return value;
}

static void skip_bytes(thrift *t, uint64_t count)
{
    if (count > t->size - t->at)
        fail(t);
    else
        t->at += count;
}

bool thrift_next(thrift *t, thrift_field *field)
{
    uint8_t header = read_byte(t);
    field->type = header & 15;
    if (field->type == 0)
        return false;
    if (header >> 4)
        field->id += header >> 4;
    else
        field->id = (int32_t)(int16_t)parquet_zigzag(read_varint(t));
    return !t->failed;
}

/* The header of a list: every element has at least one byte, so no more are claimed than can be there. */
static uint64_t read_list(thrift *t, int *type)
{
    uint8_t header = read_byte(t);
    uint64_t count = header >> 4;
    *type = header & 15;
    if (count == 15)
        count = read_varint(t);
    return count <= t->size - t->at ? count : fail(t);
}

static void skip_value(thrift *t, int type, bool in_list, uint32_t depth)
{
    thrift_field field = {0};
    int key, value;
    uint64_t count;
    if (depth > MAX_DEPTH) {
        fail(t);
        return;
    }
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE: skip_bytes(t, in_list); break; /* a field's header has the value */
    case THRIFT_I8: skip_bytes(t, 1); break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64: read_varint(t); break;
    case THRIFT_DOUBLE: skip_bytes(t, 8); break;
    case THRIFT_BINARY: skip_bytes(t, read_varint(t)); break;
    case THRIFT_LIST:
    case THRIFT_SET:
        for (count = read_list(t, &value); count > 0 && !t->failed; count--)
            skip_value(t, value, true, depth + 1);
        break;
    case THRIFT_MAP:
        count = read_varint(t);
        key = count ? read_byte(t) : 0;
        for (; count > 0 && !t->failed; count--) {
            skip_value(t, key >> 4, true, depth + 1);
            skip_value(t, key & 15, true, depth + 1);
        }
        break;
    case THRIFT_STRUCT:
        while (thrift_next(t, &field))
            skip_value(t, field.type, false, depth + 1);
        break;
    default: fail(t);
    }
}

void thrift_skip(thrift *t, const thrift_field *field)
{
    skip_value(t, field->type, false, 0);
}

void thrift_i64(thrift *t, const thrift_field *field, int64_t *value)
{
    if (field->type == THRIFT_I8)
        *value = (int8_t)read_byte(t);
    else if (field->type >= THRIFT_I16 && field->type <= THRIFT_I64)
        *value = parquet_zigzag(read_varint(t));
    else
        thrift_skip(t, field);
}

void thrift_i32(thrift *t, const thrift_field *field, int32_t *value)
{
    int64_t wide = *value;
    thrift_i64(t, field, &wide);
    if (wide < INT32_MIN || wide > INT32_MAX)
        fail(t);
    else
        *value = (int32_t)wide;
}

void thrift_bool(thrift *t, const thrift_field *field, bool *value)
{
    if (field->type == THRIFT_TRUE || field->type == THRIFT_FALSE)
        *value = field->type == THRIFT_TRUE;
    else
        thrift_skip(t, field);
}

void thrift_binary(thrift *t, const thrift_field *field, const uint8_t **bytes, uint64_t *length)
{
    if (field->type != THRIFT_BINARY) {
        thrift_skip(t, field);
        return;
    }
    uint64_t size = read_varint(t), at = t->at;
    skip_bytes(t, size);
    if (t->failed)
        return;
    *bytes = t->data + at;
    *length = size;
}

uint64_t thrift_structs(thrift *t, const thrift_field *field)
{
    int type = 0;
    uint64_t at = t->at, count = field->type == THRIFT_LIST ? read_list(t, &type) : 0;
    if (type == THRIFT_STRUCT)
        return count;
    t->at = at;
    thrift_skip(t, field);
    return 0;
}

bool thrift_struct(thrift *t, const thrift_field *field)
{
    if (field->type == THRIFT_STRUCT)
        return true;
    thrift_skip(t, field);
    return false;
}
