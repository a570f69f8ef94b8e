/* A harness as a test: every seed once, so that what a fuzzer found stays mended and the harnesses compile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "tests/support/expect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool run_seed(void *count, const char *name)
{
    char path[1024];
    static char text[1 << 20];
    snprintf(path, sizeof path, "%s/%s", VKFT_FUZZ_SEEDS, name);
    FILE *in = fopen(path, "rb"); /* file.h may be the harness's own */
    assert_non_null(in);
    size_t size = fread(text, 1, sizeof text, in);
    fclose(in);
    uint8_t *data = malloc(size ? size : 1); /* exactly as long as the seed */
    memcpy(data, text, size);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    ++*(uint32_t *)count;
    return true;
}

static void test_seeds(void **state)
{
    (void)state;
    vkft_err err;
    uint32_t count = 0;
    expect_ok(vkft_directory_list(VKFT_FUZZ_SEEDS, run_seed, &count, &err));
    assert_true(count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_seeds)};
    return cmocka_run_group_tests_name("seeds", tests, NULL, NULL);
}
