/* Streaming writer of .vkft files. The header is rendered twice, first with zero checksums to learn its length (which
 * does not change: checksums and offsets of scales have a fixed number of digits), then with the real ones. */
#include "formats/native/model_writer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"

typedef struct item {
    uint64_t offset[VKFT_PARTS]; /* from the start of the data */
    uint64_t bytes[VKFT_PARTS];
    uint64_t written[VKFT_PARTS];
    uint64_t checksum;
    float scale_offset;
} item;

struct vkft_model_writer {
    vkft_writer *out;
    const char *path, *source, *quantization, *info;
    const vkft_model_blob_spec *blobs;
    uint32_t blob_count;
    const vkft_model_spec *specs;
    uint32_t count;
    item *blob_items, *items;
    uint64_t data_start, data_end;
    size_t header_length;
    XXH3_state_t *hash; /* of the tensor being written */
};

/* Where the next array goes. An empty one lies nowhere in particular, but inside the file. */
static uint64_t place(vkft_model_writer *writer, uint64_t bytes)
{
    if (!bytes)
        return 0;
    uint64_t offset = vkft_model_align(writer->data_end);
    writer->data_end = offset + bytes;
    return offset;
}

static bool lay_out(vkft_model_writer *writer, vkft_err *err)
{
    for (uint32_t i = 0; i < writer->blob_count; i++) {
        writer->blob_items[i].bytes[0] = writer->blobs[i].size;
        writer->blob_items[i].offset[0] = place(writer, writer->blobs[i].size);
        writer->blob_items[i].checksum = XXH3_64bits(writer->blobs[i].data, writer->blobs[i].size);
    }
    for (uint32_t i = 0; i < writer->count; i++) {
        const vkft_model_spec *spec = &writer->specs[i];
        uint64_t elements;
        item *to = &writer->items[i];
        if (!vkft_model_part_bytes(spec->storage, spec->dims, spec->shape, &elements, to->bytes))
            return vkft_fail(err, VKFT_ERR_INPUT, "tensor '%s': the product of its shape is too large", spec->name);
        for (int part = 0; part < VKFT_PARTS; part++)
            if (part == VKFT_PART_DATA || to->bytes[part])
                to->offset[part] = place(writer, to->bytes[part]);
    }
    return true;
}

static bool add_range(cJSON *object, uint64_t offset, uint64_t bytes)
{
    return cJSON_AddNumberToObject(object, "offset", (double)offset) &&
           cJSON_AddNumberToObject(object, "bytes", (double)bytes);
}

static bool add_hex(cJSON *object, const char *key, uint64_t value, int digits)
{
    char text[20];
    snprintf(text, sizeof text, "%0*" PRIx64, digits, value);
    return cJSON_AddStringToObject(object, key, text);
}

static cJSON *add_item(cJSON *list)
{
    cJSON *object = cJSON_CreateObject();
    if (object && !cJSON_AddItemToArray(list, object)) {
        cJSON_Delete(object);
        object = NULL;
    }
    return object;
}

static bool describe_tensor(cJSON *list, const vkft_model_spec *spec, const item *from)
{
    const vkft_storage_type *type = vkft_storage_get(spec->storage);
    cJSON *object = add_item(list);
    if (!cJSON_AddStringToObject(object, "name", spec->name) || !cJSON_AddStringToObject(object, "dtype", type->header))
        return false;
    cJSON *shape = cJSON_AddArrayToObject(object, "shape");
    for (uint32_t i = 0; i < spec->dims; i++)
        if (!cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)spec->shape[i])))
            return false;
    if (!shape || !add_range(object, from->offset[0], from->bytes[0]) ||
        !add_hex(object, "checksum", from->checksum, 16))
        return false;
    for (int part = VKFT_PART_SCALES; part < VKFT_PARTS; part++)
        if (type->codec->part_keys[part] && !add_range(cJSON_AddObjectToObject(object, type->codec->part_keys[part]),
                                                       from->offset[part], from->bytes[part]))
            return false;
    uint32_t bits;
    memcpy(&bits, &from->scale_offset, sizeof bits);
    return !type->codec->offset_key || add_hex(object, type->codec->offset_key, bits, 8);
}

