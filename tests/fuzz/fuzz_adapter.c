/* A PEFT adapter: adapter_config.json up to a zero byte, the header of adapter_model.safetensors up to the next, and
 * data. */
#include <stdlib.h>

#include "formats/peft/adapter.h"
#include "host/trainable/method.h"
#include "tests/fuzz/memory_files.h"

/* Matching ends, and a failure has words. */
static void match_names(const vkft_adapter_config *config)
{
    static const char *const modules[] = {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.experts.3.up_proj",
                                          "lm_head"};
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        vkft_err err = {0};
        double value = 0;
        bool named;
        if ((!vkft_module_patterns_find(&config->rank_pattern, modules[i], &value, &err) ||
             !vkft_module_patterns_find(&config->alpha_pattern, modules[i], &value, &err) ||
             !vkft_module_targets_find(&config->targets, modules[i], &named, &err)) &&
            !err.message[0])
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t prefix[8];
    size_t config = text_length(data, size), rest = config < size ? config + 1 : size;
    size_t header = text_length(data + rest, size - rest), values = rest + header < size ? rest + header + 1 : size,
           made_size;
    uint8_t *made =
        join_file(prefix, sizeof prefix, 0, data + rest, header, 1, data + values, size - values, &made_size);
    memory_files_clear();
    memory_file("adapter_config.json", data, config);
    memory_file("adapter_model.safetensors", made, made_size);
    vkft_err err = {0};
    vkft_adapter adapter;
    if (vkft_adapter_read("adapter", vkft_adapter_formats(), &adapter, &err)) {
        match_names(&adapter.config);
        for (uint32_t i = 0; i < adapter.count; i++) {
            volatile float last =
                adapter.tensors[i].data[(size_t)adapter.tensors[i].rows * adapter.tensors[i].cols - 1];
            (void)last;
        }
    } else if (!err.message[0])
        abort();
    vkft_adapter_free(&adapter);
    free(made);
    return 0;
}
