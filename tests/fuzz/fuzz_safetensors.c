/* A .safetensors file: the bytes themselves, or, when they begin with '{', a header that ends with a zero byte, and
 * data. Every byte that a tensor claims is there. */
#include <stdlib.h>

#include "formats/tensors/safetensors.h"
#include "tests/fuzz/common/memory_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t prefix[8];
    uint8_t *made = NULL;
    memory_files_clear();
    if (size && data[0] == '{') {
        size_t length = text_length(data, size), rest = length < size ? length + 1 : size, made_size;
        made = join_file(prefix, sizeof prefix, 0, data, length, 1, data + rest, size - rest, &made_size);
        memory_file("fuzz.safetensors", made, made_size);
    } else {
        memory_file("fuzz.safetensors", data, size);
    }
    vkft_err err = {0};
    vkft_tensor_file file;
    if (vkft_safetensors_open("fuzz.safetensors", &file, &err)) {
        volatile uint8_t sum = 0;
        for (uint32_t i = 0; i < file.count; i++) {
            const vkft_file_tensor *tensor = &file.tensors[i];
            const uint8_t *bytes = vkft_tensor_file_data(&file, tensor);
            if (tensor->bytes)
                sum = (uint8_t)(sum + bytes[0] + bytes[tensor->bytes - 1]);
            if (!vkft_tensor_file_find(&file, tensor->name))
                abort();
        }
        vkft_tensor_file_close(&file);
    } else if (!err.message[0]) {
        abort();
    }
    free(made);
    return 0;
}
