/* The safetensors format: u64 header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data without
 * gaps.
 *
 * The file is hostile until checked: every length is compared with the file's size before use, products are checked for
 * overflow, and the tensors must tile the data exactly, as the format demands, so no two tensors can share bytes.
 */
#include "formats/tensors/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json.h"

#define MAX_HEADER 100000000 /* the format's own limit */

static const vkft_dtype known_dtypes[] = {VKFT_F32, VKFT_F16, VKFT_BF16, VKFT_F64,  VKFT_U8,     VKFT_I8,
                                          VKFT_I16, VKFT_I32, VKFT_I64,  VKFT_BOOL, VKFT_F8_E4M3};

static bool parse_dtype(const char *path, const cJSON *entry, vkft_dtype *dtype, vkft_err *err)
{
    const char *name = NULL;
    if (!vkft_json_get_string(entry, "dtype", true, &name, path, err))
        return false;
    for (size_t i = 0; i < sizeof known_dtypes / sizeof *known_dtypes; i++) {
        if (strcmp(name, vkft_dtype_name(known_dtypes[i])) == 0) {
            *dtype = known_dtypes[i];
            return true;
        }
    }
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: dtype '%.20s' is not supported; supported are F32, F16, BF16, F64, F8_E4M3 and integers",
                     path, name);
}

static bool parse_shape(const char *where, const cJSON *entry, vkft_file_tensor *tensor, vkft_err *err)
{
    const cJSON *shape = NULL;
    if (!vkft_json_get_array(entry, "shape", true, &shape, where, err))
        return false;
    tensor->elements = 1;
    bool overflow = false;
    for (const cJSON *item = shape->child; item; item = item->next) {
        uint64_t size;
        if (tensor->dims == VKFT_TENSOR_MAX_DIMS)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: more than %d dimensions", where, VKFT_TENSOR_MAX_DIMS);
        if (!vkft_json_is_u64(item, &size))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: 'shape' must be a list of whole numbers", where);
        tensor->shape[tensor->dims++] = size;
        overflow |= __builtin_mul_overflow(tensor->elements, size, &tensor->elements);
    }
    uint64_t bits;
    if (overflow || __builtin_mul_overflow(tensor->elements, (uint64_t)vkft_dtype_bits(tensor->dtype), &bits))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: the product of 'shape' is too large", where);
    tensor->bytes = bits / 8;
    return true;
}

static bool parse_offsets(const char *where, const cJSON *entry, uint64_t data_start, uint64_t file_size,
                          vkft_file_tensor *tensor, vkft_err *err)
{
    const cJSON *offsets = NULL;
    uint64_t begin, end;
    if (!vkft_json_get_array(entry, "data_offsets", true, &offsets, where, err))
        return false;
    if (cJSON_GetArraySize(offsets) != 2 || !vkft_json_is_u64(offsets->child, &begin) ||
        !vkft_json_is_u64(offsets->child->next, &end) || begin > end)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: 'data_offsets' must be two ascending whole numbers", where);
    if (end - begin != tensor->bytes)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: 'data_offsets' hold %" PRIu64 " bytes, but dtype and shape need %" PRIu64, where,
                         end - begin, tensor->bytes);
    if (end > file_size - data_start)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: its data ends at byte %" PRIu64 ", but the file has only %" PRIu64
                         " bytes: it is truncated; copy or download it again",
                         where, data_start + end, file_size);
    tensor->offset = data_start + begin;
    return true;
}

static bool parse_tensor(const vkft_tensor_file *file, const cJSON *entry, uint64_t data_start,
                         vkft_file_tensor *tensor, vkft_err *err)
{
    char where[700];
    snprintf(where, sizeof where, "%.400s: tensor '%.200s'", file->path, entry->string);
    if (!cJSON_IsObject(entry))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: expected an object with dtype, shape and data_offsets", where);
    if (!parse_dtype(where, entry, &tensor->dtype, err) || !parse_shape(where, entry, tensor, err) ||
        !parse_offsets(where, entry, data_start, file->mapping.size, tensor, err))
        return false;
    tensor->name = malloc(strlen(entry->string) + 1);
    if (!tensor->name)
        return vkft_fail_memory(err, "while reading %s", where);
    strcpy(tensor->name, entry->string);
    return true;
}

