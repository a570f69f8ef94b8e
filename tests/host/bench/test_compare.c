/* Ranks, ratios and noise of rows that the test makes up, from every format that is read; the chart and the page are
 * well formed, need no other file, and leave no text unescaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/bench/compare/compare.h"
#include "host/bench/report/report.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

static char *directory;

static int setup(void **state)
{
    (void)state;
    directory = vkft_test_directory();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    vkft_test_remove_directory(directory);
    return 0;
}

static vkft_bench_row train(double value, double deviation, bool steady)
{
    return (vkft_bench_row){.test = "train",
                            .name = "llama-8b",
                            .unit = "tokens/s",
                            .value = value,
                            .deviation_percent = deviation,
                            .repetitions = 5,
                            .steady = steady,
                            .quant = "nf4-dq",
                            .compute = "fp32",
                            .tokens = 512,
                            .batch = 1,
                            .lora_r = 16};
}

static vkft_bench_row eval(double value)
{
    vkft_bench_row row = train(value, 0.1, true);
    row.test = "eval";
    return row;
}

static vkft_bench_row launch(double us)
{
    return (vkft_bench_row){.test = "peak", .name = "launch", .unit = "us", .value = us, .repetitions = 5};
}

/* A file with the rows of one device; malloc'ed path. */
static char *write_rows(const char *name, vkft_bench_format format, const char *device, const char *driver,
                        const vkft_bench_row *rows, uint32_t count)
{
    vkft_err err;
    vkft_bench_origin origin = {
        .date = "2026-11-26T03:24Z", .version = "0.1.0", .commit = "c", .device_type = "discrete"};
    snprintf(origin.device, sizeof origin.device, "%s", device);
    snprintf(origin.driver, sizeof origin.driver, "%s", driver);
    cJSON *list = cJSON_CreateArray();
    for (uint32_t i = 0; i < count; i++)
        cJSON_AddItemToArray(list, vkft_bench_row_json(&origin, &rows[i]));
    vkft_text text = {0};
    expect_ok(vkft_bench_report(format, list, &text, &err));
    char *path = vkft_path_join(directory, name);
    expect_ok(vkft_file_write(path, text.data, text.length, &err));
    vkft_text_free(&text);
    cJSON_Delete(list);
    return path;
}

static const vkft_bench_group *find_group(const vkft_bench_comparison *c, const char *title)
{
    char text[300];
    for (uint32_t i = 0; i < c->group_count; i++) {
        vkft_bench_group_title(&c->groups[i], text, sizeof text);
        if (strcmp(text, title) == 0)
            return &c->groups[i];
    }
    fail_msg("no group '%s'", title);
    return NULL;
}

#define TRAIN "train llama-8b: nf4-dq fp32 r 16, 512 tokens"

