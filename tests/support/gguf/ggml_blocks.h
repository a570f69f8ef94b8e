/* Weights in ggml's block types: blocks with all codes and the edges of their scales, and their parts as they are kept.
 */
#ifndef VKFT_TEST_GGML_BLOCKS_H
#define VKFT_TEST_GGML_BLOCKS_H

#include <stdlib.h>
#include <string.h>

#include "formats/tensors/ggml/ggml.h"
#include "formats/tensors/prequantized.h"
#include "tests/support/expect.h"

#define VKFT_TEST_BLOCK_TYPES 10u

typedef struct vkft_test_blocks {
    vkft_storage storage;
    uint32_t rows, cols;
    uint64_t bytes[VKFT_PARTS];
    uint8_t *part[VKFT_PARTS];
    float *value; /* as ggml.c decodes the blocks */
} vkft_test_blocks;

static const struct {
    vkft_dtype dtype;
    vkft_storage storage;
    int half[2]; /* where f16 numbers are in a block */
} vkft_test_block_types[VKFT_TEST_BLOCK_TYPES] = {
    {VKFT_Q8_0, VKFT_STORAGE_q8_0, {0, -1}},     {VKFT_Q6_K, VKFT_STORAGE_q6_k, {208, -1}},
    {VKFT_Q5_K, VKFT_STORAGE_q5_k, {0, 2}},      {VKFT_Q4_K, VKFT_STORAGE_q4_k, {0, 2}},
    {VKFT_Q5_0, VKFT_STORAGE_q5_0, {0, -1}},     {VKFT_Q5_1, VKFT_STORAGE_q5_1, {0, 2}},
    {VKFT_Q4_0, VKFT_STORAGE_q4_0, {0, -1}},     {VKFT_Q4_1, VKFT_STORAGE_q4_1, {0, 2}},
    {VKFT_IQ4_NL, VKFT_STORAGE_iq4_nl, {0, -1}}, {VKFT_MXFP4, VKFT_STORAGE_mxfp4, {-1, -1}},
};

/* Random bytes; the scales of the first blocks are 0, -0, the smallest and largest subnormal, the smallest normal and
 * the largest number of f16, and their negatives. heads: as in vkft_file_tensor. */
static inline vkft_test_blocks vkft_test_blocks_new(uint32_t type, uint32_t rows, uint32_t cols, uint32_t heads)
{
    static const uint16_t edges[] = {0x0000, 0x8000, 0x0001, 0x8001, 0x03ff, 0x83ff,
                                     0x0400, 0x8400, 0x7bff, 0xfbff, 0x3c00, 0xbc01};
    enum { EDGES = sizeof edges / sizeof *edges };
    const vkft_dtype dtype = vkft_test_block_types[type].dtype;
    const uint32_t block = vkft_dtype_block(dtype);
    const uint64_t size = vkft_dtype_bytes(dtype, block), row_bytes = vkft_dtype_bytes(dtype, cols);
    uint8_t *data = malloc((size_t)(rows * row_bytes) + 1), *bytes = data + 1; /* not aligned */
    uint32_t s = 12345 + type;
    for (uint64_t i = 0; i < rows * row_bytes; i++) {
        s = s * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(s >> 24);
    }
    for (uint64_t b = 0; b < rows * row_bytes / size; b++) {
        for (int h = 0; h < 2 && vkft_test_block_types[type].half[h] >= 0; h++) {
            uint8_t *at = bytes + b * size + vkft_test_block_types[type].half[h];
            const uint16_t edge = edges[(b * (h ? 5 : 1) + b / EDGES * h) % EDGES];
            at[1] &= 0xbf; /* below 2 */
            if (b < (uint64_t)EDGES * EDGES) {
                at[0] = (uint8_t)edge;
                at[1] = (uint8_t)(edge >> 8);
            }
        }
        if (dtype == VKFT_MXFP4) /* without subnormal f32 numbers, which devices may take for 0 */
            bytes[b * size] = (uint8_t)(4 + b % 247);
    }
    vkft_file_tensor tensor = {.name = "w",
                               .dtype = dtype,
                               .dims = 2,
                               .shape = {rows, cols},
                               .elements = (uint64_t)rows * cols,
                               .bytes = rows * row_bytes,
                               .interleaved_heads = heads};
    const vkft_tensor_file file = {.path = "test", .mapping = {.data = bytes, .size = rows * row_bytes}};
    const vkft_shard_tensor shard = {&file, &tensor};
    vkft_prequantized_weight parts = {0};
    vkft_err err = {0};
    bool found = false;
    vkft_test_blocks w = {.storage = vkft_test_block_types[type].storage, .rows = rows, .cols = cols};
    expect_ok(vkft_gguf_blocks.find(NULL, &shard, &parts, &found, &err));
    assert_true(found && parts.stored.storage == w.storage && parts.stored.rows == rows && parts.stored.cols == cols);
    assert_true(vkft_storage_part_bytes(w.storage, rows, cols, w.bytes));
    void *to[VKFT_PARTS] = {NULL};
    uint64_t sum = 0;
    for (uint32_t p = 0; p < VKFT_PARTS; p++) {
        to[p] = w.part[p] = w.bytes[p] ? malloc((size_t)w.bytes[p] + 4) : NULL;
        sum += w.bytes[p];
    }
    assert_int_equal(sum, tensor.bytes); /* the memory that the file takes */
    parts.cut(&parts, 0, rows, to);
    w.value = malloc((size_t)rows * cols * sizeof *w.value);
    for (uint32_t r = 0; r < rows; r++)
        vkft_ggml_to_f32(dtype, bytes + vkft_file_tensor_row(&tensor, rows, r) * row_bytes, cols,
                         w.value + (size_t)r * cols);
    free(data);
    return w;
}

static inline void vkft_test_blocks_free(vkft_test_blocks *w)
{
    for (uint32_t p = 0; p < VKFT_PARTS; p++)
        free(w->part[p]);
    free(w->value);
}

#endif
