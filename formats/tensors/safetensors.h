/* One .safetensors file: mapped and checked for reading, or written tensor by tensor. */
#ifndef VKFT_SAFETENSORS_H
#define VKFT_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/tensor_file.h"

/* Error: a Git-LFS pointer, a pickle or a web page under this name; a truncated file; a header that is not what the
 * format's definition says (bounds, JSON, dtype, shape, size of the data, duplicate names, overlaps, gaps). */
bool vkft_safetensors_open(const char *path, vkft_tensor_file *file, vkft_err *err);

/* What a tensor to be written is; names are borrowed until the writer is created. */
typedef struct vkft_safetensors_spec {
    const char *name;
    vkft_dtype dtype;
    uint32_t dims;
    uint64_t shape[VKFT_TENSOR_MAX_DIMS];
} vkft_safetensors_spec;

/* Writes atomically (see runtime/base/file.h), with the metadata {"format":"pt"} that transformers and PEFT look for.
 * The data of all tensors follows in the order of specs, in pieces of any size; commit checks that it was exactly
 * enough. */
typedef struct vkft_safetensors_writer vkft_safetensors_writer;
vkft_safetensors_writer *vkft_safetensors_create(const char *path, const vkft_safetensors_spec *specs, uint32_t count,
                                                 vkft_err *err);
bool vkft_safetensors_append(vkft_safetensors_writer *writer, const void *data, size_t size, vkft_err *err);
bool vkft_safetensors_commit(vkft_safetensors_writer *writer, vkft_err *err); /* frees the writer, also on failure */
void vkft_safetensors_abandon(vkft_safetensors_writer *writer);

#endif
