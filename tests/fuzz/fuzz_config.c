/* config.json of a stranger's checkpoint, and the language model inside a multimodal one. */
#include <stdlib.h>
#include <string.h>

#include "formats/config/config.h"
#include "tests/fuzz/memory_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size ? size : 1); /* exactly as long as the content */
    if (size)
        memcpy(text, data, size);
    vkft_err err = {0};
    vkft_config config;
    bool ok = vkft_config_parse(text, size, "config.json", &config, &err);
    if (!ok && !err.message[0])
        abort();
    if (ok && (!config.num_layers || config.num_layers > VKFT_MAX_LAYERS || !config.num_heads))
        abort(); /* what the model's arrays rely on */
    char *inner = vkft_config_language_model(text, size, "config.json", &err);
    if (inner)
        vkft_config_parse(inner, strlen(inner), "config.json", &config, &err);
    free(inner);
    free(text);
    return 0;
}
