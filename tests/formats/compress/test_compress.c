/* Each codec: its data as other programs write it, cut off, and with a size that it does not have. */
#include "tests/support/expect.h"

#include <stdlib.h>

#include "formats/compress/compress.h"

static const char plain[] = "hello hello hello hello";

/* By gzip and Arrow. */
static const struct {
    vkft_compression codec;
    const char *data;
    size_t length;
} cases[] = {
    {VKFT_COMPRESSION_GZIP,
     "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x27\x01\xe3\x51\x3d\x8d\x17\x00\x00\x00",
     28},
    {VKFT_COMPRESSION_ZSTD, "\x28\xb5\x2f\xfd\x20\x17\x65\x00\x00\x30\x68\x65\x6c\x6c\x6f\x20\x01\x00\x99\x4b\x11", 21},
    {VKFT_COMPRESSION_SNAPPY, "\x17\x14\x68\x65\x6c\x6c\x6f\x20\x42\x06\x00", 11},
    {VKFT_COMPRESSION_LZ4_RAW, "\x68\x68\x65\x6c\x6c\x6f\x20\x06\x00\x50\x68\x65\x6c\x6c\x6f", 15},
    {VKFT_COMPRESSION_LZ4, "\x68\x68\x65\x6c\x6c\x6f\x20\x06\x00\x50\x68\x65\x6c\x6c\x6f", 15},
    {VKFT_COMPRESSION_LZ4,
     "\x00\x00\x00\x17\x00\x00\x00\x0f\x68\x68\x65\x6c\x6c\x6f\x20\x06\x00\x50\x68\x65\x6c\x6c\x6f", 23},
};

static void unpacks_blocks(void **state)
{
    static const uint64_t wrong[] = {1, sizeof plain - 2, sizeof plain, 1u << 20, INT32_MAX, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_err err;
        uint8_t *out;
        uint8_t *data = malloc(cases[i].length); /* exactly as long, so that reading past its end is seen */
        memcpy(data, cases[i].data, cases[i].length);
        if (!vkft_unpack_block(cases[i].codec, data, cases[i].length, sizeof plain - 1, &out, &err)) {
            if (!strstr(err.message, "was built without"))
                fail_msg("case %zu: %s", i, err.message);
            print_message("skipped: %s\n", err.message);
            free(data);
            continue;
        }
        assert_memory_equal(out, plain, sizeof plain - 1);
        free(out);
        for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
            expect_failure(vkft_unpack_block(cases[i].codec, data, cases[i].length, wrong[w], &out, &err), "damaged");
            assert_null(out);
        }
        free(data);
        for (size_t length = 0; length < cases[i].length; length++) {
            uint8_t *cut = malloc(length + !length);
            memcpy(cut, cases[i].data, length);
            expect_failure(vkft_unpack_block(cases[i].codec, cut, length, sizeof plain - 1, &out, &err), "damaged");
            assert_null(out);
            free(cut);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(unpacks_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
