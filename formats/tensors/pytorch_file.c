/* From the values of the pickle to tensors: where each storage's data lies, and which part of it a tensor is.
 *
 * Today's format is an archive with NAME/data.pkl, NAME/data/<key> per storage and NAME/byteorder. The older one is a
 * sequence of pickles (magic number, protocol, system, state dict, storage keys) followed by each storage: an i64 count
 * and the elements.
 *
 * Source: torch/serialization.py. Test: test_pytorch_file
 */
#include "formats/tensors/pytorch_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/pickle.h"
#include "formats/tensors/zip.h"
#include "runtime/base/size.h"

/* Where a storage's data lies. */
typedef struct storage {
    const char *key;
    uint32_t key_length;
    uint64_t offset, bytes;
} storage;

typedef struct reader {
    vkft_tensor_file *file;
    vkft_pickle pickle;
    vkft_zip zip;
    const char *folder; /* of the archive, with its slash */
    uint32_t folder_length;
    storage *storages; /* of the older format */
    uint32_t storage_count;
    vkft_err *err;
} reader;

static const vkft_pickle_value *value(const reader *r, uint32_t number)
{
    return &r->pickle.values[number];
}

static bool find_in_archive(const reader *r, const vkft_pickle_value *wanted, storage *found)
{
    char name[256];
    int length = snprintf(name, sizeof name, "%.*sdata/%.*s", (int)r->folder_length, r->folder,
                          (int)wanted->text_length, wanted->text);
    const vkft_zip_entry *entry =
        length > 0 && (size_t)length < sizeof name ? vkft_zip_find(&r->zip, name, (size_t)length) : NULL;
    if (entry)
        *found = (storage){.offset = entry->offset, .bytes = entry->size};
    return entry != NULL;
}

static int compare_keys(const storage *a, const char *key, uint32_t length)
{
    if (a->key_length != length)
        return a->key_length < length ? -1 : 1;
    return memcmp(a->key, key, length);
}

static int compare_storages(const void *a, const void *b)
{
    const storage *y = b;
    return compare_keys(a, y->key, y->key_length);
}

