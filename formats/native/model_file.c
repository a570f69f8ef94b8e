/* Reading the native .vkft file. docs/vkft-format.md describes the layout and why it is so.
 *
 * The file is hostile until checked: no length is used before it was compared with the file's size, in arithmetic that
 * cannot wrap.
 */
#include "formats/native/model_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "formats/native/model_layout.h"
#include "formats/tensors/safetensors.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"

typedef struct blob {
    char *name;
    const char *data;
    size_t length;
} blob;

typedef struct entry {
    vkft_model_tensor tensor; /* first, so that a tensor's entry can be found from its address */
    uint64_t checksum;
} entry;

struct vkft_model_file {
    char *path, *source, *quantization, *info;
    vkft_mapping mapping;
    const uint8_t *data; /* where offsets count from */
    uint64_t data_size;
    vkft_config config;
    blob *blobs;
    uint32_t blob_count;
    entry *entries;
    uint32_t count;
    entry **by_name; /* sorted */
};

uint64_t vkft_model_align(uint64_t offset)
{
    return round_up(offset, VKFT_MODEL_ALIGNMENT);
}

bool vkft_model_part_bytes(vkft_storage storage, uint32_t dims, const uint64_t *shape, uint64_t *elements,
                           uint64_t bytes[VKFT_PARTS])
{
    uint64_t rows = 1, cols = dims ? shape[dims - 1] : 1;
    for (uint32_t i = 0; i + 1 < dims; i++)
        if (__builtin_mul_overflow(rows, shape[i], &rows))
            return false;
    return !__builtin_mul_overflow(rows, cols, elements) && vkft_storage_part_bytes(storage, rows, cols, bytes);
}

static bool check_object(const cJSON *object, const char *where, vkft_err *err)
{
    char buffer[96];
    return cJSON_IsObject(object) || vkft_fail(err, VKFT_ERR_INPUT, "%s: found %s, expected an object", where,
                                               vkft_json_describe(object, buffer, sizeof buffer));
}

/* Every key of the object must be in the list; an unknown one may change the meaning of what is known. */
static bool check_keys(const cJSON *object, const char *const *keys, size_t count, const char *where, vkft_err *err)
{
    if (!check_object(object, where, err))
        return false;
    for (const cJSON *item = object->child; item; item = item->next) {
        size_t i = 0;
        while (i < count && strcmp(item->string, keys[i]) != 0)
            i++;
        if (i == count)
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "%s: unknown key '%.40s'; the file was written by a newer version, convert the "
                             "checkpoint again",
                             where, item->string);
    }
    return true;
}

static bool get_hex(const cJSON *object, const char *key, uint32_t digits, uint64_t *value, const char *where,
                    vkft_err *err)
{
    const char *text = NULL;
    if (!vkft_json_get_string(object, key, true, &text, where, err))
        return false;
    *value = 0;
    size_t n = 0;
    for (; text[n] && n < digits; n++) {
        char c = text[n];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            break;
        *value = *value << 4 | (uint64_t)digit;
    }
    if (n != digits || text[n])
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: key '%s': found '%.40s', expected %" PRIu32 " hexadecimal digits",
                         where, key, text, digits);
    return true;
}

/* "offset" and "bytes" of an object: inside the file, aligned, and as long as expected (UINT64_MAX: any length). */
static bool get_range(const vkft_model_file *file, const cJSON *object, uint64_t expected, const uint8_t **data,
                      uint64_t *bytes, const char *where, vkft_err *err)
{
    uint64_t offset = 0;
    if (!vkft_json_get_u64(object, "offset", true, &offset, where, err) ||
        !vkft_json_get_u64(object, "bytes", true, bytes, where, err))
        return false;
    if (offset % VKFT_MODEL_ALIGNMENT)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: offset %" PRIu64 " is not a multiple of %d", where, offset,
                         VKFT_MODEL_ALIGNMENT);
    if (expected != UINT64_MAX && *bytes != expected)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %" PRIu64 " bytes, but its dtype and shape need %" PRIu64, where,
                         *bytes, expected);
    if (offset > file->data_size || *bytes > file->data_size - offset)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: %" PRIu64 " bytes at offset %" PRIu64 " lie outside the file of %" PRIu64
                         " bytes; it is truncated or damaged, convert the checkpoint again",
                         where, *bytes, offset, file->mapping.size);
    *data = file->data + offset;
    return true;
}

