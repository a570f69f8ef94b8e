/* One .safetensors file: mapped and checked for reading, or written tensor by tensor. */
#ifndef VKFT_SAFETENSORS_H
#define VKFT_SAFETENSORS_H

#include <stdbool.h>
#include <stdint.h>

#include "dtype.h"
#include "file_io.h"

#define VKFT_SAFETENSORS_MAX_DIMS 8

typedef struct vkft_safetensors_tensor {
    char *name;
    vkft_dtype dtype;
    uint32_t dims;
    uint64_t shape[VKFT_SAFETENSORS_MAX_DIMS];
    uint64_t elements;
    uint64_t offset; /* in the file */
    uint64_t bytes;
} vkft_safetensors_tensor;

typedef struct vkft_safetensors {
    char *path;
    vkft_mapping mapping;
    vkft_safetensors_tensor *tensors; /* in the order of their data */
    uint32_t count;
    vkft_safetensors_tensor **by_name; /* sorted */
} vkft_safetensors;

/* Error: a Git-LFS pointer, a pickle or a web page under this name; a truncated file; a header that is not what the format's definition
 * says (bounds, JSON, dtype, shape, size of the data, duplicate names, overlaps, gaps). */
bool vkft_safetensors_open(const char *path, vkft_safetensors *file, vkft_err *err);
void vkft_safetensors_close(vkft_safetensors *file); /* zeroes it */
const vkft_safetensors_tensor *vkft_safetensors_find(const vkft_safetensors *file, const char *name); /* NULL when absent */
/* The tensor's bytes in the mapping; no alignment is promised. */
const uint8_t *vkft_safetensors_data(const vkft_safetensors *file, const vkft_safetensors_tensor *tensor);

/* What a tensor to be written is; names are borrowed until the writer is created. */
typedef struct vkft_safetensors_spec {
    const char *name;
    vkft_dtype dtype;
    uint32_t dims;
    uint64_t shape[VKFT_SAFETENSORS_MAX_DIMS];
} vkft_safetensors_spec;

/* Writes atomically (see file_io.h), with the metadata {"format":"pt"} that transformers and PEFT look for. The data of all tensors follows in the
 * order of specs, in pieces of any size; commit checks that it was exactly enough. */
typedef struct vkft_safetensors_writer vkft_safetensors_writer;
vkft_safetensors_writer *vkft_safetensors_create(const char *path, const vkft_safetensors_spec *specs, uint32_t count,
                                                 vkft_err *err);
bool vkft_safetensors_append(vkft_safetensors_writer *writer, const void *data, size_t size, vkft_err *err);
bool vkft_safetensors_commit(vkft_safetensors_writer *writer, vkft_err *err); /* frees the writer, also on failure */
void vkft_safetensors_abandon(vkft_safetensors_writer *writer);

/* Fails with a message when the first bytes of a file say that it is a Git-LFS pointer, a pickle, or a web page. */
bool vkft_check_disguise(const char *path, const uint8_t *data, uint64_t size, vkft_err *err);

#endif
