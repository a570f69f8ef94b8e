/* vkft bench on the command line: what is measured goes to the terminal or a file in each format, and files are
 * compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static int set_up(void **state)
{
    *state = vkft_test_directory();
    return 0;
}

static int tear_down(void **state)
{
    vkft_test_remove_directory(*state);
    return 0;
}

static void has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("expected \"%s\" in:\n%s", part, text);
}

static void file_has(const char *dir, const char *name, const char *part)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    char *text = vkft_test_read(path, NULL);
    has(text, part);
    free(text);
}

static void test_table_as_it_comes(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("bench --shapes tiny -r 1 -n 4 --context 32");
    assert_int_equal(r.exit_code, 0);
    has(r.out, "deviation"); /* the head */
    has(r.out, "\ntrain     tiny ");
    has(r.out, "\neval      tiny ");
    has(r.out, "\ngenerate  tiny ");
    vkft_test_result_free(&r);
}

static void test_preset(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("bench --preset lora-512 --shapes tiny -r 0 --format json");
    assert_int_equal(r.exit_code, 0);
    cJSON *report = cJSON_Parse(r.out), *row = cJSON_GetArrayItem(cJSON_GetObjectItem(report, "rows"), 0);
    assert_non_null(row);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(row, "lora_r")) == 8);
    assert_true(cJSON_GetNumberValue(cJSON_GetObjectItem(row, "tokens")) == 512);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(row, "quant")), "none");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(row, "check")), "pass");
    cJSON_Delete(report);
    vkft_test_result_free(&r);
    vkft_test_program_ok("bench --preset lora-512 --shapes tiny -r 0 --json --lora-r 4 --quant nf4 --context 64");
}

static void test_formats_and_comparison(void **state)
{
    const char *dir = *state;
    vkft_test_program_ok("bench --shapes tiny -r 1 -n 0 -p 32 -o json --output-file '%s/a.json'", dir);
    vkft_test_program_ok("bench --shapes tiny -r 1 -n 0 -p 32 -o markdown --output-file '%s/b.md'", dir);
    vkft_test_program_ok("bench --shapes tiny -r 1 -n 0 -p 32 -o csv --output-file '%s/c.csv'", dir);
    file_has(dir, "b.md", "| train");
    file_has(dir, "c.csv", "train,tiny,");
    vkft_test_program_ok(
        "bench --compare '%s/a.json' '%s/b.md' --svg '%s/c.svg' --html '%s/c.html' --output-file '%s/t'", dir, dir, dir,
        dir, dir);
    file_has(dir, "t", "train");
    file_has(dir, "c.svg", "<svg");
    file_has(dir, "c.html", "</html>");
    vkft_test_program_ok("bench --compare='%s/a.json' -o markdown", dir);
    vkft_test_result r = vkft_test_program("bench --compare '%s/a.json' '%s/b.md' --format csv", dir, dir);
    assert_int_equal(r.exit_code, 2);
    has(r.err, "--compare writes --format table or markdown");
    vkft_test_result_free(&r);
    r = vkft_test_program("bench --compare '%s/a.json' '%s/nothing.json'", dir, dir);
    assert_int_equal(r.exit_code, 1);
    has(r.err, "nothing.json");
    vkft_test_result_free(&r);
}

/* A number that was changed by hand is told. */
static void test_damaged_row(void **state)
{
    const char *dir = *state;
    char path[600];
    vkft_err err = {0};
    snprintf(path, sizeof path, "%s/d.jsonl", dir);
    vkft_test_program_ok("bench --shapes tiny -r 1 -n 0 -p 32 --format jsonl --output-file '%s'", path);
    char *text = vkft_test_read(path, NULL), *digit = strstr(text, "\"value\":");
    assert_non_null(digit);
    digit += strlen("\"value\":");
    *digit = *digit == '9' ? '8' : '9';
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(text);
    vkft_test_result r = vkft_test_program("bench --compare '%s'", path);
    assert_int_equal(r.exit_code, 0);
    has(r.err, "warning: 1 rows are not as vkft bench wrote them");
    vkft_test_result_free(&r);
}

static void test_output_that_cannot_be_written(void **state)
{
    const char *dir = *state;
    vkft_test_result r = vkft_test_program("bench --shapes tiny -r 0 -o csv --output-file '%s/none/x.csv'", dir);
    assert_int_equal(r.exit_code, 1);
    has(r.err, "none/x.csv");
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table_as_it_comes), cmocka_unit_test(test_preset),
                                       cmocka_unit_test(test_formats_and_comparison),
                                       cmocka_unit_test(test_damaged_row),
                                       cmocka_unit_test(test_output_that_cannot_be_written)};
    return cmocka_run_group_tests_name("bench_command", tests, set_up, tear_down);
}
