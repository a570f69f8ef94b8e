/* Writing a GGUF file, version 3, little endian, as a stream: keys and tensors are announced, then the data of all
 * tensors follows in their order. Source: docs/gguf.md of ggml. Test: test_merge
 */
#ifndef VKFT_GGUF_WRITER_H
#define VKFT_GGUF_WRITER_H

#include "formats/gguf/gguf.h"

typedef struct vkft_gguf_writer vkft_gguf_writer;
vkft_gguf_writer *vkft_gguf_writer_new(vkft_err *err);
void vkft_gguf_writer_abandon(vkft_gguf_writer *writer); /* NULL is fine */

/* Keys, each once. Out of memory is reported by begin. */
void vkft_gguf_put_u32(vkft_gguf_writer *writer, const char *key, uint32_t value);
void vkft_gguf_put_f32(vkft_gguf_writer *writer, const char *key, double value);
void vkft_gguf_put_bool(vkft_gguf_writer *writer, const char *key, bool value);
void vkft_gguf_put_string(vkft_gguf_writer *writer, const char *key, const char *text, size_t length);
/* The elements of an array follow one by one. */
void vkft_gguf_put_array(vkft_gguf_writer *writer, const char *key, vkft_gguf_type type, uint64_t count);
void vkft_gguf_put_element(vkft_gguf_writer *writer, const void *data, size_t size);
void vkft_gguf_put_element_string(vkft_gguf_writer *writer, const char *text, size_t length);
/* A key of another file as it is there. */
void vkft_gguf_put_copy(vkft_gguf_writer *writer, const vkft_gguf_value *value);

/* shape: rows first, as in vkft_file_tensor. */
void vkft_gguf_add_tensor(vkft_gguf_writer *writer, const char *name, vkft_dtype dtype, uint32_t dims,
                          const uint64_t *shape);
/* Bytes of all tensors. */
uint64_t vkft_gguf_writer_bytes(const vkft_gguf_writer *writer);

/* Opens the file, atomically replaced (see runtime/base/file.h), and writes all but the data. */
bool vkft_gguf_begin(vkft_gguf_writer *writer, const char *path, vkft_err *err);
/* The data of all tensors, in their order, in pieces that do not cross tensors. */
bool vkft_gguf_append(vkft_gguf_writer *writer, const void *data, size_t size, vkft_err *err);
bool vkft_gguf_commit(vkft_gguf_writer *writer, vkft_err *err); /* frees the writer, also on failure */

#endif
