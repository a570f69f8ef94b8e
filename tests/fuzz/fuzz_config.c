/* config.json of a stranger's checkpoint up to a zero byte, then names of tensors, one a line: what the model's layout
 * relies on, and a role for each name. The same for the language model inside a multimodal one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "formats/config/arch.h"
#include "tests/fuzz/common/parts.h"

static void check_block(const vkft_block_spec *b)
{
    uint64_t queries = (uint64_t)b->heads * b->head_dim, keys = (uint64_t)b->kv_heads * b->head_dim;
    if (!queries || !keys || queries + 2 * keys > UINT32_MAX || b->heads % b->kv_heads || !b->hidden_size ||
        !isfinite(b->attention_scale) || !isfinite(b->residual_scale) || b->experts_per_token > b->experts)
        abort();
    for (vkft_linear_slot s = 0; s < VKFT_LINEAR_SLOTS; s++) {
        uint32_t out = 0, in = 0;
        if (!vkft_block_has(b, vkft_linear_part(s)))
            continue;
        vkft_linear_shape(b, s, &out, &in);
        (void)vkft_linear_has_bias(b, s);
        if (!out || !in)
            abort();
    }
    for (vkft_norm_slot s = 0; s < VKFT_NORM_SLOTS; s++)
        if (!vkft_norm_width(b, s))
            abort();
}

static void check_names(const vkft_config *config, const char *names, size_t size)
{
    char name[300], canonical[256];
    for (size_t at = 0, length; at < size; at += length + 1) {
        const char *end = memchr(names + at, '\n', size - at);
        length = end ? (size_t)(end - names) - at : size - at;
        size_t n = length < sizeof name ? length : sizeof name - 1;
        memcpy(name, names + at, n);
        name[n] = 0;
        if (vkft_arch_tensor(config, name, canonical, sizeof canonical) != VKFT_ROLE_NONE && !canonical[0])
            abort();
    }
}

static void check(const char *text, size_t length, const char *names, size_t size)
{
    vkft_err err = {0};
    vkft_config config;
    if (!vkft_config_parse(text, length, "config.json", &config, &err)) {
        if (!err.message[0])
            abort();
        return;
    }
    if (!config.num_layers || config.num_layers > VKFT_MAX_LAYERS || config.encoder_layers > VKFT_MAX_LAYERS ||
        !config.vocab_size || config.eos_count > VKFT_MAX_EOS)
        abort();
    for (int stack = VKFT_ENCODER; stack <= VKFT_DECODER; stack++)
        for (uint32_t i = 0; i < (stack == VKFT_ENCODER ? config.encoder_layers : config.num_layers); i++) {
            vkft_block_spec block = vkft_config_block(&config, (vkft_stack_kind)stack, i);
            check_block(&block);
        }
    check_names(&config, names, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = text_length(data, size), at = length < size ? length + 1 : size;
    const char *names = (const char *)data + at;
    char *text = malloc(length ? length : 1); /* exactly as long as the content */
    vkft_err err = {0};
    if (length)
        memcpy(text, data, length);
    check(text, length, names, size - at);
    char *inner = vkft_config_language_model(text, length, "config.json", &err);
    if (inner)
        check(inner, strlen(inner), names, size - at);
    free(inner);
    char *untied = vkft_config_untied(text, length, "config.json", &err);
    if (!untied && !err.message[0])
        abort();
    free(untied);
    free(text);
    return 0;
}
