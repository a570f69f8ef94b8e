/* Keys and the table of tensors are made in memory, so that the offsets are known before the file is opened. */
#include "formats/gguf/writer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf/gguf_private.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

#define ALIGNMENT 32u /* what readers take where general.alignment is missing */

struct vkft_gguf_writer {
    vkft_text keys, tensors;
    uint64_t key_count, tensor_count;
    uint64_t *sizes; /* of the tensors, bytes */
    uint64_t capacity, bytes;
    bool failed; /* out of memory */
    vkft_writer *out;
    uint64_t at, left; /* the tensor being written, and what it lacks */
};

vkft_gguf_writer *vkft_gguf_writer_new(vkft_err *err)
{
    vkft_gguf_writer *writer = calloc(1, sizeof *writer);
    if (!writer)
        vkft_fail_memory(err, "for a GGUF file");
    return writer;
}

static void free_writer(vkft_gguf_writer *writer)
{
    vkft_text_free(&writer->keys);
    vkft_text_free(&writer->tensors);
    free(writer->sizes);
    free(writer);
}

void vkft_gguf_writer_abandon(vkft_gguf_writer *writer)
{
    if (!writer)
        return;
    vkft_writer_abandon(writer->out);
    free_writer(writer);
}

static void put_bytes(vkft_gguf_writer *w, vkft_text *text, const void *data, size_t size)
{
    w->failed = w->failed || !vkft_text_append(text, data, size, NULL);
}

static void put_little(vkft_gguf_writer *w, vkft_text *text, uint64_t value, uint32_t bytes)
{
    uint8_t data[8];
    for (uint32_t i = 0; i < bytes; i++)
        data[i] = (uint8_t)(value >> (8 * i));
    put_bytes(w, text, data, bytes);
}

static void put_text(vkft_gguf_writer *w, vkft_text *to, const char *text, size_t length)
{
    put_little(w, to, length, 8);
    put_bytes(w, to, text, length);
}

static void put_key(vkft_gguf_writer *w, const char *key, vkft_gguf_type type)
{
    put_text(w, &w->keys, key, strlen(key));
    put_little(w, &w->keys, type, 4);
    w->key_count++;
}

void vkft_gguf_put_u32(vkft_gguf_writer *writer, const char *key, uint32_t value)
{
    put_key(writer, key, VKFT_GGUF_U32);
    put_little(writer, &writer->keys, value, 4);
}

void vkft_gguf_put_f32(vkft_gguf_writer *writer, const char *key, double value)
{
    float number = (float)value;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_key(writer, key, VKFT_GGUF_F32);
    put_little(writer, &writer->keys, bits, 4);
}

void vkft_gguf_put_bool(vkft_gguf_writer *writer, const char *key, bool value)
{
    put_key(writer, key, VKFT_GGUF_BOOL);
    put_little(writer, &writer->keys, value, 1);
}

void vkft_gguf_put_string(vkft_gguf_writer *writer, const char *key, const char *text, size_t length)
{
    put_key(writer, key, VKFT_GGUF_STRING);
    put_text(writer, &writer->keys, text, length);
}

void vkft_gguf_put_array(vkft_gguf_writer *writer, const char *key, vkft_gguf_type type, uint64_t count)
{
    put_key(writer, key, VKFT_GGUF_ARRAY);
    put_little(writer, &writer->keys, type, 4);
    put_little(writer, &writer->keys, count, 8);
}

void vkft_gguf_put_element(vkft_gguf_writer *writer, const void *data, size_t size)
{
    put_bytes(writer, &writer->keys, data, size);
}

void vkft_gguf_put_element_string(vkft_gguf_writer *writer, const char *text, size_t length)
{
    put_text(writer, &writer->keys, text, length);
}

void vkft_gguf_put_copy(vkft_gguf_writer *writer, const vkft_gguf_value *value)
{
    uint64_t bytes = value->count * vkft_gguf_type_bytes(value->type), length;
    if (value->type == VKFT_GGUF_STRING) {
        bytes = 0;
        for (uint64_t i = 0; i < value->count; i++)
            vkft_gguf_string(value, &bytes, &length);
    }
    if (value->is_array)
        vkft_gguf_put_array(writer, value->key, value->type, value->count);
    else
        put_key(writer, value->key, value->type);
    put_bytes(writer, &writer->keys, value->data, (size_t)bytes);
}

