/* ggml's block types as storage types: the fields of a block in separate arrays, so that each can be read in words.
 *
 * Not a bit is lost: blocks are cut into these parts and put together again, and values are those of ggml.c. Codes
 * lie in runs of 32 elements, 4 * bits bytes each, in which a run of 8 elements is expanded to bytes by a few shifts:
 * word o < 4 has the low 4 bits of elements 8o to 8o + 7, byte j those of 8o + j and, in its high half, of 8o + 4 + j.
 * After them are the fifth bits of all 32, byte j bit 2o + h of element 8o + 4h + j, or the upper two of 6 bits: word
 * o/2, byte j, bits 4(o % 2) + 2h. Codes of 8 bits are bytes in order. Scales are ggml's bytes.
 *
 * Kept as ggml's blocks they would be loaded byte by byte: blocks of 18, 34 or 210 bytes begin anywhere.
 *
 * Test: test_ggml_blocks, test_matmul
 */
#include <math.h>
#include <string.h>

#include "formats/tensors/ggml/ggml.h"
#include "formats/tensors/prequantized.h"
#include "runtime/base/size.h"

#define MAX_BLOCK 256
#define MAX_BYTES 256 /* of a block */

/* Where the code of an element is: its low 4 bits, and the others. */
typedef struct place {
    uint16_t low, high; /* bytes of the block */
    uint8_t low_shift, high_shift;
} place;

typedef struct layout {
    vkft_dtype dtype;
    vkft_storage storage;
    uint32_t bits;
    uint16_t low, high; /* where the codes begin in ggml's block */
    struct {
        uint16_t at, bytes;
    } field[VKFT_PARTS]; /* of ggml's block: the parts past the data */
    int16_t half[2];     /* where f16 numbers are; -1: none */
} layout;

#define SCALES(at, bytes) .field[VKFT_PART_SCALES] = {at, bytes}
static const layout layouts[] = {
    {VKFT_Q8_0, VKFT_STORAGE_q8_0, 8, 2, 0, SCALES(0, 2), .half = {0, -1}},
    {VKFT_Q6_K, VKFT_STORAGE_q6_k, 6, 0, 128, SCALES(192, 16), .field[VKFT_PART_SUPER] = {208, 2}, .half = {208, -1}},
    {VKFT_Q5_K, VKFT_STORAGE_q5_k, 5, 48, 16, SCALES(0, 16), .half = {0, 2}},
    {VKFT_Q4_K, VKFT_STORAGE_q4_k, 4, 16, 0, SCALES(0, 16), .half = {0, 2}},
    {VKFT_Q5_0, VKFT_STORAGE_q5_0, 5, 6, 2, SCALES(0, 2), .half = {0, -1}},
    {VKFT_Q5_1, VKFT_STORAGE_q5_1, 5, 8, 4, SCALES(0, 4), .half = {0, 2}},
    {VKFT_Q4_0, VKFT_STORAGE_q4_0, 4, 2, 0, SCALES(0, 2), .half = {0, -1}},
    {VKFT_Q4_1, VKFT_STORAGE_q4_1, 4, 4, 0, SCALES(0, 4), .half = {0, 2}},
    {VKFT_IQ4_NL, VKFT_STORAGE_iq4_nl, 4, 2, 0, SCALES(0, 2), .half = {0, -1}},
    {VKFT_MXFP4, VKFT_STORAGE_mxfp4, 4, 1, 0, SCALES(0, 1), .half = {-1, -1}},
};

static const layout *layout_of(vkft_storage storage)
{
    const layout *l = layouts;
    while (l->storage != storage)
        l++;
    return l;
}

static place place_in_block(const layout *l, uint32_t e)
{
    if (l->bits == 6) { /* halves of 128, in them quarters of 32 */
        const uint32_t half = e / 128, quarter = e % 128 / 32, at = e % 32;
        return (place){(uint16_t)(l->low + 64 * half + quarter % 2 * 32 + at), (uint16_t)(l->high + 32 * half + at),
                       (uint8_t)(quarter / 2 * 4), (uint8_t)(2 * quarter)};
    }
    if (vkft_dtype_block(l->dtype) == 256)
        return (place){(uint16_t)(l->low + e / 64 * 32 + e % 32), (uint16_t)(l->high + e % 32),
                       (uint8_t)(e / 32 % 2 * 4), (uint8_t)(e / 32)};
    return (place){(uint16_t)(l->low + e % 16), (uint16_t)(l->high + e / 8), (uint8_t)(e / 16 * 4), (uint8_t)(e % 8)};
}

static place place_in_data(const layout *l, uint32_t e)
{
    const uint32_t run = e / 32 * 4 * l->bits, o = e % 32 / 8, h = e / 4 % 2, j = e % 4;
    const bool two = l->bits == 6;
    return (place){(uint16_t)(run + 4 * o + j), (uint16_t)(run + 16 + (two ? o / 2 * 4 : 0) + j), (uint8_t)(4 * h),
                   (uint8_t)(two ? 4 * (o % 2) + 2 * h : 2 * o + h)};
}