/* The header's text, malloc'ed by cJSON; NULL when out of memory. */
static char *render_header(const vkft_model_writer *writer)
{
    cJSON *root = cJSON_CreateObject();
    bool ok = cJSON_AddStringToObject(root, "source", writer->source) &&
              cJSON_AddStringToObject(root, "quantization", writer->quantization);
    cJSON *blobs = cJSON_AddArrayToObject(root, "blobs");
    for (uint32_t i = 0; ok && i < writer->blob_count; i++) {
        const item *from = &writer->blob_items[i];
        cJSON *object = add_item(blobs);
        ok = cJSON_AddStringToObject(object, "name", writer->blobs[i].name) &&
             add_range(object, from->offset[0], from->bytes[0]) && add_hex(object, "checksum", from->checksum, 16);
    }
    cJSON *tensors = cJSON_AddArrayToObject(root, "tensors");
    for (uint32_t i = 0; ok && i < writer->count; i++)
        ok = describe_tensor(tensors, &writer->specs[i], &writer->items[i]);
    ok = ok && blobs && tensors && cJSON_AddRawToObject(root, "info", writer->info);
    char *text = ok ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

static bool measure_header(vkft_model_writer *writer, vkft_err *err)
{
    char *text = render_header(writer);
    if (!text)
        return vkft_fail_memory(err, "while writing '%s'", writer->path);
    writer->header_length = strlen(text);
    cJSON_free(text);
    writer->data_start = vkft_model_align(VKFT_MODEL_PREFIX + writer->header_length);
    return true;
}

static bool write_header(vkft_model_writer *writer, vkft_err *err)
{
    char *text = render_header(writer);
    if (!text)
        return vkft_fail_memory(err, "while writing '%s'", writer->path);
    uint8_t prefix[VKFT_MODEL_PREFIX];
    const uint64_t numbers[] = {writer->header_length, XXH3_64bits(text, writer->header_length)};
    memcpy(prefix, VKFT_MODEL_MAGIC, 4);
    for (uint32_t i = 0; i < 4; i++)
        prefix[4 + i] = (uint8_t)(VKFT_MODEL_VERSION >> (8 * i));
    for (uint32_t i = 0; i < 16; i++)
        prefix[8 + i] = (uint8_t)(numbers[i / 8] >> (8 * (i % 8)));
    bool ok = vkft_writer_write_at(writer->out, 0, prefix, sizeof prefix, err) &&
              vkft_writer_write_at(writer->out, sizeof prefix, text, writer->header_length, err);
    cJSON_free(text);
    return ok;
}

vkft_model_writer *vkft_model_writer_open(const char *path, const char *source, const char *quantization,
                                          const char *info, const vkft_model_blob_spec *blobs, uint32_t blob_count,
                                          const vkft_model_spec *specs, uint32_t count, vkft_err *err)
{
    vkft_model_writer *writer = calloc(1, sizeof *writer);
    if (!writer) {
        vkft_fail_memory(err, "while writing '%s'", path);
        return NULL;
    }
    *writer = (vkft_model_writer){.path = path,
                                  .source = source,
                                  .quantization = quantization,
                                  .info = info,
                                  .blobs = blobs,
                                  .blob_count = blob_count,
                                  .specs = specs,
                                  .count = count};
    writer->blob_items = calloc((size_t)blob_count + 1, sizeof *writer->blob_items);
    writer->items = calloc((size_t)count + 1, sizeof *writer->items);
    writer->hash = XXH3_createState();
    if (!writer->blob_items || !writer->items || !writer->hash) {
        vkft_fail_memory(err, "while writing '%s'", writer->path);
        goto fail;
    }
    XXH3_64bits_reset(writer->hash);
    if (!lay_out(writer, err) || !measure_header(writer, err) || !(writer->out = vkft_writer_open(path, err)))
        goto fail;
    for (uint32_t i = 0; i < blob_count; i++)
        if (!vkft_writer_write_at(writer->out, writer->data_start + writer->blob_items[i].offset[0], blobs[i].data,
                                  blobs[i].size, err))
            goto fail;
    return writer;
fail:
    vkft_model_writer_abandon(writer);
    return NULL;
}

bool vkft_model_writer_append(vkft_model_writer *writer, uint32_t tensor, vkft_part part, const void *data, size_t size,
                              vkft_err *err)
{
    item *to = &writer->items[tensor];
    uint64_t offset = writer->data_start + to->offset[part] + to->written[part];
    to->written[part] += size;
    XXH3_64bits_update(writer->hash, data, size);
    return vkft_writer_write_at(writer->out, offset, data, size, err);
}

void vkft_model_writer_end(vkft_model_writer *writer, uint32_t tensor, float offset)
{
    item *to = &writer->items[tensor];
    if (vkft_storage_get(writer->specs[tensor].storage)->codec->offset_key) {
        to->scale_offset = offset;
        XXH3_64bits_update(writer->hash, &offset, sizeof offset);
    }
    to->checksum = XXH3_64bits_digest(writer->hash);
    XXH3_64bits_reset(writer->hash);
}

/* Every announced byte was written, else the file would hold zeros under a valid checksum. */
static bool check_complete(const vkft_model_writer *writer, vkft_err *err)
{
    for (uint32_t i = 0; i < writer->count; i++)
        for (int part = 0; part < VKFT_PARTS; part++)
            if (writer->items[i].written[part] != writer->items[i].bytes[part])
                return vkft_fail(err, VKFT_ERR_INPUT,
                                 "'%s': tensor '%s': %" PRIu64 " bytes of its part %d were written, %" PRIu64
                                 " were announced",
                                 writer->path, writer->specs[i].name, writer->items[i].written[part], part,
                                 writer->items[i].bytes[part]);
    return true;
}

static void free_writer(vkft_model_writer *writer)
{
    XXH3_freeState(writer->hash);
    free(writer->blob_items);
    free(writer->items);
    free(writer);
}

bool vkft_model_writer_commit(vkft_model_writer *writer, vkft_err *err)
{
    bool ok = check_complete(writer, err) && write_header(writer, err);
    if (ok)
        ok = vkft_writer_commit(writer->out, err);
    else
        vkft_writer_abandon(writer->out);
    free_writer(writer);
    return ok;
}

void vkft_model_writer_abandon(vkft_model_writer *writer)
{
    if (!writer)
        return;
    vkft_writer_abandon(writer->out);
    free_writer(writer);
}
