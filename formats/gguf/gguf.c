/* Header, keys and tensors of GGUF files. */
#include "formats/gguf/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/size.h"
#include "runtime/base/text.h"
#include "formats/gguf/gguf_private.h"

#define MAX_DIMS 4 /* ggml's */

/* Numbers of ggml's types; those without a dtype cannot be read. */
static const struct ggml_type {
    const char *name;
    vkft_dtype dtype; /* VKFT_DTYPE_COUNT: cannot be read */
} ggml_types[] = {
    [0] = {"F32", VKFT_F32},
    [1] = {"F16", VKFT_F16},
    [2] = {"Q4_0", VKFT_Q4_0},
    [3] = {"Q4_1", VKFT_Q4_1},
    [6] = {"Q5_0", VKFT_Q5_0},
    [7] = {"Q5_1", VKFT_Q5_1},
    [8] = {"Q8_0", VKFT_Q8_0},
    [9] = {"Q8_1", VKFT_DTYPE_COUNT},
    [10] = {"Q2_K", VKFT_Q2_K},
    [11] = {"Q3_K", VKFT_Q3_K},
    [12] = {"Q4_K", VKFT_Q4_K},
    [13] = {"Q5_K", VKFT_Q5_K},
    [14] = {"Q6_K", VKFT_Q6_K},
    [15] = {"Q8_K", VKFT_DTYPE_COUNT},
    [16] = {"IQ2_XXS", VKFT_DTYPE_COUNT},
    [17] = {"IQ2_XS", VKFT_DTYPE_COUNT},
    [18] = {"IQ3_XXS", VKFT_DTYPE_COUNT},
    [19] = {"IQ1_S", VKFT_DTYPE_COUNT},
    [20] = {"IQ4_NL", VKFT_IQ4_NL},
    [21] = {"IQ3_S", VKFT_DTYPE_COUNT},
    [22] = {"IQ2_S", VKFT_DTYPE_COUNT},
    [23] = {"IQ4_XS", VKFT_IQ4_XS},
    [24] = {"I8", VKFT_I8},
    [25] = {"I16", VKFT_I16},
    [26] = {"I32", VKFT_I32},
    [27] = {"I64", VKFT_I64},
    [28] = {"F64", VKFT_F64},
    [29] = {"IQ1_M", VKFT_DTYPE_COUNT},
    [30] = {"BF16", VKFT_BF16},
    [34] = {"TQ1_0", VKFT_DTYPE_COUNT},
    [35] = {"TQ2_0", VKFT_DTYPE_COUNT},
    [39] = {"MXFP4", VKFT_MXFP4},
    [40] = {"NVFP4", VKFT_DTYPE_COUNT},
};

uint32_t vkft_gguf_type_number(vkft_dtype dtype)
{
    uint32_t number = 0;
    while (!ggml_types[number].name || ggml_types[number].dtype != dtype)
        number++;
    return number;
}

/* What is read, from its beginning to its end. */
typedef struct reader {
    const char *path;
    const uint8_t *data;
    uint64_t size, at;
    vkft_err *err;
} reader;

static uint64_t little(const uint8_t *p, uint32_t bytes)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static bool fail_short(const reader *r, const char *what)
{
    return vkft_fail(r->err, VKFT_ERR_INPUT,
                     "%s: the file ends at byte %" PRIu64 ", inside %s: it is cut off or damaged; copy or download it "
                     "again",
                     r->path, r->size, what);
}

static bool read_number(reader *r, uint32_t bytes, uint64_t *value, const char *what)
{
    *value = 0;
    if (r->size - r->at < bytes)
        return fail_short(r, what);
    *value = little(r->data + r->at, bytes);
    r->at += bytes;
    return true;
}

static bool read_string(reader *r, const char **text, uint64_t *length, const char *what)
{
    *text = NULL;
    if (!read_number(r, 8, length, what))
        return false;
    if (r->size - r->at < *length)
        return fail_short(r, what);
    *text = (const char *)r->data + r->at;
    r->at += *length;
    return true;
}

