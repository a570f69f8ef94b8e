/* config.json from a struct, and the weights through the random checkpoint writer. */
#include "tests/support/tiny_model.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/base/random.h"
#include "tools/random_checkpoint.h"

vkft_tiny_model vkft_tiny_model_default(void)
{
    return (vkft_tiny_model){
        .model_type = "llama",
        .vocab_size = 96,
        .hidden_size = 32,
        .intermediate_size = 48,
        .layers = 2,
        .heads = 4,
        .kv_heads = 2,
        .max_position = 128,
        .rope_theta = 10000.0,
        .dtype = VKFT_F32,
        .seed = 1,
        .deviation = 0.1,
    };
}

static const char *optional_number(char *buffer, size_t size, uint32_t value)
{
    if (!value)
        return "null";
    snprintf(buffer, size, "%" PRIu32, value);
    return buffer;
}

static size_t print_config(const vkft_tiny_model *model, char *text, size_t size)
{
    char head_dim[16], window[16];
    int n =
        snprintf(text, size,
                 "{\n"
                 "  \"architectures\": [\"%s\"],\n"
                 "  \"model_type\": \"%s\",\n"
                 "  \"vocab_size\": %" PRIu32 ",\n"
                 "  \"hidden_size\": %" PRIu32 ",\n"
                 "  \"intermediate_size\": %" PRIu32 ",\n"
                 "  \"num_hidden_layers\": %" PRIu32 ",\n"
                 "  \"num_attention_heads\": %" PRIu32 ",\n"
                 "  \"num_key_value_heads\": %" PRIu32 ",\n"
                 "  \"head_dim\": %s,\n"
                 "  \"max_position_embeddings\": %" PRIu32 ",\n"
                 "  \"sliding_window\": %s,\n"
                 "  \"tie_word_embeddings\": %s,\n"
                 "  \"rope_theta\": %.17g,\n"
                 "  \"rope_scaling\": %s,\n"
                 "  \"rms_norm_eps\": 1e-05,\n"
                 "  \"hidden_act\": \"silu\",\n"
                 "  \"bos_token_id\": 1,\n"
                 "  \"eos_token_id\": 2,\n"
                 "  \"torch_dtype\": \"%s\"\n"
                 "}\n",
                 strcmp(model->model_type, "mistral") == 0 ? "MistralForCausalLM" : "LlamaForCausalLM",
                 model->model_type, model->vocab_size, model->hidden_size, model->intermediate_size, model->layers,
                 model->heads, model->kv_heads, optional_number(head_dim, sizeof head_dim, model->head_dim),
                 model->max_position, optional_number(window, sizeof window, model->sliding_window),
                 model->tied ? "true" : "false", model->rope_theta, model->rope_scaling ? model->rope_scaling : "null",
                 model->dtype == VKFT_BF16  ? "bfloat16"
                 : model->dtype == VKFT_F16 ? "float16"
                                            : "float32");
    assert_true(n > 0 && (size_t)n < size);
    return (size_t)n;
}

void vkft_tiny_model_write(const vkft_tiny_model *model, const char *dir)
{
    char text[4096];
    vkft_config config;
    vkft_err err = {0};
    size_t length = print_config(model, text, sizeof text);
    const vkft_random_checkpoint options = {
        .dtype = model->dtype,
        .shards = model->shards,
        .seed = model->seed,
        .deviation = model->deviation,
        .threads = 1,
    };
    char *path = vkft_path_join(dir, "config.json");
    bool ok = vkft_config_parse(text, length, "config.json", &config, &err) &&
              vkft_random_checkpoint_write(&config, dir, &options, &err) && vkft_file_write(path, text, length, &err);
    free(path);
    if (!ok)
        fail_msg("tiny model: %s", err.message);
}

void vkft_tiny_model_write_rows(uint32_t vocab_size, const char *path)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (uint64_t row = 0; row < 12; row++) {
        fprintf(file, "{\"input_ids\": [1");
        uint64_t length = 3 + vkft_random_bits(1, 1, row) % 20;
        for (uint64_t i = 0; i < length; i++)
            fprintf(file, ", %u", (unsigned)(vkft_random_bits(1, 2 + row, i) % vocab_size));
        fprintf(file, "]}\n");
    }
    fclose(file);
}
