/* ggml's block types against ggml itself: hashes made by tests/golden/ggml_hashes.py. */
#include "tests/support/expect.h"

#include <stdlib.h>

#include "formats/tensors/ggml/ggml.h"
#include "formats/tensors/storage.h"

#define BLOCKS 301

static const struct {
    vkft_dtype dtype;
    uint32_t elements, bytes;
    int scales[2];   /* where the f16 numbers of a block are; -1: it has none */
    uint64_t values; /* FNV-1a of the decoded values */
} golden[] = {
    {VKFT_Q4_0, 32, 18, {0, -1}, 0x22c87c8a930dfa5d},     {VKFT_Q4_1, 32, 20, {0, 2}, 0x728e08c2b9e637c8},
    {VKFT_Q5_0, 32, 22, {0, -1}, 0x16c28c4a8b72993d},     {VKFT_Q5_1, 32, 24, {0, 2}, 0xeb283e3a2fd9d429},
    {VKFT_Q8_0, 32, 34, {0, -1}, 0xa274e37f96f88e36},     {VKFT_Q2_K, 256, 84, {80, 82}, 0x3f4efbe087449132},
    {VKFT_Q3_K, 256, 110, {108, -1}, 0xea4616585e954fb9}, {VKFT_Q4_K, 256, 144, {0, 2}, 0x86e30e1db3373e98},
    {VKFT_Q5_K, 256, 176, {0, 2}, 0x7ea10e88e37c6bf6},    {VKFT_Q6_K, 256, 210, {208, -1}, 0x112962cf13050bd3},
    {VKFT_IQ4_NL, 32, 18, {0, -1}, 0x0c8c69ea8978af91},   {VKFT_IQ4_XS, 256, 136, {0}, 0xc1c0303483941a76},
    {VKFT_MXFP4, 32, 17, {-1, -1}, 0xb1a7472c6307dd1f},
};

static uint64_t hash(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint64_t h = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        h = (h ^ bytes[i]) * 0x100000001b3;
    return h;
}

static void decodes_as_ggml(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof golden / sizeof *golden; g++) {
        const uint32_t size = golden[g].bytes, elements = golden[g].elements;
        uint8_t *data = malloc(BLOCKS * size + 1), *bytes = data + 1; /* not aligned */
        float *values = malloc((BLOCKS * elements + 1) * sizeof *values);
        uint32_t s = size;
        for (uint32_t i = 0; i < BLOCKS * size; i++) {
            s = s * 1664525 + 1013904223;
            bytes[i] = (uint8_t)(s >> 24);
        }
        for (uint32_t b = 0; b < BLOCKS; b++)
            for (int i = 0; i < 2 && golden[g].scales[i] >= 0; i++)
                bytes[b * size + (uint32_t)golden[g].scales[i] + 1] &= 0xbf;
        values[BLOCKS * elements] = 12345.0f;
        assert_int_equal(vkft_dtype_block(golden[g].dtype), elements);
        assert_int_equal(vkft_dtype_bytes(golden[g].dtype, BLOCKS * elements), BLOCKS * size);
        assert_int_equal(vkft_dtype_bytes(golden[g].dtype, elements + 1), 2 * size);
        assert_int_equal(vkft_storage_of_dtype(golden[g].dtype), VKFT_STORAGE_f32);
        vkft_ggml_to_f32(golden[g].dtype, bytes, BLOCKS * elements, values);
        if (hash(values, BLOCKS * elements * sizeof *values) != golden[g].values)
            fail_msg("%s decodes to other values than ggml's", vkft_dtype_name(golden[g].dtype));
        assert_true(values[BLOCKS * elements] == 12345.0f);
        free(data);
        free(values);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(decodes_as_ggml)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