static int compare_offsets(const void *a, const void *b)
{
    const vkft_file_tensor *x = a, *y = b;
    uint64_t x_end = x->offset + x->bytes,
             y_end = y->offset + y->bytes; /* empty tensors go before what starts at the same place */
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x_end < y_end ? -1 : x_end > y_end;
}

/* The data must be covered exactly once, and names must be unique. */
static bool check_tiling(vkft_tensor_file *file, uint64_t data_start, vkft_err *err)
{
    uint64_t end = data_start;
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_offsets);
    for (uint32_t i = 0; i < file->count; i++) {
        const vkft_file_tensor *tensor = &file->tensors[i];
        if (tensor->offset != end)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: tensor '%s' starts at byte %" PRIu64 ", but the one before it ends at %" PRIu64,
                             file->path, tensor->name, tensor->offset, end);
        end += tensor->bytes;
    }
    if (end != file->mapping.size)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the last tensor ends at byte %" PRIu64 ", but the file has %" PRIu64 " bytes", file->path,
                         end, file->mapping.size);
    return vkft_tensor_file_index(file, err);
}

static bool parse_header(vkft_tensor_file *file, const cJSON *header, uint64_t data_start, vkft_err *err)
{
    size_t entries = (size_t)cJSON_GetArraySize(header);
    file->tensors = calloc(entries + 1, sizeof *file->tensors);
    file->by_name = calloc(entries + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return vkft_fail_memory(err, "while reading %s", file->path);
    for (const cJSON *entry = header->child; entry; entry = entry->next) {
        if (strcmp(entry->string, "__metadata__") == 0)
            continue;
        vkft_file_tensor *tensor = &file->tensors[file->count++];
        if (!parse_tensor(file, entry, data_start, tensor, err))
            return false;
    }
    return check_tiling(file, data_start, err);
}

static bool read_header(vkft_tensor_file *file, vkft_err *err)
{
    const uint8_t *data = file->mapping.data;
    uint64_t size = file->mapping.size, length = 0;
    char where[512];
    if (!vkft_check_disguise(file->path, data, size, err))
        return false;
    if (size < 8)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: %" PRIu64 " bytes are too few for a safetensors file; download it again", file->path,
                         size);
    for (uint32_t i = 0; i < 8; i++)
        length |= (uint64_t)data[i] << (8 * i);
    if (length > MAX_HEADER)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: a header of %" PRIu64 " bytes: this is not a safetensors file",
                         file->path, length);
    if (length > size - 8)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the header needs %" PRIu64 " bytes, but the file has only %" PRIu64
                         ": it is truncated; copy or download it again",
                         file->path, length + 8, size);
    snprintf(where, sizeof where, "%.450s: header", file->path);
    cJSON *header = vkft_json_parse((const char *)data + 8, (size_t)length, where, err);
    if (!header)
        return false;
    bool ok = cJSON_IsObject(header) ? parse_header(file, header, 8 + length, err)
                                     : vkft_fail(err, VKFT_ERR_INPUT, "%s: expected an object", where);
    cJSON_Delete(header);
    return ok;
}

bool vkft_safetensors_open(const char *path, vkft_tensor_file *file, vkft_err *err)
{
    *file = (vkft_tensor_file){0};
    if (!vkft_mapping_open(path, &file->mapping, err))
        return false;
    file->path = malloc(strlen(path) + 1);
    bool ok = file->path || vkft_fail_memory(err, "while opening '%s'", path);
    if (ok) {
        strcpy(file->path, path);
        ok = read_header(file, err);
    }
    if (!ok)
        vkft_tensor_file_close(file);
    return ok;
}

