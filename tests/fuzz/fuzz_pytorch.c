/* A .bin file of any bytes: tensors within it, or an error. */
#include <stdint.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "formats/tensors/pytorch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vkft_err err = {0};
    vkft_tensor_file file = {.path = strdup("fuzz.bin"), .mapping = {.data = data, .size = size}};
    if (vkft_pytorch_read(&file, &err)) {
        volatile uint8_t sum = 0; /* every byte that a tensor claims is there */
        for (uint32_t i = 0; i < file.count; i++) {
            const uint8_t *bytes = vkft_tensor_file_data(&file, &file.tensors[i]);
            if (file.tensors[i].bytes)
                sum = (uint8_t)(sum + bytes[0] + bytes[file.tensors[i].bytes - 1]);
        }
    }
    file.mapping = (vkft_mapping){0};
    vkft_tensor_file_close(&file);
    return 0;
}
