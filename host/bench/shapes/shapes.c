/* See shapes.h. */
#include "host/bench/shapes/shapes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LLAMA3_SCALING                                                                                                 \
    "{\"rope_type\": \"llama3\", \"factor\": 32.0, \"high_freq_factor\": 4.0, \"low_freq_factor\": 1.0, "              \
    "\"original_max_position_embeddings\": 8192}"

const vkft_bench_shape vkft_bench_shapes[] = {
    /* name, type, V, C, F, layers, H, Hk, D, positions, tied, theta, eps, scaling */
    {"tiny", "llama", 512, 64, 176, 2, 4, 2, 16, 1024, false, 1e4, 1e-5, "null"},
    {"llama-110m", "llama", 32000, 768, 2048, 12, 12, 12, 64, 1024, true, 1e4, 1e-5, "null"},
    {"smollm2-135m", "llama", 49152, 576, 1536, 30, 9, 3, 64, 8192, true, 1e5, 1e-5, "null"},
    {"qwen3-0.6b", "qwen3", 151936, 1024, 3072, 28, 16, 8, 128, 40960, true, 1e6, 1e-6, "null"},
    {"tinyllama-1.1b", "llama", 32000, 2048, 5632, 22, 32, 4, 64, 2048, false, 1e4, 1e-5, "null"},
    {"llama-1b", "llama", 128256, 2048, 8192, 16, 32, 8, 64, 131072, true, 5e5, 1e-5, LLAMA3_SCALING},
    {"qwen3-4b", "qwen3", 151936, 2560, 9728, 36, 32, 8, 128, 40960, true, 1e6, 1e-6, "null"},
    {"llama-8b", "llama", 128256, 4096, 14336, 32, 32, 8, 128, 8192, false, 5e5, 1e-5, "null"},
    {0},
};

const vkft_bench_shape *vkft_bench_shape_find(const char *name)
{
    for (const vkft_bench_shape *s = vkft_bench_shapes; s->name; s++)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

uint64_t vkft_bench_shape_multiplied(const vkft_bench_shape *s)
{
    uint64_t C = s->hidden_size, F = s->intermediate_size, q = (uint64_t)s->heads * s->head_dim,
             kv = (uint64_t)s->kv_heads * s->head_dim;
    return s->layers * (2 * C * q + 2 * C * kv + 3 * C * F) + C * s->vocab_size;
}

uint64_t vkft_bench_shape_parameters(const vkft_bench_shape *s)
{
    return vkft_bench_shape_multiplied(s) + (s->tied ? 0 : (uint64_t)s->vocab_size * s->hidden_size);
}

char *vkft_bench_shape_config(const vkft_bench_shape *s)
{
    char text[1024];
    snprintf(text, sizeof text,
             "{\"model_type\": \"%s\", \"vocab_size\": %u, \"hidden_size\": %u, \"intermediate_size\": %u, "
             "\"num_hidden_layers\": %u, \"num_attention_heads\": %u, \"num_key_value_heads\": %u, \"head_dim\": %u, "
             "\"max_position_embeddings\": %u, \"tie_word_embeddings\": %s, \"rope_theta\": %.1f, "
             "\"rms_norm_eps\": %g, \"rope_scaling\": %s, \"hidden_act\": \"silu\", \"torch_dtype\": \"bfloat16\"}",
             s->model_type, s->vocab_size, s->hidden_size, s->intermediate_size, s->layers, s->heads, s->kv_heads,
             s->head_dim, s->max_position, s->tied ? "true" : "false", s->rope_theta, s->norm_eps, s->rope_scaling);
    return strdup(text);
}

static const vkft_bench_reference references[] = {
#define REFERENCE(shape, tokens, r, alpha, quantized, first, norm, last)                                               \
    {shape, tokens, r, alpha, quantized, first, norm, last},
#include "host/bench/shapes/reference.def"
#undef REFERENCE
    {0},
};

const vkft_bench_reference *vkft_bench_reference_find(const char *shape, uint32_t tokens, uint32_t lora_r,
                                                      float lora_alpha, vkft_storage quant)
{
    bool quantized = quant == VKFT_STORAGE_nf4_dq;
    if (!quantized && !vkft_storage_keeps(quant) && vkft_storage_is_quantized(quant))
        return NULL;
    for (const vkft_bench_reference *r = references; r->shape; r++)
        if (strcmp(r->shape, shape) == 0 && r->tokens == tokens && r->lora_r == lora_r && r->lora_alpha == lora_alpha &&
            r->quantized == quantized)
            return r;
    return NULL;
}