static void test_ranks(void **state)
{
    (void)state;
    vkft_err err;
    vkft_bench_comparison c;
    const vkft_bench_row a[] = {train(1000, 1, true), eval(4000), launch(5)},
                         b[] = {train(970, 1, true), eval(2000), launch(10)},
                         w[] = {train(960, 1, true), eval(1000), launch(20)};
    char *paths[] = {write_rows("a.json", VKFT_BENCH_JSON, "A", "d", a, 3),
                     write_rows("b.jsonl", VKFT_BENCH_JSONL, "B", "d", b, 3),
                     write_rows("w.md", VKFT_BENCH_MARKDOWN, "W", "d", w, 3)};
    expect_ok(vkft_bench_compare((const char *const *)paths, 3, &c, &err));
    assert_int_equal(c.entrant_count, 3);
    assert_int_equal(c.group_count, 3);
    assert_int_equal(c.damaged, 0);
    const vkft_bench_group *group = find_group(&c, TRAIN);
    assert_int_equal(group->count, 3);
    assert_string_equal(c.entrants[group->standings[0].entrant].label, "A");
    assert_true(group->standings[0].ratio == 1 && !group->standings[0].differs);
    /* Noise: twice sqrt(1 + 1) %, 2.83 %; -log(0.97) is 3.05 %. */
    assert_true(fabs(group->standings[1].noise_percent - 2.8284) < 1e-3);
    assert_true(fabs(group->standings[1].ratio - 0.97) < 1e-9 && group->standings[1].differs);
    assert_true(fabs(group->standings[2].ratio - 0.96) < 1e-9 && group->standings[2].differs);
    char text[100];
    vkft_bench_standing_text(group, 1, text, sizeof text);
    assert_string_equal(text, "0.97x");
    vkft_bench_standing_text(group, 0, text, sizeof text);
    assert_string_equal(text, "");
    /* Of times the smallest is the best. */
    group = find_group(&c, "peak launch");
    assert_string_equal(c.entrants[group->standings[0].entrant].label, "A");
    assert_true(fabs(group->standings[2].ratio - 0.25) < 1e-9);
    /* Geometric means of train and eval: 1; sqrt(0.97 * 0.5); sqrt(0.96 * 0.25). */
    assert_int_equal(c.shared, 2);
    assert_string_equal(c.entrants[c.overall[1].entrant].label, "B");
    assert_true(c.overall[0].ratio == 1 && fabs(c.overall[1].ratio - sqrt(0.485)) < 1e-9 &&
                fabs(c.overall[2].ratio - sqrt(0.24)) < 1e-9);
    vkft_bench_comparison_free(&c);
    for (int i = 0; i < 3; i++)
        free(paths[i]);
}

static void test_noise(void **state)
{
    (void)state;
    vkft_err err;
    static const struct {
        double value, deviation;
        bool steady, differs;
    } cases[] = {
        {975, 0, true, false},  /* at least 1 % each: 2.83 % */
        {965, 0, true, true},   /* */
        {965, 2, true, false},  /* 2 * hypot(1, 2) = 4.5 % */
        {910, 0, false, false}, /* not steady: 2 * hypot(1, 5) = 10.2 % */
        {850, 0, false, true},  /* */
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vkft_bench_comparison c;
        const vkft_bench_row a = train(1000, 0, true), b = train(cases[i].value, cases[i].deviation, cases[i].steady);
        char *paths[] = {write_rows("a.json", VKFT_BENCH_JSON, "A", "d", &a, 1),
                         write_rows("b.json", VKFT_BENCH_JSON, "B", "d", &b, 1)};
        expect_ok(vkft_bench_compare((const char *const *)paths, 2, &c, &err));
        if (c.groups[0].standings[1].differs != cases[i].differs)
            fail_msg("%g against 1000: differs %d", cases[i].value, c.groups[0].standings[1].differs);
        vkft_bench_comparison_free(&c);
        free(paths[0]), free(paths[1]);
    }
}

/* Failed rows are last, have no speed, and no part in the mean. */
static void test_failed(void **state)
{
    (void)state;
    vkft_err err;
    vkft_bench_comparison c;
    vkft_bench_row a[] = {train(1000, 1, true), eval(10)}, b[] = {train(99999, 1, true), eval(5)};
    b[0].check = VKFT_BENCH_FAIL;
    snprintf(b[0].note, sizeof b[0].note, "loss 1, expected 2");
    char *paths[] = {write_rows("b.json", VKFT_BENCH_JSON, "B", "d", b, 2),
                     write_rows("a.json", VKFT_BENCH_JSON, "A", "d", a, 2)};
    expect_ok(vkft_bench_compare((const char *const *)paths, 2, &c, &err));
    const vkft_bench_group *group = find_group(&c, TRAIN);
    assert_false(group->standings[0].failed);
    assert_true(group->standings[1].failed && group->standings[1].ratio == 0);
    char text[100];
    vkft_bench_standing_text(group, 1, text, sizeof text);
    assert_string_equal(text, "loss 1, expected 2");
    assert_int_equal(c.shared, 1);
    vkft_text table = {0};
    expect_ok(vkft_bench_compare_table(&c, &table, &err));
    assert_non_null(strstr(table.data, "FAIL  loss 1, expected 2\n"));
    assert_null(strstr(table.data, "99999"));
    vkft_text_free(&table);
    vkft_bench_comparison_free(&c);
    free(paths[0]), free(paths[1]);
}