/* A name as a string of C. */
static bool read_name(reader *r, char **name, const char *what)
{
    const char *text;
    uint64_t length;
    if (!read_string(r, &text, &length, what))
        return false;
    if (!length || length > 65535 || memchr(text, 0, length))
        return vkft_fail(r->err, VKFT_ERR_INPUT,
                         "%s: %s at byte %" PRIu64 " has a name of %" PRIu64 " bytes%s; expected 1 to 65535, none zero",
                         r->path, what, r->at - length, length, length && length <= 65535 ? " with a zero byte" : "");
    *name = malloc(length + 1);
    if (!*name)
        return vkft_fail_memory(r->err, "while reading %s", r->path);
    memcpy(*name, text, length);
    (*name)[length] = 0;
    return true;
}

static const uint8_t type_bytes[VKFT_GGUF_TYPES] = {
    [VKFT_GGUF_U8] = 1,  [VKFT_GGUF_I8] = 1,  [VKFT_GGUF_U16] = 2, [VKFT_GGUF_I16] = 2,
    [VKFT_GGUF_U32] = 4, [VKFT_GGUF_I32] = 4, [VKFT_GGUF_F32] = 4, [VKFT_GGUF_BOOL] = 1,
    [VKFT_GGUF_U64] = 8, [VKFT_GGUF_I64] = 8, [VKFT_GGUF_F64] = 8,
};

uint32_t vkft_gguf_type_bytes(vkft_gguf_type type)
{
    return type_bytes[type];
}

static bool read_type(reader *r, const char *key, bool plain, vkft_gguf_type *type)
{
    uint64_t number;
    if (!read_number(r, 4, &number, "the type of a key"))
        return false;
    if (number >= VKFT_GGUF_TYPES || (plain && number == VKFT_GGUF_ARRAY))
        return vkft_fail(r->err, VKFT_ERR_INPUT,
                         "%s: key '%.200s': %s %" PRIu64 " is not supported; expected 0 to 12%s", r->path, key,
                         plain ? "an array of type" : "type", number, plain ? " without arrays" : "");
    *type = (vkft_gguf_type)number;
    return true;
}

static bool read_value(reader *r, vkft_gguf_value *v)
{
    if (!read_name(r, &v->key, "a key") || !read_type(r, v->key, false, &v->type))
        return false;
    v->count = 1;
    v->is_array = v->type == VKFT_GGUF_ARRAY;
    if (v->is_array && (!read_type(r, v->key, true, &v->type) || !read_number(r, 8, &v->count, "an array's length")))
        return false;
    v->data = r->data + r->at;
    if (v->type == VKFT_GGUF_STRING) {
        const char *text;
        uint64_t length;
        for (uint64_t i = 0; i < v->count; i++)
            if (!read_string(r, &text, &length, v->key))
                return false;
        return true;
    }
    if (v->count > (r->size - r->at) / type_bytes[v->type])
        return fail_short(r, v->key);
    r->at += v->count * type_bytes[v->type];
    return true;
}

static bool find_dtype(const reader *r, const char *tensor, uint64_t number, vkft_dtype *dtype)
{
    const struct ggml_type *type =
        number < sizeof ggml_types / sizeof *ggml_types && ggml_types[number].name ? &ggml_types[number] : NULL;
    char unknown[40];
    snprintf(unknown, sizeof unknown, "%" PRIu64, number);
    if (type && type->dtype != VKFT_DTYPE_COUNT) {
        *dtype = type->dtype;
        return true;
    }
    return vkft_fail(r->err, VKFT_ERR_INPUT,
                     "%s: tensor '%.200s' has type %s, which cannot be read; supported are F32, F16, BF16, Q8_0, Q4_0, "
                     "Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, IQ4_NL, IQ4_XS and MXFP4: use a file of the model in one of "
                     "these, as its Q8_0 or Q4_K_M, or the original safetensors",
                     r->path, tensor, type ? type->name : unknown);
}

