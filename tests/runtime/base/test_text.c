/* Arithmetic on sizes, texts, the transpose and the observer. */
#include "tests/support/expect.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/observer.h"
#include "runtime/base/size.h"
#include "runtime/base/text.h"
#include "runtime/base/transpose.h"
#include "runtime/base/utf8.h"

static void rounds_up_without_overflow(void **state)
{
    (void)state;
    assert_int_equal(ceil_div(0, 4), 0);
    assert_int_equal(ceil_div(8, 4), 2);
    assert_int_equal(ceil_div(9, 4), 3);
    assert_int_equal(ceil_div(UINT32_MAX, 2), 0x80000000u);
    assert_true(ceil_div_u64(UINT64_MAX, 2) == 1ull << 63);
    assert_int_equal(round_up(0, 256), 0);
    assert_int_equal(round_up(1, 256), 256);
    assert_int_equal(round_up(256, 256), 256);
    assert_int_equal(min_u32(3, 2), 2);
    assert_int_equal(max_u32(3, 2), 3);
    assert_true(min_u64(1ull << 40, 1) == 1 && max_u64(1ull << 40, 1) == 1ull << 40);
    assert_true(gib(3ull << 29) == 1.5);
}

static void grows_texts(void **state)
{
    (void)state;
    vkft_text text = {0};
    vkft_err err = {0};
    expect_ok(vkft_text_append(&text, "", 0, &err));
    assert_string_equal(text.data, "");
    for (int i = 0; i < 1000; i++)
        expect_ok(vkft_text_append(&text, "a\0b", 3, &err));
    assert_int_equal(text.length, 3000);
    assert_memory_equal(text.data + 2997, "a\0b", 4); /* with the zero after the end */
    assert_false(vkft_text_append(&text, "", SIZE_MAX / 2, &err));
    assert_int_equal(err.kind, VKFT_ERR_MEMORY);
    assert_int_equal(text.length, 3000);
    vkft_text_free(&text);
    assert_null(text.data);
}

static void quotes_arguments(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        /* for a POSIX shell, and on Windows */
        {"out/run-1_b.vkft", "out/run-1_b.vkft", "out/run-1_b.vkft"},
        {"C:\\runs\\one", "'C:\\runs\\one'", "C:\\runs\\one"},
        {"C:\\my runs\\", "'C:\\my runs\\'", "\"C:\\my runs\\\\\""},
        {"50%", "50%", "\"50%\""},
        {"", "''", "\"\""},
        {"a b", "'a b'", "\"a b\""},
        {"it's", "'it'\\''s'", "\"it's\""},
        {"'", "''\\'''", "\"'\""},
        {"say \"\\\"", "'say \"\\\"'", "\"say \\\"\\\\\\\"\""},
        {"$HOME\n\"`", "'$HOME\n\"`'", "\"$HOME\n\\\"`\""},
        {"~", "'~'", "\"~\""},
        {"\xc3\xa9", "'\xc3\xa9'", "\"\xc3\xa9\""},
    };
    vkft_err err = {0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int windows = 0; windows < 2; windows++) {
            vkft_text text = {0};
            expect_ok(vkft_text_append_argument(&text, windows, cases[i][0], &err));
            assert_string_equal(text.data, cases[i][1 + windows]);
            vkft_text_free(&text);
        }
}

static void reads_lines_of_any_bytes(void **state)
{
    (void)state;
    static const char input[] = "one\r\n\n\0zero\0\nlast";
    static const struct {
        const char *bytes;
        size_t length;
    } wanted[] = {{"one", 3}, {"", 0}, {"\0zero\0", 6}, {"last", 4}};
    FILE *in = tmpfile();
    fwrite(input, 1, sizeof input - 1, in);
    rewind(in);
    vkft_text line = {0};
    bool failed = false;
    for (size_t i = 0; i < 4; i++) {
        assert_true(vkft_text_read_line(in, &line, &failed));
        assert_int_equal(line.length, wanted[i].length);
        assert_memory_equal(line.data, wanted[i].bytes, wanted[i].length);
    }
    assert_false(vkft_text_read_line(in, &line, &failed));
    assert_false(failed);
    free(line.data);
    fclose(in);
}

static void answers_about_strings(void **state)
{
    (void)state;
    assert_true(vkft_string_ends_with("rows.jsonl", ".jsonl"));
    assert_false(vkft_string_ends_with(".jsonl", ".jsonl"));
    assert_false(vkft_string_ends_with("l", ".jsonl"));
    char *copy = vkft_string_copy("text");
    assert_string_equal(copy, "text");
    free(copy);
    const char *names[] = {"learning-rate", "batch-size", "seed"}, *sorted[] = {"c", "a", "b"};
    assert_string_equal(vkft_string_nearest("learing-rate", names, 3), "learning-rate");
    assert_string_equal(vkft_string_nearest("sed", names, 3), "seed");
    assert_null(vkft_string_nearest("tokens", names, 3));
    assert_null(vkft_string_nearest("x", names, 3)); /* everything is near to so short a word */
    qsort(sorted, 3, sizeof *sorted, vkft_string_compare);
    assert_string_equal(sorted[0], "a");
    assert_string_equal(sorted[2], "c");
    assert_true(vkft_is_space('\t') && vkft_is_space('\r') && !vkft_is_space('\v') && !vkft_is_space('a'));
}