/* Moves the codes of a block to where another form has them; `to` has zeros there. */
static void move_codes(const layout *l, uint32_t count, const uint8_t *from, const place *was, uint8_t *to,
                       const place *is)
{
    const uint32_t mask = (1u << (l->bits - 4)) - 1;
    for (uint32_t e = 0; e < count; e++) {
        to[is[e].low] |= (uint8_t)((from[was[e].low] >> was[e].low_shift & 15) << is[e].low_shift);
        if (mask)
            to[is[e].high] |= (uint8_t)((from[was[e].high] >> was[e].high_shift & mask) << is[e].high_shift);
    }
}

typedef struct places {
    place block[MAX_BLOCK], data[MAX_BLOCK];
} places;

static void find_places(const layout *l, places *p)
{
    for (uint32_t e = 0; e < vkft_dtype_block(l->dtype); e++) {
        p->block[e] = place_in_block(l, e);
        p->data[e] = place_in_data(l, e);
    }
}

/* Blocks, one after the other, to their parts. */
static void cut_blocks(const layout *l, const places *p, const uint8_t *b, uint64_t count,
                       uint8_t *const part[VKFT_PARTS])
{
    const uint32_t block = vkft_dtype_block(l->dtype), data_bytes = block * l->bits / 8;
    const uint64_t bytes = vkft_dtype_bytes(l->dtype, block);
    for (uint64_t i = 0; i < count; i++, b += bytes) {
        uint8_t *data = part[VKFT_PART_DATA] + i * data_bytes;
        memset(data, 0, data_bytes);
        if (l->bits == 8)
            memcpy(data, b + l->low, data_bytes);
        else
            move_codes(l, block, b, p->block, data, p->data);
        for (uint32_t f = VKFT_PART_SCALES; f < VKFT_PARTS; f++)
            if (l->field[f].bytes)
                memcpy(part[f] + i * l->field[f].bytes, b + l->field[f].at, l->field[f].bytes);
    }
}

/* Block i of a matrix as ggml has it. */
static void join_block(const layout *l, const places *p, const vkft_stored *w, uint64_t i, uint8_t b[MAX_BYTES])
{
    const uint32_t block = vkft_dtype_block(l->dtype), data_bytes = block * l->bits / 8;
    const uint8_t *data = (const uint8_t *)w->part[VKFT_PART_DATA] + i * data_bytes;
    memset(b, 0, MAX_BYTES);
    if (l->bits == 8)
        memcpy(b + l->low, data, data_bytes);
    else
        move_codes(l, block, data, p->data, b, p->block);
    for (uint32_t f = VKFT_PART_SCALES; f < VKFT_PARTS; f++)
        if (l->field[f].bytes)
            memcpy(b + l->field[f].at, (const uint8_t *)w->part[f] + i * l->field[f].bytes, l->field[f].bytes);
}

/* Calls visit with each block of a matrix as ggml has it, of whose values `count` from `first` on are the matrix's,
 * until it returns false. */
static void visit_blocks(const vkft_stored *w,
                         bool (*visit)(void *context, const layout *l, const uint8_t *b, uint64_t first,
                                       uint32_t count),
                         void *context)
{
    const layout *l = layout_of(w->storage);
    const uint32_t block = vkft_dtype_block(l->dtype);
    const uint64_t n = w->rows * w->cols;
    places p;
    uint8_t b[MAX_BYTES];
    bool more = true;
    find_places(l, &p);
    for (uint64_t i = 0; more && i < n; i += block) {
        join_block(l, &p, w, i / block, b);
        more = visit(context, l, b, i, (uint32_t)min_u64(block, n - i));
    }
}

static bool decode_block(void *context, const layout *l, const uint8_t *b, uint64_t first, uint32_t count)
{
    float values[MAX_BLOCK];
    vkft_ggml_to_f32(l->dtype, b, vkft_dtype_block(l->dtype), values);
    memcpy((float *)context + first, values, count * sizeof *values);
    return true;
}

static void decode(const vkft_stored *w, float *y)
{
    visit_blocks(w, decode_block, y);
}

/* Whether the scales of a block may make values that are not finite; those of f16 always do. */
static bool is_suspicious(const layout *l, const uint8_t *b)
{
    for (int i = 0; i < 2 && l->half[i] >= 0; i++)
        if ((b[l->half[i] + 1] & 0x7c) == 0x7c)
            return true;
    return l->dtype == VKFT_MXFP4 && b[0] > 250;
}