static bool parse_blob(vkft_model_file *file, const cJSON *object, vkft_err *err)
{
    static const char *const keys[] = {"name", "offset", "bytes", "checksum"};
    const char *name = NULL;
    const uint8_t *data = NULL;
    uint64_t bytes = 0, checksum = 0;
    char where[600];
    snprintf(where, sizeof where, "%.500s: blob %" PRIu32, file->path, file->blob_count);
    if (!check_keys(object, keys, 4, where, err) || !vkft_json_get_string(object, "name", true, &name, where, err) ||
        !get_range(file, object, UINT64_MAX, &data, &bytes, where, err) ||
        !get_hex(object, "checksum", 16, &checksum, where, err))
        return false;
    if (XXH3_64bits(data, (size_t)bytes) != checksum)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s ('%.60s'): the checksum does not match; the file is damaged, convert the checkpoint "
                         "again",
                         where, name);
    blob *added = &file->blobs[file->blob_count];
    added->name = vkft_string_copy(name);
    added->data = (const char *)data;
    added->length = (size_t)bytes;
    if (!added->name)
        return vkft_fail_memory(err, "while opening '%s'", file->path);
    file->blob_count++;
    return true;
}

/* The keys of a tensor's object that every type has, then those of the type's parts and offset. Returns their number.
 */
#define MAX_KEYS (6 + VKFT_PARTS)
static size_t keys_of(vkft_storage storage, const char *keys[MAX_KEYS])
{
    static const char *const common[] = {"name", "dtype", "shape", "offset", "bytes", "checksum"};
    const vkft_codec *codec = vkft_storage_get(storage)->codec;
    size_t count = sizeof common / sizeof *common;
    memcpy(keys, common, sizeof common);
    for (uint32_t part = VKFT_PART_SCALES; part < VKFT_PARTS; part++)
        if (codec->part_keys[part])
            keys[count++] = codec->part_keys[part];
    if (codec->offset_key)
        keys[count++] = codec->offset_key;
    return count;
}

/* The dtype and the keys that are there tell the type. Types that share a dtype differ in their parts: of these it is
 * the one with the most keys that are all there, so that an error speaks of the nearest. */
static bool parse_storage(const cJSON *object, vkft_storage *storage, const char *where, vkft_err *err)
{
    const char *name = NULL, *keys[MAX_KEYS];
    size_t best_found = 0;
    if (!vkft_json_get_string(object, "dtype", true, &name, where, err))
        return false;
    for (vkft_storage i = 0; i < VKFT_STORAGE_COUNT; i++) {
        if (strcmp(name, vkft_storage_get(i)->header) != 0)
            continue;
        size_t count = keys_of(i, keys), found = 0;
        for (size_t k = 0; k < count; k++)
            found += vkft_json_member(object, keys[k]) != NULL;
        if (best_found == 0 || found > best_found) {
            best_found = found;
            *storage = i;
        }
    }
    return best_found ? check_keys(object, keys, keys_of(*storage, keys), where, err)
                      : vkft_fail(err, VKFT_ERR_INPUT, "%s: unknown dtype '%.20s'", where, name);
}

static bool parse_shape(const cJSON *object, vkft_model_tensor *tensor, const char *where, vkft_err *err)
{
    const cJSON *shape = NULL;
    if (!vkft_json_get_array(object, "shape", true, &shape, where, err))
        return false;
    for (const cJSON *item = shape->child; item; item = item->next)
        if (tensor->dims == VKFT_MODEL_MAX_DIMS || !vkft_json_is_u64(item, &tensor->shape[tensor->dims++]))
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: 'shape' must be a list of at most %d whole numbers", where,
                             VKFT_MODEL_MAX_DIMS);
    return true;
}

