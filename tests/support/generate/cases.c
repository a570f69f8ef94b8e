/* See cases.h. */
#include "tests/support/generate/cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/expect.h"

vkft_generation_config vkft_test_generation_config(const cJSON *item)
{
    vkft_err err = {0};
    vkft_generation_config config;
    char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(item, "config"));
    expect_ok(vkft_generation_config_parse(text, strlen(text), "generation_config.json", &config, &err));
    cJSON_free(text);
    return config;
}

uint32_t vkft_test_floats(const cJSON *item, const char *key, float *out, uint32_t most)
{
    uint32_t count = 0;
    const cJSON *x;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(item, key))
    {
        assert_true(count < most);
        out[count++] = cJSON_IsNull(x) ? -INFINITY : (float)x->valuedouble;
    }
    return count;
}

uint32_t vkft_test_ids(const cJSON *item, const char *key, int32_t *out, uint32_t most)
{
    uint32_t count = 0;
    const cJSON *x;
    cJSON_ArrayForEach(x, cJSON_GetObjectItem(item, key))
    {
        assert_true(count < most);
        out[count++] = x->valueint;
    }
    return count;
}
