/* See gguf_types.h. */
#include "host/merge/gguf_types.h"

#include <string.h>

enum { Q4_K_M = 15 };

static vkft_dtype base_type(uint32_t file_type)
{
#define FILE_TYPE(name, number, dtype)                                                                                 \
    if (file_type == (number))                                                                                         \
        return (dtype);
    VKFT_GGUF_FILE_TYPES(FILE_TYPE)
#undef FILE_TYPE
    return VKFT_F32;
}

/* The first and the last eighth of the layers, and every third one between. */
static bool has_more_bits(uint32_t layer, uint32_t layers)
{
    return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

static bool is(const vkft_gguf_place *place, const char *module)
{
    const char *dot = strchr(place->name, '.'), *name = place->name;
    if (strncmp(name, "blk.", 4) == 0)
        name = strchr(dot + 1, '.') + 1;
    return strncmp(name, module, strlen(module)) == 0 && strcmp(name + strlen(module), ".weight") == 0;
}

/* Of q4_K_M those that have more bits. */
static vkft_dtype mixed(const vkft_config *c, const vkft_gguf_place *place)
{
    bool more = has_more_bits(place->block, c->num_layers), eight = c->experts == 8;
    if (is(place, "attn_v") || is(place, "attn_qkv"))
        return eight ? VKFT_Q8_0 : more ? VKFT_Q6_K : c->num_layers == 80 ? VKFT_Q5_K : VKFT_Q4_K;
    if (is(place, "attn_k"))
        return eight ? VKFT_Q8_0 : VKFT_Q4_K;
    if (is(place, "attn_output"))
        return eight ? VKFT_Q5_K : VKFT_Q4_K;
    if (is(place, "ffn_down") || is(place, "ffn_down_exps"))
        return more ? VKFT_Q6_K : VKFT_Q4_K;
    return VKFT_Q4_K;
}

/* Rows that are no whole number of blocks: the nearest type of smaller blocks. */
static vkft_dtype fitting(vkft_dtype dtype, uint64_t cols)
{
    if (cols % vkft_dtype_block(dtype) == 0)
        return dtype;
    vkft_dtype other = dtype == VKFT_Q4_K ? VKFT_Q5_0 : dtype == VKFT_Q5_K ? VKFT_Q5_1 : VKFT_Q8_0;
    return cols % vkft_dtype_block(other) == 0 && vkft_dtype_block(dtype) == 256 ? other : VKFT_F16;
}

vkft_dtype vkft_gguf_dtype_of(uint32_t file_type, const vkft_config *config, bool tied, const vkft_gguf_place *place,
                              uint32_t dims, uint64_t cols)
{
    const vkft_dtype base = base_type(file_type);
    if (dims < 2 || place->is_router || is(place, "position_embd"))
        return VKFT_F32;
    if (vkft_dtype_block(base) == 1)
        return base;
    if (is(place, "output") || (tied && is(place, "token_embd")))
        return cols % vkft_dtype_block(base) || base == VKFT_Q8_0 ? fitting(VKFT_Q8_0, cols) : fitting(VKFT_Q6_K, cols);
    return fitting(file_type == Q4_K_M ? mixed(config, place) : base, cols);
}