/* The arrays past the data, and the offset. */
static bool parse_parts(const vkft_model_file *file, const cJSON *object, vkft_model_tensor *tensor, const char *where,
                        vkft_err *err)
{
    static const char *const keys[] = {"offset", "bytes"};
    const vkft_codec *codec = vkft_storage_get(tensor->storage)->codec;
    for (uint32_t part = VKFT_PART_SCALES; part < VKFT_PARTS; part++) {
        const cJSON *range = NULL;
        const uint8_t *data = NULL;
        if (!codec->part_keys[part])
            continue;
        if (!vkft_json_get_object(object, codec->part_keys[part], true, &range, where, err) ||
            !check_keys(range, keys, 2, where, err) ||
            !get_range(file, range, tensor->bytes[part], &data, &tensor->bytes[part], where, err))
            return false;
        tensor->part[part] = data;
    }
    uint64_t bits = 0;
    if (codec->offset_key && !get_hex(object, codec->offset_key, 8, &bits, where, err))
        return false;
    uint32_t bits32 = (uint32_t)bits;
    memcpy(&tensor->offset, &bits32, sizeof bits32);
    return true;
}

static bool parse_tensor(vkft_model_file *file, const cJSON *object, vkft_err *err)
{
    entry *added = &file->entries[file->count];
    vkft_model_tensor *tensor = &added->tensor;
    const char *name = NULL;
    const uint8_t *data = NULL;
    char where[800];
    snprintf(where, sizeof where, "%.500s: tensor %" PRIu32, file->path, file->count);
    if (!check_object(object, where, err) || !vkft_json_get_string(object, "name", true, &name, where, err))
        return false;
    snprintf(where, sizeof where, "%.500s: tensor '%.200s'", file->path, name);
    if (!parse_storage(object, &tensor->storage, where, err) || !parse_shape(object, tensor, where, err))
        return false;
    if (!vkft_model_part_bytes(tensor->storage, tensor->dims, tensor->shape, &tensor->elements, tensor->bytes))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: the product of 'shape' is too large", where);
    if (!get_range(file, object, tensor->bytes[VKFT_PART_DATA], &data, &tensor->bytes[VKFT_PART_DATA], where, err) ||
        !get_hex(object, "checksum", 16, &added->checksum, where, err) ||
        !parse_parts(file, object, tensor, where, err))
        return false;
    tensor->part[VKFT_PART_DATA] = data;
    tensor->name = vkft_string_copy(name);
    if (!tensor->name)
        return vkft_fail_memory(err, "while opening '%s'", file->path);
    file->count++;
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const entry *const *x = a, *const *y = b;
    return strcmp((*x)->tensor.name, (*y)->tensor.name);
}

static bool sort_names(vkft_model_file *file, vkft_err *err)
{
    for (uint32_t i = 0; i < file->count; i++)
        file->by_name[i] = &file->entries[i];
    qsort(file->by_name, file->count, sizeof *file->by_name, compare_names);
    for (uint32_t i = 1; i < file->count; i++)
        if (compare_names(&file->by_name[i - 1], &file->by_name[i]) == 0)
            return vkft_fail(err, VKFT_ERR_INPUT, "%s: tensor '%s' is listed twice", file->path,
                             file->by_name[i]->tensor.name);
    return true;
}

static bool copy_member(const cJSON *header, const char *key, char **copy, const char *where, vkft_err *err)
{
    const char *text = NULL;
    if (!vkft_json_get_string(header, key, true, &text, where, err))
        return false;
    *copy = vkft_string_copy(text);
    return *copy || vkft_fail_memory(err, "while opening '%s'", where);
}

static bool parse_header(vkft_model_file *file, const cJSON *header, vkft_err *err)
{
    static const char *const keys[] = {"source", "quantization", "blobs", "tensors", "info"};
    const cJSON *blobs = NULL, *tensors = NULL, *info = NULL;
    const char *path = file->path;
    if (!check_keys(header, keys, 5, path, err) || !copy_member(header, "source", &file->source, path, err) ||
        !copy_member(header, "quantization", &file->quantization, path, err) ||
        !vkft_json_get_array(header, "blobs", true, &blobs, path, err) ||
        !vkft_json_get_array(header, "tensors", true, &tensors, path, err) ||
        !vkft_json_get_object(header, "info", true, &info, path, err))
        return false;
    size_t blob_count = (size_t)cJSON_GetArraySize(blobs), tensor_count = (size_t)cJSON_GetArraySize(tensors);
    file->blobs = calloc(blob_count + 1, sizeof *file->blobs);
    file->entries = calloc(tensor_count + 1, sizeof *file->entries);
    file->by_name = calloc(tensor_count + 1, sizeof *file->by_name);
    char *printed = cJSON_PrintUnformatted(info);
    file->info = printed ? vkft_string_copy(printed) : NULL;
    cJSON_free(printed);
    if (!file->blobs || !file->entries || !file->by_name || !file->info)
        return vkft_fail_memory(err, "while opening '%s'", path);
    for (const cJSON *item = blobs->child; item; item = item->next)
        if (!parse_blob(file, item, err))
            return false;
    for (const cJSON *item = tensors->child; item; item = item->next)
        if (!parse_tensor(file, item, err))
            return false;
    return sort_names(file, err);
}

