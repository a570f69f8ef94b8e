/* Logs of runs as they are found, their curves and axes by numbers known beforehand, and the page: whole, without other
 * files, and with nothing of a run unescaped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/plot/axis.h"
#include "host/plot/page.h"
#include "host/plot/summary.h"
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

/* DIRECTORY/run, malloc'ed; with a file in it. */
static char *write_run(const char *run, const char *name, const char *text)
{
    vkft_err err;
    char *dir = vkft_path_join(directory, run), *path = vkft_path_join(dir, name);
    char *parent = vkft_path_parent(path);
    expect_ok(vkft_directory_create(parent, &err));
    expect_ok(vkft_file_write(path, text, strlen(text), &err));
    free(path);
    free(parent);
    return dir;
}

static vkft_plot_log read_run(const char *path)
{
    vkft_err err;
    vkft_plot_log log;
    expect_ok(vkft_plot_logs_read(&path, 1, &log, &err));
    return log;
}

static vkft_curve read_curve(const vkft_plot_log *log, const char *key, vkft_plot_x x)
{
    vkft_err err;
    vkft_curve curve;
    expect_ok(vkft_curve_read(log, key, x, &curve, &err));
    return curve;
}

static const char short_log[] = "{\"step\":1,\"loss\":4,\"epoch\":0.5,\"tokens\":100}\n"
                                "{\"step\":2,\"loss\":null,\"epoch\":1,\"tokens\":250}\n"
                                "{\"step\":2,\"eval_loss\":3.5,\"epoch\":1}\n"
                                "\n"
                                "{\"step\":3,\"loss\":2,\"epoch\":1.5,\"tokens\":300}\n";

static void test_log(void **state)
{
    (void)state;
    char text[1024];
    snprintf(text, sizeof text, "%s{\"step\":4,\"lo", short_log); /* it is being written */
    char *dir = write_run("going", "trainer_log.jsonl", text);
    free(write_run("going", "checkpoint-2/vkft_state.json",
                   "{\"version\":1,\"settings\":{\"lora-r\":\"8\",\"output-dir\":\"x\"}}"));
    vkft_plot_log log = read_run(dir);
    assert_string_equal(log.label, "going");
    assert_int_equal(cJSON_GetArraySize(log.rows), 4);
    assert_false(log.finished);
    assert_int_equal(cJSON_GetArraySize(log.settings), 1);
    assert_string_equal(cJSON_GetObjectItem(log.settings, "lora-r")->valuestring, "8");

    vkft_curve loss = read_curve(&log, "loss", VKFT_PLOT_STEP), eval = read_curve(&log, "eval_loss", VKFT_PLOT_TOKENS);
    assert_int_equal(loss.count, 3);
    assert_true(loss.y[0] == 4 && isnan(loss.y[1]) && loss.y[2] == 2 && loss.x[2] == 3);
    assert_int_equal(eval.count, 1);
    assert_true(eval.x[0] == 250 && eval.y[0] == 3.5);
    vkft_curve_free(&loss);
    vkft_curve_free(&eval);
    vkft_plot_logs_free(&log, 1);

    free(write_run("going", "vkft.json", "{\"run\":{\"--lora-r\":\"9\"}}"));
    log = read_run(dir);
    assert_true(log.finished);
    assert_string_equal(cJSON_GetObjectItem(log.settings, "lora-r")->valuestring, "8");
    vkft_plot_logs_free(&log, 1);
    free(dir);
}

/* As transformers' Trainer leaves it, in its checkpoints alone. */
static void test_trainer_state(void **state)
{
    (void)state;
    const char text[] = "{\"log_history\":[{\"step\":5,\"loss\":1.5},{\"step\":5,\"eval_loss\":2},7],\"epoch\":1}";
    char *dir = write_run("trainer", "checkpoint-5/trainer_state.json", text);
    vkft_plot_log log = read_run(dir);
    assert_int_equal(cJSON_GetArraySize(log.rows), 2);
    vkft_plot_logs_free(&log, 1);
    free(dir);
}

static void test_refusals(void **state)
{
    (void)state;
    vkft_err err;
    vkft_plot_log log;
    char *nothing = write_run("nothing", "other.txt", ""),
         *wrong = write_run("wrong", "trainer_log.jsonl", "{}\n[1]\n"),
         *torn = write_run("torn", "trainer_log.jsonl", "{\"step\":1}\n{\"step\":\n{}\n");
    const char *paths[] = {nothing, wrong, torn, "/none/such"};
    expect_failure(vkft_plot_logs_read(&paths[0], 1, &log, &err), "neither trainer_log.jsonl nor trainer_state.json");
    expect_failure(vkft_plot_logs_read(&paths[1], 1, &log, &err), "line 2: expected a JSON object");
    expect_failure(vkft_plot_logs_read(&paths[2], 1, &log, &err), "line 2");
    expect_failure(vkft_plot_logs_read(&paths[3], 1, &log, &err), "/none/such");
    free(nothing);
    free(wrong);
    free(torn);
}