/* Sizes stand with the innermost first. */
static bool read_shape(reader *r, vkft_file_tensor *t)
{
    uint64_t dims, sizes[MAX_DIMS];
    if (!read_number(r, 4, &dims, "a tensor's shape"))
        return false;
    if (!dims || dims > MAX_DIMS)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: tensor '%.200s' has %" PRIu64 " dimensions; expected 1 to %d",
                         r->path, t->name, dims, MAX_DIMS);
    t->elements = 1;
    bool overflow = false;
    for (uint32_t i = 0; i < dims; i++) {
        if (!read_number(r, 8, &sizes[i], "a tensor's shape"))
            return false;
        overflow |=
            !sizes[i] || __builtin_mul_overflow(t->elements, sizes[i], &t->elements) || t->elements > UINT64_MAX / 16;
    }
    if (overflow)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: tensor '%.200s': a size is 0, or their product is too large",
                         r->path, t->name);
    while (dims > 2 && sizes[dims - 1] == 1) /* some writers fill up to four sizes */
        dims--;
    t->dims = (uint32_t)dims;
    for (uint32_t i = 0; i < dims; i++)
        t->shape[i] = sizes[dims - 1 - i];
    return true;
}

static bool read_tensor(reader *r, vkft_file_tensor *t)
{
    uint64_t type;
    if (!read_name(r, &t->name, "a tensor") || !read_shape(r, t) || !read_number(r, 4, &type, "a tensor's type") ||
        !find_dtype(r, t->name, type, &t->dtype) || !read_number(r, 8, &t->offset, "a tensor's offset"))
        return false;
    uint64_t row = t->shape[t->dims - 1];
    if (row % vkft_dtype_block(t->dtype))
        return vkft_fail(r->err, VKFT_ERR_INPUT,
                         "%s: tensor '%.200s' has rows of %" PRIu64 " elements; expected a multiple of %" PRIu32
                         " for type %s",
                         r->path, t->name, row, vkft_dtype_block(t->dtype), vkft_dtype_name(t->dtype));
    t->bytes = vkft_dtype_bytes(t->dtype, t->elements);
    return true;
}

static int compare_offsets(const void *a, const void *b)
{
    const vkft_file_tensor *x = a, *y = b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Offsets count from the first aligned byte past the table; no two tensors share bytes. */
static bool place_tensors(const reader *r, vkft_tensor_file *file, uint64_t alignment)
{
    uint64_t start = ceil_div_u64(r->at, alignment) * alignment, end = 0;
    qsort(file->tensors, file->count, sizeof *file->tensors, compare_offsets);
    for (uint32_t i = 0; i < file->count; i++) {
        vkft_file_tensor *t = &file->tensors[i];
        uint64_t room = r->size > start ? r->size - start : 0;
        if (t->offset % alignment || t->offset < end)
            return vkft_fail(r->err, VKFT_ERR_INPUT,
                             "%s: tensor '%.200s' starts at byte %" PRIu64
                             " of the data; expected a multiple of %" PRIu64 ", past byte %" PRIu64
                             " where the one before it ends",
                             r->path, t->name, t->offset, alignment, end);
        if (t->offset > room || t->bytes > room - t->offset)
            return vkft_fail(r->err, VKFT_ERR_INPUT,
                             "%s: tensor '%.200s' needs bytes %" PRIu64 " to %" PRIu64 " of the data, but the file has "
                             "only %" PRIu64 ": it is cut off; copy or download it again",
                             r->path, t->name, t->offset, t->offset + t->bytes, room);
        end = t->offset + t->bytes;
        t->offset += start;
    }
    return vkft_tensor_file_index(file, r->err);
}

static bool check_head(reader *r, uint32_t *version)
{
    uint64_t number;
    if (!vkft_check_download(r->path, r->data, r->size, r->err))
        return false;
    if (r->size < 4 || memcmp(r->data, "GGUF", 4) != 0)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: this is not a GGUF file: it does not begin with \"GGUF\"",
                         r->path);
    r->at = 4;
    if (!read_number(r, 4, &number, "its header"))
        return false;
    *version = (uint32_t)number;
    if (number == 2 || number == 3)
        return true;
    if (number && !(number & 0xffff))
        return vkft_fail(
            r->err, VKFT_ERR_INPUT,
            "%s: the file is big endian, which is not supported; convert it with gguf-convert-endian of the "
            "Python package gguf",
            r->path);
    return vkft_fail(r->err, VKFT_ERR_INPUT,
                     "%s: GGUF version %" PRIu64 " is not supported; expected 2 or 3: get a newer file of this model",
                     r->path, number);
}

static int compare_keys(const void *a, const void *b)
{
    const vkft_gguf_value *x = a, *y = b;
    return strcmp(x->key, y->key);
}