void vkft_gguf_add_tensor(vkft_gguf_writer *writer, const char *name, vkft_dtype dtype, uint32_t dims,
                          const uint64_t *shape)
{
    uint64_t elements = 1;
    if (writer->tensor_count == writer->capacity) {
        uint64_t capacity = writer->capacity ? 2 * writer->capacity : 64;
        uint64_t *sizes = realloc(writer->sizes, (size_t)capacity * sizeof *sizes);
        writer->failed = writer->failed || !sizes;
        if (!sizes)
            return;
        writer->sizes = sizes;
        writer->capacity = capacity;
    }
    put_text(writer, &writer->tensors, name, strlen(name));
    put_little(writer, &writer->tensors, dims, 4);
    for (uint32_t i = 0; i < dims; i++) {
        put_little(writer, &writer->tensors, shape[dims - 1 - i], 8);
        elements *= shape[i];
    }
    put_little(writer, &writer->tensors, vkft_gguf_type_number(dtype), 4);
    put_little(writer, &writer->tensors, writer->bytes, 8);
    uint64_t size = vkft_dtype_bytes(dtype, elements);
    writer->sizes[writer->tensor_count++] = size;
    writer->bytes += ceil_div_u64(size, ALIGNMENT) * ALIGNMENT;
}

uint64_t vkft_gguf_writer_bytes(const vkft_gguf_writer *writer)
{
    return writer->bytes;
}

static bool append_zeros(vkft_gguf_writer *writer, uint64_t size, vkft_err *err)
{
    static const uint8_t zeros[ALIGNMENT];
    return vkft_writer_append(writer->out, zeros, (size_t)((ALIGNMENT - size % ALIGNMENT) % ALIGNMENT), err);
}

bool vkft_gguf_begin(vkft_gguf_writer *writer, const char *path, vkft_err *err)
{
    vkft_text head = {0};
    put_bytes(writer, &head, "GGUF", 4);
    put_little(writer, &head, 3, 4);
    put_little(writer, &head, writer->tensor_count, 8);
    put_little(writer, &head, writer->key_count, 8);
    bool ok = !writer->failed || vkft_fail_memory(err, "while writing '%s'", path);
    writer->out = ok ? vkft_writer_open(path, err) : NULL;
    const vkft_text *parts[] = {&head, &writer->keys, &writer->tensors};
    uint64_t size = 0;
    ok = writer->out != NULL;
    for (size_t i = 0; ok && i < 3; i++) {
        ok = !parts[i]->length || vkft_writer_append(writer->out, parts[i]->data, parts[i]->length, err);
        size += parts[i]->length;
    }
    vkft_text_free(&head);
    writer->left = writer->tensor_count ? writer->sizes[0] : 0;
    return ok && append_zeros(writer, size, err);
}

bool vkft_gguf_append(vkft_gguf_writer *writer, const void *data, size_t size, vkft_err *err)
{
    if (writer->at == writer->tensor_count || size > writer->left)
        return vkft_fail(err, VKFT_ERR_INPUT, "tensor %" PRIu64 " of a GGUF file has more data than was announced",
                         writer->at);
    if (!vkft_writer_append(writer->out, data, size, err))
        return false;
    writer->left -= size;
    if (writer->left)
        return true;
    if (!append_zeros(writer, writer->sizes[writer->at], err))
        return false;
    writer->at++;
    writer->left = writer->at < writer->tensor_count ? writer->sizes[writer->at] : 0;
    return true;
}

bool vkft_gguf_commit(vkft_gguf_writer *writer, vkft_err *err)
{
    bool ok = writer->at == writer->tensor_count ||
              vkft_fail(err, VKFT_ERR_INPUT, "a GGUF file has %" PRIu64 " of %" PRIu64 " tensors", writer->at,
                        writer->tensor_count);
    if (ok)
        ok = vkft_writer_commit(writer->out, err);
    else
        vkft_writer_abandon(writer->out);
    free_writer(writer);
    return ok;
}