static uint64_t little_endian(const uint8_t *bytes, uint32_t count)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < count; i++)
        value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* Files that people give as a model and that are none. */
static bool check_kind(const char *path, const uint8_t *bytes, uint64_t size, vkft_err *err)
{
    static const char *const weights[] = {".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".npz"};
    if (size >= 4 && memcmp(bytes, "GGUF", 4) == 0)
        return vkft_fail(err, VKFT_ERR_INPUT, "'%s' is a GGUF file; expected a .vkft file", path);
    if (vkft_string_ends_with(path, ".onnx"))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "'%s' is a model for ONNX Runtime: download the safetensors of the original model", path);
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        if (vkft_string_ends_with(path, weights[i]))
            return vkft_fail(err, VKFT_ERR_INPUT,
                             "'%s' is a file of weights alone: give the directory that holds it and config.json", path);
    return true;
}

static bool read_header(vkft_model_file *file, vkft_err *err)
{
    const uint8_t *bytes = file->mapping.data;
    const uint64_t size = file->mapping.size;
    bool is_vkft = size >= VKFT_MODEL_PREFIX && memcmp(bytes, VKFT_MODEL_MAGIC, 4) == 0;
    if (!is_vkft && !check_kind(file->path, bytes, size, err))
        return false;
    if (!vkft_check_disguise(file->path, bytes, size, err))
        return false;
    if (!is_vkft)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "'%s' is not a .vkft file: it does not begin with \"" VKFT_MODEL_MAGIC "\"", file->path);
    uint64_t version = little_endian(bytes + 4, 4), length = little_endian(bytes + 8, 8);
    if (version != VKFT_MODEL_VERSION)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "'%s' has version %" PRIu64 " of the .vkft format, this program reads version %d; convert "
                         "the checkpoint again",
                         file->path, version, VKFT_MODEL_VERSION);
    if (length > VKFT_MODEL_MAX_HEADER || length > size - VKFT_MODEL_PREFIX)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the header needs %" PRIu64 " bytes, but the file has only %" PRIu64
                         "; it is truncated or damaged, convert the checkpoint again",
                         file->path, length, size);
    const char *text = (const char *)bytes + VKFT_MODEL_PREFIX;
    if (XXH3_64bits(text, (size_t)length) != little_endian(bytes + 16, 8))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the header's checksum does not match; the file is damaged, convert the checkpoint again",
                         file->path);
    uint64_t data_start = vkft_model_align(VKFT_MODEL_PREFIX + length);
    file->data_size = size > data_start ? size - data_start : 0;
    file->data = bytes + (file->data_size ? data_start : 0);
    cJSON *header = vkft_json_parse(text, (size_t)length, file->path, err);
    bool ok = header && parse_header(file, header, err);
    cJSON_Delete(header);
    return ok;
}

static bool read_config(vkft_model_file *file, vkft_err *err)
{
    size_t length = 0;
    const char *text = vkft_model_file_blob(file, "config.json", &length);
    char where[600];
    snprintf(where, sizeof where, "%.500s: config.json", file->path);
    if (!text)
        return vkft_fail(err, VKFT_ERR_INPUT, "%s is missing", where);
    return vkft_config_parse(text, length, where, &file->config, err);
}

bool vkft_model_fail_missing(const char *path, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_IO,
                     "'%s' does not exist; expected a .vkft file or a Hugging Face checkpoint directory, or a name on "
                     "the hub: OWNER/NAME",
                     path);
}

vkft_model_file *vkft_model_file_open(const char *path, vkft_err *err)
{
    vkft_model_file *file = calloc(1, sizeof *file);
    if (!file || !(file->path = vkft_string_copy(path))) {
        vkft_fail_memory(err, "while opening '%s'", path);
        goto fail;
    }
    if (!vkft_mapping_open(path, &file->mapping, err) || !read_header(file, err) || !read_config(file, err))
        goto fail;
    return file;
fail:
    vkft_model_file_close(file);
    return NULL;
}

