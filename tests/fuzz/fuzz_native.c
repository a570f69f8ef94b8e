/* A .vkft file: the bytes themselves, or, when they begin with '{', a header that ends with a zero byte, and data.
 * Every checksum is taken for 0, so that changed bytes come past it. Every byte that a tensor or a small file claims is
 * there. */
#include <stdlib.h>
#include <string.h>

#include "formats/native/model_file.h"
#include "tests/fuzz/common/memory_files.h"

uint64_t __wrap_XXH3_64bits(const void *data, size_t size);

uint64_t __wrap_XXH3_64bits(const void *data, size_t size)
{
    volatile uint8_t sum = 0;
    if (size)
        sum = (uint8_t)(((const uint8_t *)data)[0] + ((const uint8_t *)data)[size - 1]);
    (void)sum;
    return 0;
}

static void touch(const void *data, uint64_t size)
{
    volatile uint8_t sum = 0;
    if (data && size)
        sum = (uint8_t)(((const uint8_t *)data)[0] + ((const uint8_t *)data)[size - 1]);
    (void)sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t prefix[24] = {'V', 'K', 'F', 'T', 1};
    uint8_t *made = NULL;
    memory_files_clear();
    if (size && data[0] == '{') {
        size_t length = text_length(data, size), rest = length < size ? length + 1 : size, made_size;
        made = join_file(prefix, sizeof prefix, 8, data, length, 256, data + rest, size - rest, &made_size);
        memory_file("fuzz.vkft", made, made_size);
    } else {
        memory_file("fuzz.vkft", data, size);
    }
    vkft_err err = {0};
    vkft_model_file *file = vkft_model_file_open("fuzz.vkft", &err);
    if (!file && !err.message[0])
        abort();
    for (uint32_t i = 0; file && i < vkft_model_file_tensor_count(file); i++) {
        const vkft_model_tensor *tensor = vkft_model_file_tensor(file, i);
        vkft_model_file_verify(file, tensor, &err); /* reads all of its parts */
        if (!vkft_model_file_find(file, tensor->name))
            abort();
    }
    for (uint32_t i = 0; file && i < vkft_model_file_blob_count(file); i++) {
        size_t length = 0;
        const char *text = vkft_model_file_blob(file, vkft_model_file_blob_name(file, i), &length);
        touch(text, length);
    }
    vkft_model_file_close(file);
    free(made);
    return 0;
}