/* Two runs of one name are told apart by their paths. */
static void test_labels(void **state)
{
    (void)state;
    vkft_err err;
    char *a = write_run("a/out", "trainer_log.jsonl", short_log),
         *b = write_run("b/out", "trainer_log.jsonl", short_log), *c = write_run("c", "trainer_log.jsonl", short_log);
    const char *paths[] = {a, b, c};
    vkft_plot_log logs[3];
    expect_ok(vkft_plot_logs_read(paths, 3, logs, &err));
    assert_string_equal(logs[0].label, a);
    assert_string_equal(logs[1].label, b);
    assert_string_equal(logs[2].label, "c");
    vkft_plot_logs_free(logs, 3);
    free(a);
    free(b);
    free(c);
}

static void test_smooth_and_thin(void **state)
{
    (void)state;
    vkft_err err;
    double x[1000], y[1000];
    for (int i = 0; i < 1000; i++) {
        x[i] = i;
        y[i] = i % 2 ? 1 : 3; /* 2 on average */
    }
    y[500] = NAN;
    y[700] = 90;
    y[800] = -90;
    vkft_curve curve = {x, y, 1000}, smooth;
    size_t window = vkft_curve_window(&curve);
    assert_int_equal(window, 43);
    assert_int_equal(vkft_curve_window(&(vkft_curve){x, y, 39}), 0);
    expect_ok(vkft_curve_smooth(&curve, window, &smooth, &err));
    assert_int_equal(smooth.count, 1000);
    assert_true(fabs(smooth.y[100] - 2) < 0.05);
    assert_true(fabs(smooth.y[500] - 2) < 0.05); /* its neighbours */
    assert_true(fabs(smooth.y[0] - 2) < 0.1 && smooth.x[999] == 999);
    vkft_curve_free(&smooth);

    vkft_curve_thin(&curve, 50);
    assert_in_range(curve.count, 50, 100);
    double low = 0, high = 0;
    for (size_t i = 0; i < curve.count; i++) {
        low = fmin(low, y[i]);
        high = fmax(high, y[i]);
        assert_true(i == 0 || x[i] > x[i - 1]);
    }
    assert_true(low == -90 && high == 90);
}

static void expect_axis(double low, double high, bool logarithmic, bool bytes, double from, double to,
                        const char *second)
{
    double marks[VKFT_AXIS_MARKS];
    char text[64];
    vkft_axis axis = vkft_axis_around(low, high, logarithmic, bytes);
    size_t count = vkft_axis_marks(&axis, marks);
    assert_true(fabs(axis.low - from) <= 1e-9 * fabs(to) && fabs(axis.high - to) <= 1e-9 * fabs(to));
    assert_in_range(count, 2, VKFT_AXIS_MARKS);
    assert_true(fabs(marks[0] - from) <= 1e-9 * fabs(to) && fabs(marks[count - 1] - to) <= 1e-9 * fabs(to));
    assert_true(fabs(vkft_axis_place(&axis, from)) < 1e-9 && fabs(vkft_axis_place(&axis, to) - 1) < 1e-9);
    vkft_axis_text(&axis, marks[1], text, sizeof text);
    assert_string_equal(text, second);
}

static void test_axis(void **state)
{
    (void)state;
    expect_axis(0.1, 6.3, false, false, 0, 7, "1");
    expect_axis(2e-5, 0.00195, false, false, 0, 0.002, "0.0005");
    expect_axis(-3, 14, false, false, -4, 14, "-2");
    expect_axis(0.2, 70, true, false, 0.1, 100, "1");
    expect_axis(5, 5, false, false, 2, 8, "3"); /* one value: half of it to both sides */
    expect_axis(0, 0, false, false, -1, 1, "-0.5");
    expect_axis(3.0 * (1 << 30), 7.5 * (1 << 30), false, true, 3.0 * (1 << 30), 8.0 * (1 << 30), "4.00 GiB");
    expect_axis(1e4, 5e4, false, false, 1e4, 5e4, "20k");
}

