/* docs/results.md shows its rows, as tools/update-results writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/bench/compare/compare.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static void test_page(void **state)
{
    (void)state;
    vkft_err err;
    vkft_bench_comparison c;
    static const char *const files[] = {VKFT_PROJECT_DIR "/docs/results/rows.jsonl"};
    size_t size;
    char *page = vkft_test_read(VKFT_PROJECT_DIR "/docs/results.md", &size),
         *chart = vkft_test_read(VKFT_PROJECT_DIR "/docs/results/chart.svg", &size);
    vkft_text markdown = {0}, svg = {0};
    expect_ok(vkft_bench_compare(files, 1, &c, &err));
    assert_int_equal(c.damaged, 0);
    expect_ok(vkft_bench_compare_markdown(&c, &markdown, &err));
    expect_ok(vkft_bench_compare_svg(&c, &svg, &err));
    if (!strstr(page, markdown.data) || strcmp(chart, svg.data) != 0)
        fail_msg("docs/results.md or its chart do not show docs/results/rows.jsonl; run tools/update-results");
    vkft_text_free(&markdown), vkft_text_free(&svg);
    vkft_bench_comparison_free(&c);
    free(page), free(chart);
}

/* The script refuses rows that were changed, and leaves everything as it was. */
static void test_refusals(void **state)
{
    (void)state;
    if (system("python3 --version > /dev/null 2>&1") != 0) {
        print_message("skipped: python3 is not installed\n");
        skip();
    }
    vkft_err err;
    size_t size, after;
    const char *file = VKFT_PROJECT_DIR "/docs/results/rows.jsonl";
    char *rows = vkft_test_read(file, &size), *directory = vkft_test_directory(),
         *changed = vkft_path_join(directory, "changed.md"), command[2000];
    char *value = strstr(rows, "\"value\":");
    assert_non_null(value);
    value[strlen("\"value\":")] = value[strlen("\"value\":")] == '9' ? '8' : '9';
    expect_ok(vkft_file_write(changed, rows, size, &err));
    snprintf(command, sizeof command, "python3 '%s/tools/update-results' '%s' > '%s/out' 2>&1", VKFT_PROJECT_DIR,
             changed, directory);
    assert_int_not_equal(system(command), 0);
    char *path = vkft_path_join(directory, "out"), *out = vkft_test_read(path, &after);
    assert_non_null(strstr(out, "a row was changed or damaged"));
    value[strlen("\"value\":")] = 0; /* the rest is as it was */
    char *now = vkft_test_read(file, &after);
    assert_int_equal(after, size);
    assert_memory_equal(now, rows, strlen(rows));
    free(rows), free(now), free(out), free(path), free(changed);
    vkft_test_remove_directory(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_page), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests_name("results", tests, NULL, NULL);
}
