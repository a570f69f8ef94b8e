/* A pickle of any bytes: values or an error. */
#include <stdint.h>
#include <stddef.h>

#include "formats/tensors/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vkft_pickle pickle;
    vkft_err err = {0};
    uint64_t used;
    if (vkft_pickle_load(data, size, "fuzz.pkl", &pickle, &used, &err))
        vkft_pickle_free(&pickle);
    return 0;
}