static bool find_in_list(const reader *r, const vkft_pickle_value *wanted, storage *found)
{
    uint32_t low = 0, high = r->storage_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_keys(&r->storages[middle], wanted->text, wanted->text_length);
        if (order == 0) {
            *found = r->storages[middle];
            return true;
        }
        if (order > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}

/* Size and stride tuples to shape; t->column_major when the columns are contiguous instead of the rows. */
static bool read_shape(const reader *r, const vkft_pickle_value *size, const vkft_pickle_value *stride,
                       vkft_file_tensor *t, const char *where)
{
    if (size->count > VKFT_TENSOR_MAX_DIMS || size->count != stride->count)
        return vkft_fail(r->err, VKFT_ERR_INPUT,
                         "%s: %" PRIu32 " dimensions and %" PRIu32 " strides; expected as many, and at most %d", where,
                         size->count, stride->count, VKFT_TENSOR_MAX_DIMS);
    uint64_t strides[VKFT_TENSOR_MAX_DIMS];
    t->dims = size->count;
    t->elements = 1;
    for (uint32_t d = 0; d < t->dims; d++) {
        const vkft_pickle_value *n = value(r, size->items[d]), *s = value(r, stride->items[d]);
        if (n->kind != VKFT_PICKLE_INT || s->kind != VKFT_PICKLE_INT || n->number < 0 || s->number < 0)
            return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: a size or a stride is no whole number", where);
        t->shape[d] = (uint64_t)n->number;
        strides[d] = (uint64_t)s->number;
        if (__builtin_mul_overflow(t->elements, t->shape[d], &t->elements))
            return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: the product of its sizes is too large", where);
    }
    bool rows = true, columns = t->dims == 2 && strides[0] == 1 && strides[1] == t->shape[0];
    uint64_t expected = 1;
    for (uint32_t d = t->dims; d-- > 0;) {
        rows = rows && (t->shape[d] == 1 || strides[d] == expected);
        expected *= t->shape[d];
    }
    t->column_major = !rows && columns;
    return rows || columns || t->elements == 0 ||
           vkft_fail(r->err, VKFT_ERR_INPUT,
                     "%s: the tensor is a strided view; expected a contiguous row-major or column-major tensor", where);
}

static bool read_tensor(reader *r, const vkft_pickle_value *name, const vkft_pickle_value *v)
{
    vkft_file_tensor *t = &r->file->tensors[r->file->count];
    const vkft_pickle_value *from = value(r, v->items[0]), *offset = value(r, v->items[1]);
    char where[700];
    storage s;
    snprintf(where, sizeof where, "%.400s: tensor '%.*s'", r->file->path, (int)min_u64(name->text_length, 200),
             name->text);
    *t = (vkft_file_tensor){.dtype = from->dtype};
    if (!read_shape(r, value(r, v->items[2]), value(r, v->items[3]), t, where))
        return false;
    if (!(r->storages ? find_in_list(r, from, &s) : find_in_archive(r, from, &s)))
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: its storage '%.*s' is not in the file; download it again", where,
                         (int)min_u64(from->text_length, 60), from->text);
    uint64_t unit = vkft_dtype_bits(t->dtype) / 8, first;
    if (__builtin_mul_overflow(t->elements, unit, &t->bytes) || offset->number < 0 ||
        __builtin_mul_overflow((uint64_t)offset->number, unit, &first) || first > s.bytes || t->bytes > s.bytes - first)
        return vkft_fail(r->err, VKFT_ERR_INPUT,
                         "%s: %" PRIu64 " elements from number %" PRId64 " on, but its storage has %" PRIu64
                         " bytes; download it again",
                         where, t->elements, offset->number, s.bytes);
    t->offset = s.offset + first;
    t->name = malloc(name->text_length + 1ull);
    if (!t->name)
        return vkft_fail_memory(r->err, "while reading %s", where);
    memcpy(t->name, name->text, name->text_length);
    t->name[name->text_length] = 0;
    r->file->count++;
    return true;
}

static bool has_tensors(const reader *r, const vkft_pickle_value *dict)
{
    for (uint32_t i = 1; i < dict->count; i += 2)
        if (value(r, dict->items[i])->kind == VKFT_PICKLE_TENSOR)
            return true;
    return false;
}

/* The dictionary of tensors: the pickle's own, or the one inside it, as {"state_dict": ...} has it. */
static const vkft_pickle_value *find_state_dict(const reader *r)
{
    const vkft_pickle_value *root = value(r, r->pickle.result);
    if (root->kind != VKFT_PICKLE_DICT || has_tensors(r, root))
        return root;
    for (uint32_t i = 1; i < root->count; i += 2) {
        const vkft_pickle_value *inner = value(r, root->items[i]);
        if (inner->kind == VKFT_PICKLE_DICT && has_tensors(r, inner))
            return inner;
    }
    return root;
}

static int by_offset(const void *a, const void *b)
{
    const vkft_file_tensor *x = a, *y = b;
    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1) : strcmp(x->name, y->name);
}

static bool read_state_dict(reader *r)
{
    const vkft_pickle_value *dict = find_state_dict(r);
    if (dict->kind != VKFT_PICKLE_DICT || !has_tensors(r, dict))
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: it holds no dictionary of tensors; expected a state dict",
                         r->file->path);
    r->file->tensors = calloc(dict->count / 2 + 1ull, sizeof *r->file->tensors);
    r->file->by_name = calloc(dict->count / 2 + 1ull, sizeof *r->file->by_name);
    if (!r->file->tensors || !r->file->by_name)
        return vkft_fail_memory(r->err, "while reading %s", r->file->path);
    for (uint32_t i = 0; i + 1 < dict->count; i += 2) {
        const vkft_pickle_value *name = value(r, dict->items[i]), *v = value(r, dict->items[i + 1]);
        if (name->kind == VKFT_PICKLE_STRING && v->kind == VKFT_PICKLE_TENSOR && !read_tensor(r, name, v))
            return false;
    }
    qsort(r->file->tensors, r->file->count, sizeof *r->file->tensors, by_offset);
    return vkft_tensor_file_index(r->file, r->err);
}