static bool find_not_finite(void *context, const layout *l, const uint8_t *b, uint64_t first, uint32_t count)
{
    float values[MAX_BLOCK];
    if (!is_suspicious(l, b))
        return true;
    vkft_ggml_to_f32(l->dtype, b, vkft_dtype_block(l->dtype), values);
    for (uint32_t e = 0; e < count; e++)
        if (!isfinite(values[e])) {
            *(uint64_t *)context = first + e;
            return false;
        }
    return true;
}

static uint64_t first_not_finite(const vkft_stored *w)
{
    uint64_t found = UINT64_MAX;
    visit_blocks(w, find_not_finite, &found);
    return found;
}

static uint64_t part_bytes(vkft_storage storage, vkft_part part, uint64_t elements)
{
    const layout *l = layout_of(storage);
    return ceil_div_u64(elements, vkft_dtype_block(l->dtype)) * l->field[part].bytes;
}

/* f16 numbers below 2; of MXFP4 scales from 2^-8 to 2^-1. */
static void tame(void *const part[VKFT_PARTS], const uint64_t bytes[VKFT_PARTS])
{
    for (uint32_t p = VKFT_PART_SCALES; p < VKFT_PARTS; p++)
        for (uint64_t i = 0; i < bytes[p]; i++)
            ((uint8_t *)part[p])[i] &= 0xbf;
}

static void tame_mxfp4(void *const part[VKFT_PARTS], const uint64_t bytes[VKFT_PARTS])
{
    for (uint64_t i = 0; i < bytes[VKFT_PART_SCALES]; i++)
        ((uint8_t *)part[VKFT_PART_SCALES])[i] = (uint8_t)(0x78 | (((uint8_t *)part[VKFT_PART_SCALES])[i] & 7));
}

#define CODEC(type, super, tame_function)                                                                              \
    static uint64_t type##_bytes(vkft_part part, uint64_t rows, uint64_t cols)                                         \
    {                                                                                                                  \
        return part_bytes(VKFT_STORAGE_##type, part, rows * cols);                                                     \
    }                                                                                                                  \
    const vkft_codec vkft_codec_##type = {.part_keys = {NULL, "block_scales", super},                                  \
                                          .overflow = 0x7f800000,                                                      \
                                          .part_bytes = type##_bytes,                                                  \
                                          .decode = decode,                                                            \
                                          .tame = tame_function,                                                       \
                                          .first_not_finite = first_not_finite,                                        \
                                          .whole_blocks = true,                                                        \
                                          .prequantizer = &vkft_gguf_blocks};
CODEC(q8_0, NULL, tame)
CODEC(q6_k, "super_scales", tame)
CODEC(q5_k, NULL, tame)
CODEC(q4_k, NULL, tame)
CODEC(q5_0, NULL, tame)
CODEC(q5_1, NULL, tame)
CODEC(q4_0, NULL, tame)
CODEC(q4_1, NULL, tame)
CODEC(iq4_nl, NULL, tame)
CODEC(mxfp4, NULL, tame_mxfp4)

static void cut_rows(const vkft_prequantized_weight *w, uint64_t first, uint64_t rows, void *const part[VKFT_PARTS])
{
    const vkft_shard_tensor *source = &w->source[VKFT_PART_DATA];
    const layout *l = layout_of(w->stored.storage);
    const uint8_t *data = vkft_tensor_file_data(source->shard, source->tensor);
    const uint64_t row_bytes = vkft_dtype_bytes(l->dtype, w->stored.cols),
                   blocks = w->stored.cols / vkft_dtype_block(l->dtype);
    uint8_t *to[VKFT_PARTS];
    places p;
    find_places(l, &p);
    for (uint64_t r = 0; r < rows; r++) {
        const uint64_t row = vkft_file_tensor_row(source->tensor, w->stored.rows, first + r);
        for (uint32_t f = 0; f < VKFT_PARTS; f++) {
            const uint64_t bytes = f == VKFT_PART_DATA ? w->stored.cols * l->bits / 8 : blocks * l->field[f].bytes;
            to[f] = part[f] ? (uint8_t *)part[f] + r * bytes : NULL;
        }
        cut_blocks(l, &p, data + row * row_bytes, blocks, to);
    }
}

static bool find(const vkft_tensor_finder *checkpoint, const vkft_shard_tensor *weight, vkft_prequantized_weight *parts,
                 bool *found, vkft_err *err)
{
    const vkft_file_tensor *t = weight->tensor;
    (void)checkpoint;
    (void)err;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) {
        const layout *l = &layouts[i];
        const uint64_t rows = t->shape[t->column_major], cols = t->shape[!t->column_major];
        if (l->dtype != t->dtype || t->dims != 2 || cols % vkft_dtype_block(l->dtype))
            continue;
        *found = true;
        parts->stored = (vkft_stored){.storage = l->storage, .rows = rows, .cols = cols};
        parts->source[VKFT_PART_DATA] = *weight;
        parts->cut = cut_rows;
    }
    return true;
}

const vkft_prequantizer vkft_gguf_blocks = {.find = find};
