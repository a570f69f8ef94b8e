/* The native .vkft model file: one self-contained model, mapped and uploaded without a copy.
 *
 * It holds the checkpoint's small files verbatim ("config.json", "tokenizer.json", "tokenizer_config.json",
 * "generation_config.json", "chat_template.jinja", "special_tokens_map.json", ... those that exist) and its tensors
 * under their Hugging Face names. docs/vkft-format.md has the layout.
 */
#ifndef VKFT_MODEL_FILE_H
#define VKFT_MODEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "formats/config/config.h"
#include "formats/tensors/storage.h"

typedef struct vkft_model_file vkft_model_file;

/* A tensor in the mapped file; pointers live as long as the file is open and are 256-byte aligned. */
typedef struct vkft_model_tensor {
    const char *name; /* "model.layers.0.self_attn.q_proj.weight" */
    vkft_storage storage;
    uint32_t dims;
    uint64_t shape[4];
    uint64_t elements;
    const void *part[VKFT_PARTS]; /* NULL for parts that the type does not have */
    uint64_t bytes[VKFT_PARTS];
    float offset; /* as in vkft_stored */
} vkft_model_tensor;

/* The error of a --model that is not there: what was expected. */
bool vkft_model_fail_missing(const char *path, vkft_err *err);

/* Maps and checks the file: magic, version, every offset and size. Checksums of tensors are verified by
 * vkft_model_file_verify. */
vkft_model_file *vkft_model_file_open(const char *path, vkft_err *err);
void vkft_model_file_close(vkft_model_file *file);

/* Whether the file belongs to this user, or to root: another one could have put anything in it. */
bool vkft_model_file_is_mine(const vkft_model_file *file);
const char *vkft_model_file_path(const vkft_model_file *file);
const vkft_config *vkft_model_file_config(const vkft_model_file *file);
/* base_model_name_or_path for adapters: the directory that was converted, or its hub id where known. */
const char *vkft_model_file_source(const vkft_model_file *file);

/* The "quantization" of the header: "none", "nf4", "nf4-dq", "bf16", ... borrowed from the file. */
const char *vkft_model_file_quantization(const vkft_model_file *file);

uint32_t vkft_model_file_tensor_count(const vkft_model_file *file);
const vkft_model_tensor *vkft_model_file_tensor(const vkft_model_file *file, uint32_t index);
const vkft_model_tensor *vkft_model_file_find(const vkft_model_file *file, const char *name); /* NULL when absent */
/* The tensor's elements as f32. */
void vkft_model_tensor_decode(const vkft_model_tensor *tensor, float *values);
/* A verbatim small file by name; NULL when the model has none. Not zero-terminated. */
const char *vkft_model_file_blob(const vkft_model_file *file, const char *name, size_t *length);
uint32_t vkft_model_file_blob_count(const vkft_model_file *file);
const char *vkft_model_file_blob_name(const vkft_model_file *file, uint32_t index);

/* A hash of what the model computes with: config.json, and the checksums of all tensors as the header has them. */
uint64_t vkft_model_file_hash(const vkft_model_file *file);

/* Recomputes the tensor's checksum. Error: names file, tensor, stored and computed value. */
bool vkft_model_file_verify(const vkft_model_file *file, const vkft_model_tensor *tensor, vkft_err *err);

#endif
