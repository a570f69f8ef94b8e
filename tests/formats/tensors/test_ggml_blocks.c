/* ggml's block types as they are kept: their parts decode to the values of the blocks, bit for bit. */
#include "tests/support/gguf/ggml_blocks.h"

static vkft_stored stored_of(const vkft_test_blocks *w)
{
    vkft_stored stored = {.storage = w->storage, .rows = w->rows, .cols = w->cols};
    for (uint32_t p = 0; p < VKFT_PARTS; p++)
        stored.part[p] = w->part[p];
    return stored;
}

static void parts_decode_to_the_blocks_values(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < VKFT_TEST_BLOCK_TYPES; type++)
        for (uint32_t heads = 0; heads <= 2; heads += 2) {
            vkft_test_blocks w = vkft_test_blocks_new(type, 12, 512, heads);
            const vkft_stored stored = stored_of(&w);
            const size_t n = (size_t)w.rows * w.cols;
            float *values = malloc(n * sizeof *values);
            vkft_storage_get(w.storage)->codec->decode(&stored, values);
            for (size_t i = 0; i < n; i++)
                if (memcmp(&values[i], &w.value[i], sizeof *values) != 0)
                    fail_msg("%s: element %zu is %g, in ggml %g", vkft_storage_get(w.storage)->name, i,
                             (double)values[i], (double)w.value[i]);
            assert_int_equal(vkft_storage_get(w.storage)->codec->first_not_finite(&stored), UINT64_MAX);
            free(values);
            vkft_test_blocks_free(&w);
        }
}

/* Also of a matrix whose last block is not whole. */
static void finds_what_is_not_finite(void **state)
{
    (void)state;
    for (uint32_t type = 0; type < VKFT_TEST_BLOCK_TYPES; type++) {
        vkft_test_blocks w = vkft_test_blocks_new(type, 2, 512, 0);
        vkft_stored stored = stored_of(&w);
        const uint32_t block = vkft_storage_get(w.storage)->block;
        const bool super = w.part[VKFT_PART_SUPER] != NULL;
        const uint64_t blocks = 1024 / block, last = w.bytes[super ? VKFT_PART_SUPER : VKFT_PART_SCALES] / blocks;
        uint8_t *scale = w.part[super ? VKFT_PART_SUPER : VKFT_PART_SCALES] + (blocks - 1) * last;
        memset(w.part[VKFT_PART_DATA] + w.bytes[VKFT_PART_DATA] - 4 * vkft_storage_get(w.storage)->bits, 0x11, 8);
        scale[0] = last == 1 ? 255 : 0; /* infinity */
        if (last > 1)
            scale[1] = 0x7c;
        const uint64_t found = vkft_storage_get(w.storage)->codec->first_not_finite(&stored);
        assert_true(found >= 1024 - block && found < 1024);
        stored.rows = 1;
        stored.cols = 1024 - block;
        assert_int_equal(vkft_storage_get(w.storage)->codec->first_not_finite(&stored), UINT64_MAX);
        vkft_test_blocks_free(&w);
    }
}

static void sizes_are_those_of_whole_blocks(void **state)
{
    (void)state;
    uint64_t bytes[VKFT_PARTS];
    assert_true(vkft_storage_part_bytes(VKFT_STORAGE_q5_0, 3, 11, bytes)); /* 33 elements */
    assert_int_equal(bytes[VKFT_PART_DATA], 40);
    assert_int_equal(bytes[VKFT_PART_SCALES], 4);
    assert_int_equal(bytes[VKFT_PART_SUPER], 0);
    assert_true(vkft_storage_part_bytes(VKFT_STORAGE_q6_k, 1, 257, bytes));
    assert_int_equal(bytes[VKFT_PART_DATA], 384);
    assert_int_equal(bytes[VKFT_PART_SCALES], 32);
    assert_int_equal(bytes[VKFT_PART_SUPER], 4);
    assert_false(vkft_storage_part_bytes(VKFT_STORAGE_q6_k, 1, UINT64_MAX - 3, bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_decode_to_the_blocks_values),
                                       cmocka_unit_test(finds_what_is_not_finite),
                                       cmocka_unit_test(sizes_are_those_of_whole_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
