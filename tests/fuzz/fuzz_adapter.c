/* A PEFT adapter: adapter_config.json up to a zero byte, the header of adapter_model.safetensors up to the next, and
 * data; or, when what follows the configuration does not begin with '{', adapter_model.bin. Its modules' ranks, and
 * whether they are its targets, are asked. */
#include <math.h>
#include <stdlib.h>

#include "formats/peft/adapter.h"
#include "host/trainable/method.h"
#include "tests/fuzz/common/memory_files.h"

static void use(const vkft_adapter *adapter)
{
    static const char *const modules[] = {"model.layers.0.self_attn.q_proj", "model.layers.11.mlp.experts.3.up_proj",
                                          "lm_head", ""};
    vkft_err err = {0};
    for (uint32_t i = 0; i < adapter->count; i++) {
        const vkft_adapter_tensor *t = &adapter->tensors[i];
        if (!isfinite(t->data[(size_t)t->rows * t->cols - 1]))
            abort();
    }
    for (size_t i = 0; i < sizeof modules / sizeof *modules + adapter->count; i++) {
        const char *module = i < adapter->count ? adapter->tensors[i].key : modules[i - adapter->count];
        double value = 1;
        bool named;
        if (!vkft_module_targets_find(&adapter->config.targets, module, &named, &err) ||
            !vkft_module_patterns_find(&adapter->config.rank_pattern, module, &value, &err) ||
            !vkft_module_patterns_find(&adapter->config.alpha_pattern, module, &value, &err)) {
            if (!err.message[0])
                abort();
            return;
        }
        if (!isfinite((float)value))
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
    if (rest < size && data[rest] != '{')
        memory_file("adapter_model.bin", data + rest, size - rest);
    else
        memory_file("adapter_model.safetensors", made, made_size);
    vkft_err err = {0};
    vkft_adapter adapter;
    if (vkft_adapter_read("adapter", vkft_adapter_formats(), &adapter, &err))
        use(&adapter);
    else if (!err.message[0])
        abort();
    vkft_adapter_free(&adapter);
    free(made);
    return 0;
}
