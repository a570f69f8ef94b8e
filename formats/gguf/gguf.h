/* GGUF files, versions 2 and 3, little endian: the keys of the first file and the tensors of all its parts, mapped and
 * checked.
 *
 * The files are hostile until checked: every count, length and offset is compared with what the file holds before it is
 * used, and nothing is allocated for more entries than the file has bytes for.
 *
 * Source: docs/gguf.md of ggml. Test: test_gguf; fuzzed by fuzz_gguf
 */
#ifndef VKFT_GGUF_H
#define VKFT_GGUF_H

#include "formats/tensors/tensor_file.h"

/* As the format numbers them. */
typedef enum vkft_gguf_type {
    VKFT_GGUF_U8,
    VKFT_GGUF_I8,
    VKFT_GGUF_U16,
    VKFT_GGUF_I16,
    VKFT_GGUF_U32,
    VKFT_GGUF_I32,
    VKFT_GGUF_F32,
    VKFT_GGUF_BOOL,
    VKFT_GGUF_STRING,
    VKFT_GGUF_ARRAY,
    VKFT_GGUF_U64,
    VKFT_GGUF_I64,
    VKFT_GGUF_F64,
    VKFT_GGUF_TYPES
} vkft_gguf_type;

/* A key and its value, in the mapped file. Nested arrays are refused, so an array's elements are plain. */
typedef struct vkft_gguf_value {
    char *key;
    bool is_array;
    vkft_gguf_type type; /* of the value, or of the array's elements */
    uint64_t count;      /* elements; 1: no array */
    const uint8_t *data; /* the elements; a string is a length of 8 bytes and its bytes */
} vkft_gguf_value;

typedef struct vkft_gguf {
    uint32_t version;
    vkft_gguf_value *values; /* sorted by key */
    uint64_t value_count;
    vkft_tensor_file *parts; /* of a split model, in order; 1 otherwise. Shapes are as PyTorch has them: rows first */
    uint32_t part_count;
} vkft_gguf;

/* path: the file, or the first one of a split model; the others lie beside it. Error: no GGUF file, version 1, big
 * endian; a file that is cut off or wrong; a tensor type that cannot be read; parts that do not belong together. */
bool vkft_gguf_open(const char *path, vkft_gguf *gguf, vkft_err *err);
void vkft_gguf_close(vkft_gguf *gguf); /* zeroes it */

/* Whether a file begins as GGUF files do. */
bool vkft_gguf_is(const char *path);

/* NULL: there is none. */
const vkft_gguf_value *vkft_gguf_find(const vkft_gguf *gguf, const char *key);
/* What errors name: the file's path. */
const char *vkft_gguf_path(const vkft_gguf *gguf);

/* Typed keys. Absent: an error when required, else *value stays as it was. A number may have any of the number types;
 * a string must be valid UTF-8 without zero characters. */
bool vkft_gguf_get_u32(const vkft_gguf *gguf, const char *key, bool required, uint32_t *value, vkft_err *err);
bool vkft_gguf_get_double(const vkft_gguf *gguf, const char *key, bool required, double *value, vkft_err *err);
bool vkft_gguf_get_bool(const vkft_gguf *gguf, const char *key, bool required, bool *value, vkft_err *err);
bool vkft_gguf_get_string(const vkft_gguf *gguf, const char *key, bool required, char **value, vkft_err *err);
/* An array of strings, or of numbers; *value is NULL when it is absent. */
bool vkft_gguf_get_array(const vkft_gguf *gguf, const char *key, bool required, bool strings,
                         const vkft_gguf_value **value, vkft_err *err);

/* The number at an index, of any number type or bool. */
double vkft_gguf_number(const vkft_gguf_value *value, uint64_t index);
/* The string at *at, a position that starts at 0 and is moved to the next string. */
const char *vkft_gguf_string(const vkft_gguf_value *value, uint64_t *at, uint64_t *length);

#endif