static bool read_values(reader *r, uint64_t count, vkft_gguf *g)
{
    /* a key takes at least 14 bytes: length, a byte, type and value */
    if (count > (r->size - r->at) / 14)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: %" PRIu64 " keys do not fit the file's %" PRIu64 " bytes",
                         r->path, count, r->size);
    g->values = calloc((size_t)count + 1, sizeof *g->values);
    if (!g->values)
        return vkft_fail_memory(r->err, "while reading %s", r->path);
    for (g->value_count = 0; g->value_count < count;) {
        vkft_gguf_value *v = &g->values[g->value_count++];
        if (!read_value(r, v))
            return false;
    }
    qsort(g->values, (size_t)count, sizeof *g->values, compare_keys);
    for (uint64_t i = 1; i < count; i++)
        if (strcmp(g->values[i - 1].key, g->values[i].key) == 0)
            return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: key '%.200s' is there twice", r->path, g->values[i].key);
    return true;
}

static bool read_tensors(reader *r, uint64_t count, vkft_tensor_file *file, uint64_t alignment)
{
    /* at least 33 bytes each: name, number of sizes, one size, type and offset */
    if (count > (r->size - r->at) / 33 || count > UINT32_MAX)
        return vkft_fail(r->err, VKFT_ERR_INPUT, "%s: %" PRIu64 " tensors do not fit the file's %" PRIu64 " bytes",
                         r->path, count, r->size);
    file->tensors = calloc((size_t)count + 1, sizeof *file->tensors);
    file->by_name = calloc((size_t)count + 1, sizeof *file->by_name);
    if (!file->tensors || !file->by_name)
        return vkft_fail_memory(r->err, "while reading %s", r->path);
    while (file->count < count)
        if (!read_tensor(r, &file->tensors[file->count++]))
            return false;
    return place_tensors(r, file, alignment);
}

static bool get_alignment(const vkft_gguf *g, const char *path, uint32_t *alignment, vkft_err *err)
{
    *alignment = 32;
    if (!vkft_gguf_get_u32(g, "general.alignment", false, alignment, err))
        return false;
    return (*alignment >= 1 && *alignment <= 1 << 20 && !(*alignment & (*alignment - 1))) ||
           vkft_fail(err, VKFT_ERR_INPUT, "%s: general.alignment is %" PRIu32 "; expected a power of two", path,
                     *alignment);
}

/* One file; its keys go to g->values, for its alignment also those of the second part. */
static bool read_file(const char *path, vkft_gguf *g, vkft_tensor_file *file, vkft_err *err)
{
    if (!vkft_mapping_open(path, &file->mapping, err))
        return false;
    file->path = vkft_string_copy(path);
    if (!file->path)
        return vkft_fail_memory(err, "while opening '%s'", path);
    reader r = {.path = path, .data = file->mapping.data, .size = file->mapping.size, .err = err};
    uint64_t tensors, values;
    uint32_t alignment;
    return check_head(&r, &g->version) && read_number(&r, 8, &tensors, "its header") &&
           read_number(&r, 8, &values, "its header") && read_values(&r, values, g) &&
           get_alignment(g, path, &alignment, err) && read_tensors(&r, tensors, file, alignment);
}

static void free_values(vkft_gguf *g)
{
    for (uint64_t i = 0; i < g->value_count; i++)
        free(g->values[i].key);
    free(g->values);
    g->values = NULL;
    g->value_count = 0;
}

/* What a part says of itself: its number (from 0), how many there are, and the tensors of all. */
typedef struct split {
    uint32_t number, count, tensors;
} split;

static bool get_split(const vkft_gguf *g, split *s, vkft_err *err)
{
    *s = (split){.count = 1};
    return vkft_gguf_get_u32(g, "split.no", false, &s->number, err) &&
           vkft_gguf_get_u32(g, "split.count", false, &s->count, err) &&
           vkft_gguf_get_u32(g, "split.tensors.count", false, &s->tensors, err);
}

#define ENDING 20 /* "-00001-of-00003.gguf" */

/* Part number `number` of the model whose first part is at path; malloc'ed. */
static char *part_path(const char *path, uint32_t number, uint32_t count)
{
    size_t length = strlen(path);
    char *other = malloc(length + 40);
    if (other) {
        memcpy(other, path, length);
        snprintf(other + length - ENDING, 60, "-%05" PRIu32 "-of-%05" PRIu32 ".gguf", number + 1, count);
    }
    return other;
}

