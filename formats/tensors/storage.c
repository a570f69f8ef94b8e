/* See storage.h; and the codecs of the types whose elements are plain numbers. */
#include "formats/tensors/storage.h"

#include <string.h>

static void encode_f32(const float *x, uint64_t n, uint8_t *data, float *scales)
{
    (void)scales;
    vkft_from_f32(VKFT_F32, x, n, data);
}

static void encode_f16(const float *x, uint64_t n, uint8_t *data, float *scales)
{
    (void)scales;
    vkft_from_f32(VKFT_F16, x, n, data);
}

static void encode_bf16(const float *x, uint64_t n, uint8_t *data, float *scales)
{
    (void)scales;
    vkft_from_f32(VKFT_BF16, x, n, data);
}

static void decode_f32(const vkft_stored *w, float *y)
{
    vkft_to_f32(VKFT_F32, w->part[VKFT_PART_DATA], w->rows * w->cols, y);
}

static void decode_f16(const vkft_stored *w, float *y)
{
    vkft_to_f32(VKFT_F16, w->part[VKFT_PART_DATA], w->rows * w->cols, y);
}

static void decode_bf16(const vkft_stored *w, float *y)
{
    vkft_to_f32(VKFT_BF16, w->part[VKFT_PART_DATA], w->rows * w->cols, y);
}

/* Magnitudes from `overflow` on round to infinity, or are infinite or NaN already. */
static const vkft_codec vkft_codec_f32 = {.overflow = 0x7f800000, .encode = encode_f32, .decode = decode_f32};
static const vkft_codec vkft_codec_f16 = {.overflow = 0x477ff000, .encode = encode_f16, .decode = decode_f16};
static const vkft_codec vkft_codec_bf16 = {.overflow = 0x7f7f8000, .encode = encode_bf16, .decode = decode_bf16};

/* A codec above is declared once more; the others live in files of their own. */
#define STORAGE(name, header, bits, block, label, flag, super, codec) extern const vkft_codec vkft_codec_##codec;
#include "formats/tensors/storage.def"
#undef STORAGE

static const vkft_storage_type types[VKFT_STORAGE_COUNT] = {
#define STORAGE(name, header, bits, block, label, flag, super, codec)                                                  \
    {#name, header, label, bits, block, VKFT_STORAGE_##super, &vkft_codec_##codec},
#include "formats/tensors/storage.def"
#undef STORAGE
};

const vkft_storage_type *vkft_storage_get(vkft_storage storage)
{
    return &types[storage];
}

const char *vkft_quant_label(vkft_storage quant)
{
    return quant == VKFT_STORAGE_none ? "none" : quant == VKFT_STORAGE_stored ? "stored" : types[quant].label;
}

bool vkft_storage_named(const char *label, vkft_storage *storage)
{
    for (int i = 0; i <= VKFT_STORAGE_stored; i++)
        if (strcmp(vkft_quant_label((vkft_storage)i), label) == 0) {
            *storage = (vkft_storage)i;
            return true;
        }
    return false;
}

vkft_storage vkft_storage_variant(vkft_storage quant, bool super_scales)
{
    bool has = !vkft_storage_keeps(quant) && types[quant].super != VKFT_STORAGE_none;
    return super_scales && has ? types[quant].super : quant;
}

bool vkft_storage_is_quantized(vkft_storage storage)
{
    return types[storage].codec->part_bytes != NULL;
}

vkft_storage vkft_storage_of_dtype(vkft_dtype dtype)
{
    switch (dtype) {
    case VKFT_F64: /* doubles are rounded once, when they are read */
    case VKFT_F32: return VKFT_STORAGE_f32;
    case VKFT_F16: return VKFT_STORAGE_f16;
    case VKFT_BF16: return VKFT_STORAGE_bf16;
    default: return vkft_dtype_block(dtype) > 1 ? VKFT_STORAGE_f32 : VKFT_STORAGE_none; /* ggml's are decoded */
    }
}

bool vkft_storage_part_bytes(vkft_storage storage, uint64_t rows, uint64_t cols, uint64_t bytes[VKFT_PARTS])
{
    const vkft_storage_type *type = &types[storage];
    const uint64_t unit = type->codec->whole_blocks ? type->block : 1;
    uint64_t bits;
    if (__builtin_mul_overflow(rows, cols, &bits) || __builtin_add_overflow(bits, unit - 1, &bits) ||
        __builtin_mul_overflow(bits / unit * unit, (uint64_t)type->bits, &bits) || bits > UINT64_MAX - 7)
        return false;
    bytes[VKFT_PART_DATA] = (bits + 7) / 8;
    for (vkft_part part = VKFT_PART_SCALES; part < VKFT_PARTS; part++)
        bytes[part] = type->codec->part_keys[part] ? type->codec->part_bytes(part, rows, cols) : 0;
    return true;
}