/* Falls all the time in training; in evaluations up to step 60 of 100. */
static char *overfitting_log(double rise)
{
    static char text[16384];
    size_t length = 0;
    for (int i = 1; i <= 100; i++) {
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "{\"step\":%d,\"loss\":%.4f}\n", i, 3.0 - i * 0.02);
        if (i % 10 == 0)
            length += (size_t)snprintf(text + length, sizeof text - length, "{\"step\":%d,\"eval_loss\":%.4f}\n", i,
                                       i <= 60 ? 3.0 - i * 0.01 : 2.4 + (i - 60) * rise);
    }
    return text;
}

static void test_summary(void **state)
{
    (void)state;
    vkft_err err;
    vkft_plot_summary s;
    char *dir = write_run("over", "trainer_log.jsonl", overfitting_log(0.01));
    vkft_plot_log log = read_run(dir);
    expect_ok(vkft_plot_summarize(&log, &s, &err));
    assert_true(s.steps == 100 && s.best_eval_step == 60 && fabs(s.best_eval_loss - 2.4) < 1e-9);
    assert_true(fabs(s.last_eval_loss - 2.8) < 1e-9 && s.overfits && isnan(s.tokens));
    vkft_plot_logs_free(&log, 1);
    free(dir);

    dir = write_run("noise", "trainer_log.jsonl", overfitting_log(0.001)); /* 2.44: less than 2 % */
    log = read_run(dir);
    expect_ok(vkft_plot_summarize(&log, &s, &err));
    assert_false(s.overfits);
    vkft_plot_logs_free(&log, 1);
    free(dir);
}

static size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        count++;
    return count;
}

static char *make_page(const char *const *paths, size_t count, size_t *chart_count)
{
    vkft_err err;
    vkft_plot_log logs[4];
    vkft_chart *charts;
    vkft_text text = {0};
    expect_ok(vkft_plot_logs_read(paths, count, logs, &err));
    expect_ok(vkft_charts_of(logs, count, &charts, chart_count, &err));
    vkft_plot plot = {"A & B", logs, count, charts, *chart_count, VKFT_PLOT_STEP, NULL};
    expect_ok(vkft_plot_page(&plot, &text, &err));
    free(charts);
    vkft_plot_logs_free(logs, count);
    return text.data;
}

static void test_page(void **state)
{
    (void)state;
    size_t charts;
    char *over = write_run("<over>", "trainer_log.jsonl", overfitting_log(0.01)),
         *other = write_run("other", "trainer_log.jsonl",
                            "{\"step\":1,\"loss\":3,\"<b>\":1}\n{\"step\":2,\"loss\":3,\"<b>\":1e300}\n"
                            "{\"step\":3,\"loss\":null,\"<b>\":-1e300,\"once\":1}\n");
    free(write_run("<over>", "checkpoint-1/vkft_state.json", "{\"settings\":{\"r\":\"8\",\"model\":\"<m>\"}}"));
    free(write_run("other", "checkpoint-1/vkft_state.json", "{\"settings\":{\"r\":\"16\",\"model\":\"<m>\"}}"));
    const char *paths[] = {over, other};
    char *page = make_page(paths, 2, &charts);
    assert_int_equal(charts, 2); /* the loss and <b> */
    assert_int_equal(count_of(page, "<svg "), 2);
    assert_int_equal(count_of(page, "</svg>"), 2);
    assert_int_equal(count_of(page, "<table>"), count_of(page, "</table>"));
    assert_int_equal(count_of(page, "<tr>"), count_of(page, "</tr>"));
    assert_int_equal(count_of(page, "<text "), count_of(page, "</text>"));
    assert_int_equal(count_of(page, "://"), 2); /* the name of SVG's namespace and nothing to load */
    assert_null(strstr(page, "<over>"));
    assert_null(strstr(page, "<b>"));
    assert_null(strstr(page, "<m>"));
    assert_non_null(strstr(page, "A &amp; B"));
    assert_non_null(strstr(page, "over-fitting"));
    assert_non_null(strstr(page, "<tr><th>r</th><td>8</td><td>16</td></tr>"));
    assert_non_null(strstr(page, "<tr><th>model</th><td>&lt;m&gt;</td></tr>"));
    assert_null(strstr(page, "nan"));
    assert_null(strstr(page, "inf"));
    free(page);
    free(over);
    free(other);
}

static const char answers[] = "{\"step\":2,\"prompt\":\"1 < 2?\",\"base\":\"<b>no\",\"adapter\":\"\"}\n"
                              "{\"step\":2,\"prompt\":\"hi\",\"base\":\"ho\",\"adapter\":\"hello\"}\n"
                              "{\"step\":4,\"prompt\":\"1 < 2?\",\"base\":\"<b>no\",\"adapter\":\"yes\"}\n"
                              "{\"step\":4,\"prompt\":\"damaged\",\"base\":5}\n{\"step\":4,\"pro";

