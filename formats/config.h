/* config.json of a Hugging Face checkpoint: what a decoder-only model is, whatever spelling the file uses. */
#ifndef VKFT_CONFIG_H
#define VKFT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dtype.h"
#include "vkft_error.h"

typedef enum vkft_rope_type { VKFT_ROPE_DEFAULT, VKFT_ROPE_LINEAR, VKFT_ROPE_DYNAMIC, VKFT_ROPE_LLAMA3 } vkft_rope_type;

typedef struct vkft_rope {
    vkft_rope_type type;
    double theta;
    double factor;
    double low_freq_factor, high_freq_factor; /* llama3 */
    uint32_t original_max_position;           /* llama3 and dynamic */
} vkft_rope;

#define VKFT_MAX_EOS 8

typedef struct vkft_config {
    char model_type[32];   /* "llama", "mistral" */
    char architecture[64]; /* architectures[0] */
    uint32_t vocab_size;
    uint32_t hidden_size;
    uint32_t intermediate_size;
    uint32_t num_layers;
    uint32_t num_heads;
    uint32_t num_kv_heads;
    uint32_t head_dim; /* head_dim, or hidden_size / num_heads when absent */
    uint32_t max_position;
    uint32_t sliding_window; /* 0: none */
    float rms_norm_eps;
    char hidden_act[16];
    bool tie_word_embeddings;
    bool attention_bias;
    bool mlp_bias;
    vkft_rope rope;
    int32_t bos_token_id; /* -1: none */
    int32_t eos_token_ids[VKFT_MAX_EOS];
    uint32_t eos_count;
    int32_t pad_token_id; /* -1: none */
    vkft_dtype dtype;     /* torch_dtype or dtype; F32 when absent */
} vkft_config;

/* Parses the text of config.json; `file` names it in errors. Accepts rope_theta + rope_scaling and rope_parameters, num_key_value_heads
 * absent, torch_dtype or dtype, eos_token_id as number or list. Sizes are checked (non-zero, divisible, products below 2^32 where needed).
 * Error: JSON error with its line, missing or wrongly typed key, value out of range, unsupported value (says which are supported). The
 * model_type is not judged here: the host knows the architectures. */
bool vkft_config_parse(const char *text, size_t length, const char *file, vkft_config *config, vkft_err *err);

#endif