static bool ends_with(const vkft_zip_entry *entry, const char *suffix)
{
    size_t n = strlen(suffix);
    return entry->name_length >= n && memcmp(entry->name + entry->name_length - n, suffix, n) == 0;
}

/* NAME/data.pkl of the folder that holds everything. */
static const vkft_zip_entry *find_pickle(reader *r)
{
    for (uint32_t i = 0; i < r->zip.count; i++) {
        const vkft_zip_entry *entry = &r->zip.entries[i];
        if (!ends_with(entry, "/data.pkl") || entry->name_length > 128)
            continue;
        r->folder = entry->name;
        r->folder_length = entry->name_length - (uint32_t)strlen("data.pkl");
        return entry;
    }
    return NULL;
}

static bool check_byte_order(const reader *r)
{
    for (uint32_t i = 0; i < r->zip.count; i++) {
        const vkft_zip_entry *entry = &r->zip.entries[i];
        if (ends_with(entry, "/byteorder") &&
            !(entry->size == 6 && memcmp(r->file->mapping.data + entry->offset, "little", 6) == 0))
            return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: its numbers are big-endian; expected little-endian ones",
                             r->file->path);
    }
    return true;
}

static bool read_archive(reader *r)
{
    const vkft_mapping *m = &r->file->mapping;
    uint64_t used;
    if (!vkft_zip_open(m->data, m->size, r->file->path, &r->zip, r->err))
        return false;
    const vkft_zip_entry *pickle = find_pickle(r);
    if (!pickle)
        return vkft_fail(r->err, VKFT_ERR_INPUT,
                         "%s: an archive without data.pkl; expected a file that torch.save wrote", r->file->path);
    return check_byte_order(r) &&
           vkft_pickle_load(m->data + pickle->offset, pickle->size, r->file->path, &r->pickle, &used, r->err) &&
           read_state_dict(r);
}

static int compare_values(const void *a, const void *b)
{
    const vkft_pickle_value *x = *(const vkft_pickle_value *const *)a, *y = *(const vkft_pickle_value *const *)b;
    if (x->text_length != y->text_length)
        return x->text_length < y->text_length ? -1 : 1;
    int order = memcmp(x->text, y->text, x->text_length);
    return order ? order : (x > y) - (x < y); /* of several with one key the first one counts */
}

/* The storages that the state dict refers to, in the order of their keys; NULL: out of memory. */
static const vkft_pickle_value **sort_units(const reader *r, uint32_t *count)
{
    const vkft_pickle_value **units = malloc((r->pickle.count + 1ull) * sizeof *units);
    *count = 0;
    for (uint32_t i = 0; units && i < r->pickle.count; i++)
        if (value(r, i)->kind == VKFT_PICKLE_STORAGE)
            units[(*count)++] = value(r, i);
    if (units)
        qsort(units, *count, sizeof *units, compare_values);
    return units;
}

/* The element size of a storage; 0: nothing refers to it. */
static uint64_t unit_of(const vkft_pickle_value *const *units, uint32_t count, const storage *s)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_keys(s, units[middle]->text, units[middle]->text_length) > 0)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < count && compare_keys(s, units[low]->text, units[low]->text_length) == 0;
    return found ? vkft_dtype_bits(units[low]->dtype) / 8 : 0;
}

