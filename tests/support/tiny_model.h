/* Small random Llama-class checkpoints in Hugging Face layout. */
#ifndef VKFT_TEST_TINY_MODEL_H
#define VKFT_TEST_TINY_MODEL_H

#include <stdint.h>

#include "formats/tensors/dtype.h"

typedef struct vkft_tiny_model {
    const char *model_type; /* "llama" or "mistral" */
    uint32_t vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads;
    uint32_t head_dim; /* 0: hidden_size / heads */
    uint32_t max_position;
    uint32_t sliding_window; /* 0: null */
    bool tied;
    double rope_theta;
    const char *rope_scaling; /* JSON text; NULL: null */
    vkft_dtype dtype;
    uint32_t shards; /* 0 or 1: one file */
    uint64_t seed;
    double deviation; /* of the matrices; norms are 1 */
} vkft_tiny_model;

/* llama, V 96, C 32, F 48, 2 layers, 4 heads, 2 kv heads, 128 positions, untied, f32, deviation 0.1, seed 1. */
vkft_tiny_model vkft_tiny_model_default(void);

/* Writes config.json and the weights into the existing directory; fails the test on any error. */
void vkft_tiny_model_write(const vkft_tiny_model *model, const char *dir);

/* Writes twelve rows of {"input_ids"}, 4 to 23 random tokens each. */
void vkft_tiny_model_write_rows(uint32_t vocab_size, const char *path);

#endif
