/* tests/data/generation_cases.json, which golden/make_generation_golden.py made. */
#ifndef VKFT_TEST_GENERATION_CASES_H
#define VKFT_TEST_GENERATION_CASES_H

#include "formats/config/generation_config.h"
#include "tests/support/program.h"

#define VKFT_TEST_VOCAB 97

/* Of a case: its "config" as generation_config.json, to free; a list of numbers, where null is -infinity; the count. */
vkft_generation_config vkft_test_generation_config(const cJSON *item);
uint32_t vkft_test_floats(const cJSON *item, const char *key, float *out, uint32_t most);
uint32_t vkft_test_ids(const cJSON *item, const char *key, int32_t *out, uint32_t most);

#endif