/* One storage, which begins at *at with its count. */
static bool read_storage(reader *r, const vkft_pickle_value *key, const vkft_pickle_value *const *units,
                         uint32_t unit_count, uint64_t *at)
{
    const vkft_mapping *m = &r->file->mapping;
    storage *s = &r->storages[r->storage_count];
    uint64_t count = 0;
    bool ok = key->kind == VKFT_PICKLE_STRING && m->size - *at >= 8;
    for (int b = 8; ok && b-- > 0;)
        count = count << 8 | m->data[*at + (uint64_t)b];
    if (ok) {
        *at += 8;
        *s = (storage){.key = key->text, .key_length = key->text_length, .offset = *at};
        ok = !__builtin_mul_overflow(count, unit_of(units, unit_count, s), &s->bytes) && s->bytes <= m->size - *at;
    }
    if (!ok)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: storage %" PRIu32 " is cut off; download it again", r->file->path,
                         r->storage_count);
    *at += s->bytes;
    r->storage_count++;
    return true;
}

/* The storages, after the list of their keys. */
static bool read_storages(reader *r, const vkft_pickle *keys, uint64_t at)
{
    const vkft_pickle_value *list = &keys->values[keys->result];
    if (list->kind != VKFT_PICKLE_LIST || list->count > 65536)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: it does not list its storages; the file is damaged",
                         r->file->path);
    uint32_t unit_count;
    const vkft_pickle_value **units = sort_units(r, &unit_count);
    r->storages = calloc(list->count + 1ull, sizeof *r->storages);
    bool ok = (units && r->storages) || vkft_fail_memory(r->err, "while reading %s", r->file->path);
    for (uint32_t i = 0; ok && i < list->count; i++)
        ok = read_storage(r, &keys->values[list->items[i]], units, unit_count, &at);
    if (ok)
        qsort(r->storages, r->storage_count, sizeof *r->storages, compare_storages);
    free(units);
    return ok;
}

static bool read_sequence(reader *r)
{
    const vkft_mapping *m = &r->file->mapping;
    vkft_pickle keys = {0};
    uint64_t at = 0, used;
    for (int i = 0; i < 3; i++) { /* magic number, protocol, system */
        vkft_pickle head;
        if (!vkft_pickle_load(m->data + at, m->size - at, r->file->path, &head, &used, r->err))
            return false;
        const vkft_pickle_value *v = &head.values[head.result];
        bool known = i != 1 || (v->kind == VKFT_PICKLE_INT && v->number == 1001);
        vkft_pickle_free(&head);
        if (!known)
            return vkft_fail(r->err, VKFT_ERR_INPUT,
                             "%s: a pickle that torch.save did not write; expected a state dict", r->file->path);
        at += used;
    }
    if (!vkft_pickle_load(m->data + at, m->size - at, r->file->path, &r->pickle, &used, r->err))
        return false;
    at += used;
    bool ok = vkft_pickle_load(m->data + at, m->size - at, r->file->path, &keys, &used, r->err) &&
              read_storages(r, &keys, at + used) && read_state_dict(r);
    vkft_pickle_free(&keys);
    return ok;
}

bool vkft_pytorch_read(vkft_tensor_file *file, vkft_err *err)
{
    reader r = {.file = file, .err = err};
    const vkft_mapping *m = &file->mapping;
    if (!vkft_check_download(file->path, m->data, m->size, err))
        return false;
    bool archive = m->size >= 4 && memcmp(m->data, "PK\x03\x04", 4) == 0;
    bool ok = archive ? read_archive(&r) : read_sequence(&r);
    vkft_pickle_free(&r.pickle);
    vkft_zip_close(&r.zip);
    free(r.storages);
    return ok;
}

bool vkft_pytorch_open(const char *path, vkft_tensor_file *file, vkft_err *err)
{
    *file = (vkft_tensor_file){0};
    if (!vkft_mapping_open(path, &file->mapping, err))
        return false;
    file->path = malloc(strlen(path) + 1);
    bool ok = file->path || vkft_fail_memory(err, "while opening '%s'", path);
    if (ok)
        strcpy(file->path, path);
    ok = ok && vkft_pytorch_read(file, err);
    if (!ok)
        vkft_tensor_file_close(file);
    return ok;
}
