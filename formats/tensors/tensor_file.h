/* A mapped file of named tensors, whatever its format: safetensors.h and pytorch_file.h fill it. */
#ifndef VKFT_TENSOR_FILE_H
#define VKFT_TENSOR_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/tensors/dtype.h"
#include "runtime/base/file.h"

#define VKFT_TENSOR_MAX_DIMS 8

typedef struct vkft_file_tensor {
    char *name;
    vkft_dtype dtype;
    uint32_t dims;
    uint64_t shape[VKFT_TENSOR_MAX_DIMS];
    uint64_t elements;
    uint64_t offset; /* in the file */
    uint64_t bytes;
    bool column_major; /* of a matrix; PyTorch and GGUF files only */
    /* What llama.cpp does to a tensor; GGUF files only. The rows of each head of a matrix or bias lie as 0, D/2, 1,
     * D/2 + 1, ... (the number of heads; 0: they do not), and gains have 1 added. */
    uint32_t interleaved_heads;
    bool gain_plus_one;
} vkft_file_tensor;

typedef struct vkft_tensor_file {
    char *path;
    vkft_mapping mapping;
    vkft_file_tensor *tensors; /* in the order of their data */
    uint32_t count;
    vkft_file_tensor **by_name; /* sorted */
} vkft_tensor_file;

/* A tensor and the file that holds it. */
typedef struct vkft_shard_tensor {
    const vkft_tensor_file *shard;
    const vkft_file_tensor *tensor;
} vkft_shard_tensor;

/* Sorts by_name and checks that no name comes twice. */
bool vkft_tensor_file_index(vkft_tensor_file *file, vkft_err *err);
void vkft_tensor_file_close(vkft_tensor_file *file);                                           /* zeroes it */
const vkft_file_tensor *vkft_tensor_file_find(const vkft_tensor_file *file, const char *name); /* NULL when absent */
/* The tensor's bytes in the mapping; no alignment is promised. */
const uint8_t *vkft_tensor_file_data(const vkft_tensor_file *file, const vkft_file_tensor *tensor);

/* Where row r of `rows` lies in the tensor, or element r of a bias: r itself, or as interleaved_heads says. */
uint64_t vkft_file_tensor_row(const vkft_file_tensor *tensor, uint64_t rows, uint64_t r);

/* Fails with a message when the first bytes of a file say that it is a Git-LFS pointer or a web page. */
bool vkft_check_download(const char *path, const uint8_t *data, uint64_t size, vkft_err *err);
/* The same for a file that is no PyTorch pickle either. */
bool vkft_check_disguise(const char *path, const uint8_t *data, uint64_t size, vkft_err *err);

#endif
