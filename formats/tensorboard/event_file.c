/* TensorBoard's event files: protocol buffers in checksummed records. See event_file.h. */
#include "formats/tensorboard/event_file.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

struct vkft_event_file {
    int fd;
    uint64_t end;
    char *path;
};

uint32_t vkft_crc32c(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

/* A message while it is encoded. After a failure it stays failed, so that only the end is checked. */
typedef struct message {
    vkft_text bytes;
    bool failed;
} message;

static void put(message *m, const void *data, size_t size)
{
    m->failed = m->failed || !vkft_text_append(&m->bytes, data, size, NULL);
}

static void put_little_endian(message *m, uint64_t x, uint32_t size)
{
    uint8_t bytes[8];
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(x >> 8 * i);
    put(m, bytes, size);
}

static void put_varint(message *m, uint64_t x)
{
    for (; x >= 0x80; x >>= 7)
        put_little_endian(m, 0x80 | (x & 0x7f), 1);
    put_little_endian(m, x, 1);
}

typedef enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 } wire_type;

static void put_key(message *m, uint32_t field, wire_type type)
{
    put_varint(m, field << 3 | (uint32_t)type);
}

/* A field that holds its type's zero is left out, as all protocol buffers of version 3 do. */
static void put_integer(message *m, uint32_t field, uint64_t x)
{
    if (!x)
        return;
    put_key(m, field, WIRE_VARINT);
    put_varint(m, x);
}

static void put_double(message *m, uint32_t field, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_key(m, field, WIRE_FIXED64);
    put_little_endian(m, bits, 8);
}

static void put_float(message *m, uint32_t field, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    put_key(m, field, WIRE_FIXED32);
    put_little_endian(m, bits, 4);
}

static void put_bytes(message *m, uint32_t field, const void *data, size_t size)
{
    put_key(m, field, WIRE_BYTES);
    put_varint(m, size);
    put(m, data, size);
}

static void put_text(message *m, uint32_t field, const char *text)
{
    put_bytes(m, field, text, strlen(text));
}

/* Takes the part over. */
static void put_message(message *m, uint32_t field, message *part)
{
    m->failed = m->failed || part->failed;
    put_bytes(m, field, part->bytes.length ? part->bytes.data : "", part->bytes.length);
    vkft_text_free(&part->bytes);
}

static message event(vkft_event_time time)
{
    message m = {0};
    put_double(&m, 1, time.wall_time);
    put_integer(&m, 2, time.step);
    return m;
}

static uint32_t masked(uint32_t crc)
{
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

/* Writes the event as a record, and takes it over. */
static bool write_record(vkft_event_file *file, message *m, vkft_err *err)
{
    message record = {.failed = m->failed};
    put_little_endian(&record, m->bytes.length, 8);
    if (!record.failed)
        put_little_endian(&record, masked(vkft_crc32c(record.bytes.data, 8)), 4);
    put(&record, m->bytes.data, m->bytes.length);
    put_little_endian(&record, masked(vkft_crc32c(m->bytes.data, m->bytes.length)), 4);
    bool ok = !record.failed || vkft_fail_memory(err, "while writing '%s'", file->path);
    if (ok && !vkft_os_write_at(file->fd, file->end, record.bytes.data, record.bytes.length))
        ok = vkft_fail_errno(err, "cannot write '%s'", file->path);
    file->end += record.bytes.length;
    vkft_text_free(&record.bytes);
    vkft_text_free(&m->bytes);
    return ok;
}

static bool sync_name(const char *path, vkft_err *err)
{
    char *dir = vkft_path_parent(path);
    bool ok = dir ? vkft_os_sync_directory(dir) || vkft_fail_errno(err, "cannot sync directory '%s'", dir)
                  : vkft_fail_memory(err, "while writing '%s'", path);
    free(dir);
    return ok;
}

vkft_event_file *vkft_event_file_create(const char *path, double wall_time, vkft_err *err)
{
    vkft_event_file *file = calloc(1, sizeof *file);
    char *copy = vkft_string_copy(path);
    if (!file || !copy) {
        free(file);
        free(copy);
        vkft_fail_memory(err, "while writing '%s'", path);
        return NULL;
    }
    *file = (vkft_event_file){.fd = vkft_os_create_new(path, false), .path = copy};
    message version = event((vkft_event_time){wall_time, 0});
    put_text(&version, 3, "brain.Event:2");
    if (file->fd < 0)
        vkft_fail_errno(err, "cannot create '%s'", path);
    else if (sync_name(path, err) && write_record(file, &version, err))
        return file;
    vkft_text_free(&version.bytes);
    vkft_event_file_close(file);
    return NULL;
}

/* Summary { value = 1, repeated: Value { tag = 1, simple_value = 2 } } */
bool vkft_event_file_scalars(vkft_event_file *file, vkft_event_time time, const vkft_event_scalar *scalars,
                             size_t count, vkft_err *err)
{
    message m = event(time), summary = {0};
    for (size_t i = 0; i < count; i++) {
        message value = {0};
        put_text(&value, 1, scalars[i].tag);
        put_float(&value, 2, scalars[i].value);
        put_message(&summary, 1, &value);
    }
    put_message(&m, 5, &summary);
    return write_record(file, &m, err);
}

/* Value { tag = 1, tensor = 8: TensorProto { dtype = 1: DT_STRING = 7, tensor_shape = 2 { dim = 2 { size = 1 } },
 * string_val = 8 }, metadata = 9: SummaryMetadata { plugin_data = 1 { plugin_name = 1 } } } */
bool vkft_event_file_text(vkft_event_file *file, vkft_event_time time, const char *tag, const char *text, vkft_err *err)
{
    message m = event(time), summary = {0}, value = {0}, tensor = {0}, shape = {0}, dim = {0}, metadata = {0},
            plugin = {0};
    put_integer(&dim, 1, 1);
    put_message(&shape, 2, &dim);
    put_integer(&tensor, 1, 7);
    put_message(&tensor, 2, &shape);
    put_text(&tensor, 8, text);
    put_text(&plugin, 1, "text");
    put_message(&metadata, 1, &plugin);
    put_text(&value, 1, tag);
    put_message(&value, 8, &tensor);
    put_message(&value, 9, &metadata);
    put_message(&summary, 1, &value);
    put_message(&m, 5, &summary);
    return write_record(file, &m, err);
}

void vkft_event_file_close(vkft_event_file *file)
{
    if (!file)
        return;
    if (file->fd >= 0) {
        vkft_os_sync(file->fd); /* where that fails, resuming writes them again */
        vkft_os_close(file->fd);
    }
    free(file->path);
    free(file);
}
