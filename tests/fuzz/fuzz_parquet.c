/* A Parquet file: its bytes. Checksums are left out, so that what is in a page can be changed. What is read is JSON. */
#include <stdlib.h>
#include <string.h>

#include "formats/parquet/parquet.h"
#include "runtime/base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
bool __wrap_vkft_crc32_is(const uint8_t *data, uint64_t length, uint32_t expected);

bool __wrap_vkft_crc32_is(const uint8_t *data, uint64_t length, uint32_t expected)
{
    (void)data, (void)length, (void)expected;
    return true;
}

static bool is_short_name(void *context, const char *name)
{
    (void)context;
    return strlen(name) < 6;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    vkft_err err = {0};
    vkft_text row = {0};
    uint8_t *copy = malloc(size + !size); /* exactly as long as the content, so that reading past its end is seen */
    if (size)
        memcpy(copy, data, size);
    vkft_parquet *file = vkft_parquet_open("fuzz.parquet", copy, size, &err);
    bool found = true, ok = file != NULL;
    for (uint32_t i = 0; ok && found && i < 200; i++) { /* a few bytes can claim any number of nulls */
        row.length = 0;
        ok = vkft_parquet_next(file, &row, &found, &err);
        if (ok && found && row.length < 1 << 16) {
            cJSON *value = vkft_json_parse(row.data, row.length, "row", &err);
            if (!value && !strstr(row.data, "NaN") && !strstr(row.data, "Infinity") && !strstr(err.message, "nest"))
                abort();
            cJSON_Delete(value);
        }
        if (i == 50 && ok)
            vkft_parquet_choose(file, is_short_name, NULL);
    }
    if (!ok && !err.message[0])
        abort();
    vkft_parquet_close(file);
    vkft_text_free(&row);
    free(copy);
    return 0;
}