struct vkft_safetensors_writer {
    vkft_writer *out;
    char *path;
    uint64_t expected, written; /* bytes of data */
};

static bool add_entry(cJSON *header, const vkft_safetensors_spec *spec, uint64_t *end)
{
    uint64_t elements = 1, begin = *end;
    cJSON *entry = cJSON_AddObjectToObject(header, spec->name);
    if (!entry || !cJSON_AddStringToObject(entry, "dtype", vkft_dtype_name(spec->dtype)))
        return false;
    cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
    for (uint32_t i = 0; i < spec->dims; i++) {
        elements *= spec->shape[i];
        if (!cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)spec->shape[i])))
            return false;
    }
    *end += elements * vkft_dtype_bits(spec->dtype) / 8;
    cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
    return shape && cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)begin)) &&
           cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)*end));
}

/* The header's text, malloc'ed by cJSON. */
static char *make_header(const vkft_safetensors_spec *specs, uint32_t count, uint64_t *data_bytes)
{
    cJSON *header = cJSON_CreateObject();
    cJSON *metadata = cJSON_AddObjectToObject(header, "__metadata__");
    bool ok = cJSON_AddStringToObject(metadata, "format", "pt") != NULL;
    for (uint32_t i = 0; ok && i < count; i++)
        ok = add_entry(header, &specs[i], data_bytes);
    char *text = ok ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    return text;
}

/* Length, text, and spaces up to a multiple of 8, so that the data is aligned. */
static bool write_header(vkft_writer *out, const char *text, vkft_err *err)
{
    static const char spaces[8] = "        ";
    size_t length = strlen(text), padding = (8 - length % 8) % 8;
    uint8_t prefix[8];
    for (uint32_t i = 0; i < 8; i++)
        prefix[i] = (uint8_t)((uint64_t)(length + padding) >> (8 * i));
    return vkft_writer_append(out, prefix, sizeof prefix, err) && vkft_writer_append(out, text, length, err) &&
           vkft_writer_append(out, spaces, padding, err);
}

vkft_safetensors_writer *vkft_safetensors_create(const char *path, const vkft_safetensors_spec *specs, uint32_t count,
                                                 vkft_err *err)
{
    vkft_safetensors_writer *writer = calloc(1, sizeof *writer);
    char *header = writer ? make_header(specs, count, &writer->expected) : NULL;
    bool ok = header && (writer->path = malloc(strlen(path) + 1));
    if (!ok)
        vkft_fail_memory(err, "while writing '%s'", path);
    if (ok) {
        strcpy(writer->path, path);
        writer->out = vkft_writer_open(path, err);
        ok = writer->out && write_header(writer->out, header, err);
    }
    cJSON_free(header);
    if (!ok) {
        vkft_safetensors_abandon(writer);
        return NULL;
    }
    return writer;
}

bool vkft_safetensors_append(vkft_safetensors_writer *writer, const void *data, size_t size, vkft_err *err)
{
    writer->written += size;
    return vkft_writer_append(writer->out, data, size, err);
}

static void free_writer(vkft_safetensors_writer *writer)
{
    free(writer->path);
    free(writer);
}

bool vkft_safetensors_commit(vkft_safetensors_writer *writer, vkft_err *err)
{
    bool ok =
        writer->written == writer->expected ||
        vkft_fail(err, VKFT_ERR_INPUT, "'%s': %" PRIu64 " bytes of tensors were written, %" PRIu64 " were announced",
                  writer->path, writer->written, writer->expected);
    if (ok) {
        ok = vkft_writer_commit(writer->out, err);
    } else {
        vkft_writer_abandon(writer->out);
    }
    free_writer(writer);
    return ok;
}

void vkft_safetensors_abandon(vkft_safetensors_writer *writer)
{
    if (!writer)
        return;
    vkft_writer_abandon(writer->out);
    free_writer(writer);
}