/* Devices of one name are told apart by their driver, or whatever does it. */
static void test_labels(void **state)
{
    (void)state;
    vkft_err err;
    vkft_bench_comparison c;
    const vkft_bench_row row = train(1, 1, true), other = train(2, 1, true);
    char *paths[] = {write_rows("one.json", VKFT_BENCH_JSON, "Card", "Mesa 22.3", &row, 1),
                     write_rows("two.json", VKFT_BENCH_JSON, "Card", "Mesa 26.1", &row, 1),
                     write_rows("three.json", VKFT_BENCH_JSON, "Other", "Mesa 26.1", &other, 1)};
    expect_ok(vkft_bench_compare((const char *const *)paths, 3, &c, &err));
    assert_string_equal(c.entrants[0].label, "Card [Mesa 22.3]");
    assert_string_equal(c.entrants[1].label, "Card [Mesa 26.1]");
    assert_string_equal(c.entrants[2].label, "Other");
    vkft_bench_comparison_free(&c);
    const char *same[] = {paths[0], paths[0]};
    expect_ok(vkft_bench_compare(same, 2, &c, &err));
    assert_int_equal(c.entrant_count, 2);
    assert_string_equal(c.entrants[1].label, "Card [one.json]");
    vkft_bench_comparison_free(&c);
    for (int i = 0; i < 3; i++)
        free(paths[i]);
}

static void test_files(void **state)
{
    (void)state;
    vkft_err err;
    vkft_bench_comparison c;
    char *path = vkft_path_join(directory, "text");
    const char *files[] = {path};
    expect_ok(vkft_file_write(path, "no rows\n{\"a\": 1}\n{broken\n", 24, &err));
    expect_failure(vkft_bench_compare(files, 1, &c, &err), "text: no rows of vkft bench in it");
    const char later[] = "{\"schema\":\"vkft-bench/2\",\"test\":\"train\"}\n";
    expect_ok(vkft_file_write(path, later, strlen(later), &err));
    expect_failure(vkft_bench_compare(files, 1, &c, &err), "have the schema 'vkft-bench/2', expected 'vkft-bench/1'");
    const char changed[] =
        "{\"schema\":\"vkft-bench/1\",\"device\":\"A\",\"test\":\"train\",\"name\":\"x\",\"unit\":\"tokens/s\","
        "\"value\":5,\"hash\":\"0000000000000000\"}\n";
    expect_ok(vkft_file_write(path, changed, strlen(changed), &err));
    expect_ok(vkft_bench_compare(files, 1, &c, &err));
    assert_int_equal(c.damaged, 1);
    assert_null(c.overall);
    vkft_bench_comparison_free(&c);
    const char *missing[] = {"/nonexistent/x"};
    expect_failure(vkft_bench_compare(missing, 1, &c, &err), "/nonexistent/x");
    free(path);
}

/* Every element is closed, and in order. */
static void check_markup(const char *text)
{
    const char *open[64];
    size_t length[64], depth = 0;
    for (const char *at = strchr(text, '<'); at; at = strchr(at + 1, '<')) {
        const char *end = strchr(at, '>');
        assert_non_null(end);
        bool closing = at[1] == '/';
        const char *name = at + 1 + closing;
        size_t n = strcspn(name, " />\n");
        if (at[1] == '!' || end[-1] == '/' || (n == 4 && strncmp(name, "meta", 4) == 0))
            continue;
        if (!closing) {
            assert_true(depth < 64);
            open[depth] = name, length[depth++] = n;
        } else {
            assert_true(depth > 0);
            depth--;
            if (length[depth] != n || strncmp(open[depth], name, n) != 0)
                fail_msg("<%.*s> is closed by </%.*s>", (int)length[depth], open[depth], (int)n, name);
        }
    }
    assert_int_equal(depth, 0);
}

