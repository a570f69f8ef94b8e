/* Blocks of ggml's types against the bytes of llama-quantize (tests/golden/make_ggml_encoded.py). */
#include "tests/support/expect.h"

#include <stdio.h>
#include <stdlib.h>

#include "formats/gguf/gguf.h"
#include "formats/tensors/ggml/encode.h"

static void has_the_bytes_of_llama_quantize(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_gguf g;
    expect_ok(vkft_gguf_open(VKFT_TEST_DATA "/gguf/encoded.gguf", &g, &err));
    const vkft_tensor_file *file = &g.parts[0];
    const vkft_file_tensor *x = vkft_tensor_file_find(file, "x");
    assert_int_equal(file->count, 8);
    for (uint32_t i = 0; i < file->count; i++) {
        const vkft_file_tensor *t = &file->tensors[i];
        if (t == x)
            continue;
        uint8_t *ours = malloc(t->bytes);
        const uint8_t *theirs = vkft_tensor_file_data(file, t);
        const uint64_t block = vkft_dtype_bytes(t->dtype, vkft_dtype_block(t->dtype));
        assert_int_equal(t->elements, x->elements);
        vkft_ggml_from_f32(t->dtype, (const float *)(const void *)vkft_tensor_file_data(file, x), x->elements, ours);
        for (uint64_t k = 0; k < t->bytes; k++)
            if (ours[k] != theirs[k])
                fail_msg("%s: block %llu, byte %llu is %u, expected %u", t->name, (unsigned long long)(k / block),
                         (unsigned long long)(k % block), ours[k], theirs[k]);
        free(ours);
    }
    vkft_gguf_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(has_the_bytes_of_llama_quantize)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