static void assert_bytes(uint64_t bytes, const char *expected)
{
    char text[32];
    vkft_bytes_text(bytes, text, sizeof text);
    assert_string_equal(text, expected);
}

static void assert_time(double seconds, const char *expected)
{
    char text[32];
    vkft_time_text(seconds, text, sizeof text);
    assert_string_equal(text, expected);
}

static void words_sizes_and_times(void **state)
{
    (void)state;
    assert_bytes(1023, "1023 B");
    assert_bytes(1536, "1.5 KiB");
    assert_bytes(1ull << 20, "1.0 MiB");
    assert_bytes(5ull << 29, "2.50 GiB");
    assert_time(-1, "0:00");
    assert_time(59.6, "1:00");
    assert_time(3723, "1:02:03");
}

static void encodes_what_it_decodes(void **state)
{
    (void)state;
    const uint32_t points[] = {0, 0x7f, 0x80, 0x7ff, 0x800, 0xffff, 0x10000, 0x10ffff};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        char character[4];
        size_t n = vkft_utf8_encode(points[i], character);
        assert_int_equal(vkft_utf8_length(character, n), n);
        assert_int_equal(vkft_utf8_decode(character, n), points[i]);
    }
}

static void transposes_elements_of_all_sizes(void **state)
{
    (void)state;
    const uint64_t sizes[] = {1, 2, 4, 8};
    for (size_t k = 0; k < 4; k++) {
        uint64_t n = sizes[k];
        uint8_t from[3 * 5 * 8], to[3 * 5 * 8];
        for (uint64_t i = 0; i < 15 * n; i++)
            from[i] = (uint8_t)(i + 1);
        vkft_transpose(from, 3, 5, n, to);
        for (uint64_t r = 0; r < 3; r++)
            for (uint64_t c = 0; c < 5; c++)
                assert_memory_equal(to + (c * 3 + r) * n, from + (r * 5 + c) * n, n);
    }
}

static void keep_line(void *context, const char *line)
{
    snprintf(context, 32, "%s", line);
}

static bool always(void *context)
{
    return context != NULL;
}

static void observers_may_be_empty(void **state)
{
    (void)state;
    char line[32] = "";
    vkft_observer none = {0}, all = {.context = line, .message = keep_line, .interrupted = always};
    vkft_observer_say(&none, "%d", 1);
    vkft_observer_work(&none, "work", 1, 2);
    assert_false(vkft_observer_interrupted(&none));
    vkft_observer_say(&all, "step %d", 7);
    assert_string_equal(line, "step 7");
    assert_true(vkft_observer_interrupted(&all));
}

static void memory_errors_have_one_text(void **state)
{
    (void)state;
    vkft_err err = {0};
    assert_false(vkft_fail_memory(&err, "while reading %s", "a.json"));
    assert_int_equal(err.kind, VKFT_ERR_MEMORY);
    assert_string_equal(err.message, "out of host memory while reading a.json");
}

/* As Python prints them. */
static void writes_floats_as_python(void **state)
{
    (void)state;
    static const struct {
        double number;
        const char *text;
    } cases[] = {{2, "2.0"},
                 {-0.5, "-0.5"},
                 {0.1, "0.1"},
                 {1e16, "1e+16"},
                 {1e15, "1000000000000000.0"},
                 {0.0001, "0.0001"},
                 {0.00001, "1e-05"},
                 {1e300, "1e+300"},
                 {-0.0, "-0.0"},
                 {1.0 / 3, "0.3333333333333333"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"},
                 {NAN, "nan"},
                 {123456.75, "123456.75"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[64];
        vkft_float_text(cases[i].number, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_up_without_overflow), cmocka_unit_test(grows_texts),
        cmocka_unit_test(quotes_arguments),           cmocka_unit_test(reads_lines_of_any_bytes),
        cmocka_unit_test(answers_about_strings),      cmocka_unit_test(words_sizes_and_times),
        cmocka_unit_test(encodes_what_it_decodes),    cmocka_unit_test(transposes_elements_of_all_sizes),
        cmocka_unit_test(observers_may_be_empty),     cmocka_unit_test(memory_errors_have_one_text),
        cmocka_unit_test(writes_floats_as_python),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