static void test_pictures(void **state)
{
    (void)state;
    vkft_err err;
    vkft_bench_comparison c;
    const vkft_bench_row a[] = {train(1000, 1, true), eval(10)}, b[] = {train(500, 1, true), eval(20)};
    char *paths[] = {write_rows("a.json", VKFT_BENCH_JSON, "<script>alert('A')</script> & \"co\"", "d|e", a, 2),
                     write_rows("b.json", VKFT_BENCH_JSON, "B", "d", b, 2)};
    expect_ok(vkft_bench_compare((const char *const *)paths, 2, &c, &err));
    vkft_text svg = {0}, html = {0}, markdown = {0};
    expect_ok(vkft_bench_compare_svg(&c, &svg, &err));
    expect_ok(vkft_bench_compare_html(&c, &html, &err));
    expect_ok(vkft_bench_compare_markdown(&c, &markdown, &err));
    const char *both[] = {svg.data, html.data};
    for (int i = 0; i < 2; i++) {
        check_markup(both[i]);
        assert_null(strstr(both[i], "<script"));
        assert_non_null(strstr(both[i], "&lt;script&gt;alert(&#39;A&#39;)&lt;/script&gt; &amp; &quot;co&quot;"));
        assert_non_null(strstr(both[i], "prefers-color-scheme: dark"));
        /* Nothing is loaded from elsewhere. */
        assert_null(strstr(both[i], "src="));
        assert_null(strstr(both[i], "href="));
        assert_null(strstr(both[i], "url("));
        assert_non_null(strstr(both[i], "width=\"560.0\""));
        assert_non_null(strstr(both[i], "width=\"280.0\""));
    }
    assert_non_null(strstr(markdown.data, "\\<script\\>"));
    assert_non_null(strstr(markdown.data, "| 0.50x |"));
    vkft_text_free(&svg), vkft_text_free(&html), vkft_text_free(&markdown);
    vkft_bench_comparison_free(&c);
    free(paths[0]), free(paths[1]);
}

/* The command: files up to the next flag, in any order with others. */
static void test_command(void **state)
{
    (void)state;
    const vkft_bench_row a = train(1000, 1, true), b = train(500, 1, true);
    char *one = write_rows("one.json", VKFT_BENCH_JSON, "A", "d", &a, 1),
         *two = write_rows("two.json", VKFT_BENCH_JSON, "B", "d", &b, 1),
         *html = vkft_path_join(directory, "page.html");
    vkft_test_result r = vkft_test_program("bench --compare '%s' '%s' --html '%s' -o md", one, two, html);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.out, "| B | 500.0 tokens/s | 0.50x |"));
    vkft_test_result_free(&r);
    assert_true(vkft_file_exists(html));
    r = vkft_test_program("bench -o table --compare '%s'", one);
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.out, "1000 tokens/s"));
    vkft_test_result_free(&r);
    r = vkft_test_program("bench --compare '%s' -o csv", one);
    assert_int_equal(r.exit_code, 2);
    assert_non_null(strstr(r.err, "--compare writes --format table or markdown"));
    vkft_test_result_free(&r);
    r = vkft_test_program("bench --compare");
    assert_int_equal(r.exit_code, 2);
    vkft_test_result_free(&r);
    free(one), free(two), free(html);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),   cmocka_unit_test(test_noise), cmocka_unit_test(test_failed),
        cmocka_unit_test(test_labels),  cmocka_unit_test(test_files), cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests_name("compare", tests, setup, teardown);
}
