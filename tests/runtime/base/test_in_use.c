/* What a signal's handler can look up: mapped files by address, and temporary files to remove. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/base/os/in_use.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static void test_mappings(void **state)
{
    (void)state;
    static char first[100], second[100], long_name[1000];
    memset(long_name, 'n', sizeof long_name - 1);
    vkft_in_use_map(first, sizeof first, "first");
    vkft_in_use_map(second, sizeof second, "second");
    assert_string_equal(vkft_in_use_at(first), "first");
    assert_string_equal(vkft_in_use_at(second + 99), "second");
    vkft_in_use_unmap(first);
    assert_null(vkft_in_use_at(first));
    assert_string_equal(vkft_in_use_at(second), "second");
    vkft_in_use_map(first, sizeof first, long_name); /* there is no room for its name */
    assert_null(vkft_in_use_at(first));
    vkft_in_use_unmap(second);
    assert_null(vkft_in_use_at(second));
    vkft_in_use_unmap(second); /* of what is not there */
    /* More than there is room for: the rest is forgotten, and the first ones are found. */
    static char many[300];
    for (int i = 0; i < 300; i++)
        vkft_in_use_map(many + i, 1, "many");
    assert_string_equal(vkft_in_use_at(many), "many");
    for (int i = 0; i < 300; i++)
        vkft_in_use_unmap(many + i);
    assert_null(vkft_in_use_at(many));
}

static void test_temporaries(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *left = vkft_path_join(dir, "left.tmp"), *done = vkft_path_join(dir, "done.tmp");
    expect_ok(vkft_file_write(left, "x", 1, &err));
    expect_ok(vkft_file_write(done, "x", 1, &err));
    vkft_in_use_write(left);
    vkft_in_use_write(done);
    vkft_in_use_written(done);
    vkft_in_use_remove_temporaries();
    assert_false(vkft_file_exists(left));
    assert_true(vkft_file_exists(done));
    vkft_in_use_written(left);
    free(left);
    free(done);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mappings), cmocka_unit_test(test_temporaries)};
    return cmocka_run_group_tests_name("in_use", tests, NULL, NULL);
}