static bool check_first(const char *path, const split *s, vkft_err *err)
{
    char ending[60];
    if (s->number >= s->count || s->count > 99999)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: split.no is %" PRIu32 " and split.count %" PRIu32
                         "; expected a number below the count, and at most 99999",
                         path, s->number, s->count);
    if (s->number)
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s is part %" PRIu32 " of %" PRIu32 " of a model; give the first one, -00001-of-%05" PRIu32
                         ".gguf",
                         path, s->number + 1, s->count, s->count);
    snprintf(ending, sizeof ending, "-%05d-of-%05" PRIu32 ".gguf", 1, s->count);
    return vkft_string_ends_with(path, ending) ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s is the first of %" PRIu32 " parts of a model; its name must end with %s so that the others "
                     "are found",
                     path, s->count, ending);
}

static bool open_part(const char *path, const split *first, uint32_t number, vkft_gguf *g, vkft_err *err)
{
    vkft_gguf own = {0};
    split s;
    char *other = part_path(path, number, first->count);
    bool ok = (other || vkft_fail_memory(err, "while opening '%s'", path)) &&
              read_file(other, &own, &g->parts[number], err) && get_split(&own, &s, err);
    if (ok && (s.number != number || s.count != first->count))
        ok = vkft_fail(err, VKFT_ERR_INPUT,
                       "%s: split.no is %" PRIu32 " and split.count %" PRIu32 "; expected %" PRIu32 " and %" PRIu32
                       ": it is a part of another model",
                       other, s.number, s.count, number, first->count);
    else if (!ok && other && !vkft_file_exists(other))
        vkft_fail_context(err, "part %" PRIu32 " of %" PRIu32 " is missing", number + 1, first->count);
    free_values(&own);
    free(other);
    return ok;
}

static bool open_parts(const char *path, vkft_gguf *g, vkft_err *err)
{
    split s;
    if (!get_split(g, &s, err))
        return false;
    if (s.count == 1 && s.number == 0)
        return true;
    if (!check_first(path, &s, err))
        return false;
    uint64_t tensors = 0;
    for (uint32_t i = 0; i < s.count; i++) {
        /* one at a time, so that a count that is wrong allocates nothing for parts that are not there */
        if (i) {
            vkft_tensor_file *parts = realloc(g->parts, (i + 1) * sizeof *parts);
            if (!parts)
                return vkft_fail_memory(err, "while opening '%s'", path);
            g->parts = parts;
            g->parts[i] = (vkft_tensor_file){0};
            g->part_count = i + 1;
            if (!open_part(path, &s, i, g, err))
                return false;
        }
        tensors += g->parts[i].count;
    }
    return tensors == s.tensors || !s.tensors ||
           vkft_fail(err, VKFT_ERR_INPUT,
                     "%s: its %" PRIu32 " parts have %" PRIu64 " tensors, but split.tensors.count is %" PRIu32, path,
                     s.count, tensors, s.tensors);
}

bool vkft_gguf_open(const char *path, vkft_gguf *gguf, vkft_err *err)
{
    *gguf = (vkft_gguf){0};
    gguf->parts = calloc(1, sizeof *gguf->parts);
    if (!gguf->parts)
        return vkft_fail_memory(err, "while opening '%s'", path);
    gguf->part_count = 1;
    bool ok = read_file(path, gguf, &gguf->parts[0], err) && open_parts(path, gguf, err);
    if (!ok)
        vkft_gguf_close(gguf);
    return ok;
}

void vkft_gguf_close(vkft_gguf *gguf)
{
    free_values(gguf);
    for (uint32_t i = 0; i < gguf->part_count; i++)
        vkft_tensor_file_close(&gguf->parts[i]);
    free(gguf->parts);
    *gguf = (vkft_gguf){0};
}

bool vkft_gguf_is(const char *path)
{
    vkft_mapping file;
    if (!vkft_mapping_open(path, &file, NULL))
        return false;
    bool is = file.size >= 4 && memcmp(file.data, "GGUF", 4) == 0;
    vkft_mapping_close(&file);
    return is;
}

const char *vkft_gguf_path(const vkft_gguf *gguf)
{
    return gguf->parts ? gguf->parts[0].path : "GGUF";
}