bool vkft_model_file_is_mine(const vkft_model_file *file)
{
    return file->mapping.is_mine;
}

void vkft_model_file_close(vkft_model_file *file)
{
    if (!file)
        return;
    for (uint32_t i = 0; i < file->blob_count; i++)
        free(file->blobs[i].name);
    for (uint32_t i = 0; i < file->count; i++)
        free((char *)(uintptr_t)file->entries[i].tensor.name);
    free(file->blobs);
    free(file->entries);
    free(file->by_name);
    free(file->path);
    free(file->source);
    free(file->quantization);
    free(file->info);
    vkft_mapping_close(&file->mapping);
    free(file);
}

const char *vkft_model_file_path(const vkft_model_file *file)
{
    return file->path;
}

const vkft_config *vkft_model_file_config(const vkft_model_file *file)
{
    return &file->config;
}

const char *vkft_model_file_source(const vkft_model_file *file)
{
    return file->source;
}

const char *vkft_model_file_quantization(const vkft_model_file *file)
{
    return file->quantization;
}

const char *vkft_model_file_info(const vkft_model_file *file)
{
    return file->info;
}

uint32_t vkft_model_file_tensor_count(const vkft_model_file *file)
{
    return file->count;
}

const vkft_model_tensor *vkft_model_file_tensor(const vkft_model_file *file, uint32_t index)
{
    return index < file->count ? &file->entries[index].tensor : NULL;
}

const vkft_model_tensor *vkft_model_file_find(const vkft_model_file *file, const char *name)
{
    uint32_t low = 0, high = file->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = strcmp(name, file->by_name[middle]->tensor.name);
        if (order == 0)
            return &file->by_name[middle]->tensor;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

void vkft_model_tensor_decode(const vkft_model_tensor *tensor, float *values)
{
    uint64_t cols = tensor->dims ? tensor->shape[tensor->dims - 1] : 1;
    vkft_stored stored = {
        .storage = tensor->storage, .rows = cols ? tensor->elements / cols : 0, .cols = cols, .offset = tensor->offset};
    memcpy(stored.part, tensor->part, sizeof stored.part);
    vkft_storage_get(tensor->storage)->codec->decode(&stored, values);
}

const char *vkft_model_file_blob(const vkft_model_file *file, const char *name, size_t *length)
{
    for (uint32_t i = 0; i < file->blob_count; i++) {
        if (strcmp(file->blobs[i].name, name) == 0) {
            *length = file->blobs[i].length;
            return file->blobs[i].data;
        }
    }
    *length = 0;
    return NULL;
}

uint32_t vkft_model_file_blob_count(const vkft_model_file *file)
{
    return file->blob_count;
}

const char *vkft_model_file_blob_name(const vkft_model_file *file, uint32_t index)
{
    return index < file->blob_count ? file->blobs[index].name : NULL;
}

uint64_t vkft_model_file_hash(const vkft_model_file *file)
{
    size_t length = 0;
    const char *config = vkft_model_file_blob(file, "config.json", &length);
    uint64_t hash = config ? XXH3_64bits(config, length) : 0;
    for (uint32_t i = 0; i < file->count; i++) {
        const entry *e = &file->entries[i];
        hash = XXH3_64bits_withSeed(e->tensor.name, strlen(e->tensor.name), hash);
        hash = XXH3_64bits_withSeed(&e->checksum, sizeof e->checksum, hash);
    }
    return hash;
}

bool vkft_model_file_verify(const vkft_model_file *file, const vkft_model_tensor *tensor, vkft_err *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return vkft_fail_memory(err, "while opening '%s'", file->path);
    XXH3_64bits_reset(state);
    for (uint32_t part = 0; part < VKFT_PARTS; part++)
        if (tensor->part[part])
            XXH3_64bits_update(state, tensor->part[part], (size_t)tensor->bytes[part]);
    if (vkft_storage_get(tensor->storage)->codec->offset_key)
        XXH3_64bits_update(state, &tensor->offset, sizeof tensor->offset);
    uint64_t computed = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    uint64_t stored = ((const entry *)(const void *)tensor)->checksum;
    if (computed != stored)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: tensor '%s' is damaged: checksum %016" PRIx64 ", expected %016" PRIx64
                         "; convert the checkpoint again",
                         file->path, tensor->name, computed, stored);
    return true;
}