static void expect_in_order(const char *text, const char *const *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(text, parts[i]);
        if (!at)
            fail_msg("expected '%s' in: %s", parts[i], text);
        text = at + strlen(parts[i]);
    }
}

/* Answers to sample prompts: prompt by prompt, before training once where the runs agree, the newest of each run; those
 * before it of a single run alone. A line that is not whole yet is left out. */
static void test_answers(void **state)
{
    (void)state;
    size_t charts;
    char *one = write_run("one", "trainer_log.jsonl", ("{\"step\":1,\"loss\":3}\n")),
         *two = write_run("two", "trainer_log.jsonl", ("{\"step\":1,\"loss\":3,\"skipped_steps\":2}\n"));
    free(write_run("one", "samples.jsonl", answers));
    free(write_run("two", "samples.jsonl",
                   ("{\"step\":9,\"prompt\":\"hi\",\"base\":\"ho\",\"adapter\":\" good day\"}\n"
                    "{\"step\":9,\"prompt\":\"1 < 2?\",\"base\":\"well\",\"adapter\":\"true\"}\n")));
    const char *paths[] = {one, two};
    char *page = make_page(paths, 1, &charts);
    static const char *const alone[] = {
        "<h2>Sample answers</h2>",
        "prompt</h3>\n<p>1 &lt; 2?</p>",
        "before training</h3>\n<p>&lt;b&gt;no</p>",
        "after step 4</h3>\n<p>yes</p>",
        "<details><summary>After earlier steps</summary>\n<h3>after step 2</h3>\n<p class=\"note\">(nothing)</p>",
        "prompt</h3>\n<p>hi</p>",
        "before training</h3>\n<p>ho</p>",
        "after step 2</h3>\n<p>hello</p>",
        "</section>\n</div>"};
    expect_in_order(page, alone, sizeof alone / sizeof *alone);
    assert_int_equal(count_of(page, "<section>"), 2); /* none for what is damaged */
    free(page);
    page = make_page(paths, 2, &charts);
    static const char *const both[] = {"<th>skipped steps</th>",
                                       "<p>1 &lt; 2?</p>",
                                       "before training</h3>\n<p>&lt;b&gt;no</p>",
                                       "</span>one, after step 4</h3>\n<p>yes</p>",
                                       "</span>two, before training</h3>\n<p>well</p>",
                                       "</span>two, after step 9</h3>\n<p>true</p>",
                                       "<p>hi</p>",
                                       "before training</h3>\n<p>ho</p>",
                                       "</span>one, after step 2</h3>\n<p>hello</p>",
                                       "</span>two, after step 9</h3>\n<p>good day</p>"};
    expect_in_order(page, both, sizeof both / sizeof *both);
    assert_int_equal(count_of(page, "<section>"), count_of(page, "</section>"));
    assert_int_equal(count_of(page, "<p>ho</p>"), 1);
    assert_null(strstr(page, "earlier"));
    free(page);
    free(one);
    free(two);
}

static void test_command(void **state)
{
    (void)state;
    vkft_err err;
    char *dir = write_run("run", "trainer_log.jsonl", overfitting_log(0.01)),
         *page = vkft_path_join(directory, "page.html"), *svg = vkft_path_join(directory, "charts/loss.svg"), *text;
    size_t size;
    vkft_test_program_ok("plot '%s' '%s' --output-file '%s' --svg '%s/charts' --x-axis epoch", dir, dir, page,
                         directory);
    expect_ok(vkft_file_read(page, 1 << 24, &text, &size, &err));
    assert_non_null(strstr(text, "2 training runs"));
    free(text);
    expect_ok(vkft_file_read(svg, 1 << 24, &text, &size, &err));
    assert_memory_equal(text, "<svg class=\"vkft-chart\"", 10);
    assert_non_null(strstr(text, "<style>"));
    free(text);
    vkft_test_result result = vkft_test_program("plot '%s/none' -o '%s'", directory, page);
    assert_int_equal(result.exit_code, 1);
    assert_non_null(strstr(result.err, "none"));
    vkft_test_result_free(&result);
    result = vkft_test_program("plot");
    assert_int_equal(result.exit_code, 2);
    vkft_test_result_free(&result);
    free(dir);
    free(page);
    free(svg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_trainer_state),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_smooth_and_thin),
        cmocka_unit_test(test_axis),
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_page),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_command),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
