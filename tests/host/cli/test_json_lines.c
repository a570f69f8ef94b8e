/* Lines of any bytes, and JSON strings both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/cli/json_lines.h"

static void test_lines(void **state)
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
        assert_true(line_read(in, &line, &failed));
        assert_int_equal(line.length, wanted[i].length);
        assert_memory_equal(line.data, wanted[i].bytes, wanted[i].length);
    }
    assert_false(line_read(in, &line, &failed));
    assert_false(failed);
    free(line.data);
    fclose(in);
}

static void test_parse(void **state)
{
    (void)state;
    static const struct {
        const char *json, *text;
        size_t length;
    } good[] = {
        {" \"a\\n\\\"\\\\\\/\" ", "a\n\"\\/", 5},
        {"\"\\u00e9\\u0000\"", "\xc3\xa9\0", 3},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80", 4},
        {"\"\\ud83dx\"", "\xef\xbf\xbdx", 4}, /* half a pair */
        {"\"\xc3\xa9\"", "\xc3\xa9", 2},
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        vkft_text out = {0};
        const char *problem = NULL;
        assert_true(json_string_parse(good[i].json, strlen(good[i].json), &out, &problem));
        assert_int_equal(out.length, good[i].length);
        assert_memory_equal(out.data, good[i].text, good[i].length);
        free(out.data);
    }
    static const char *const bad[] = {"",          "\"a",         "a",        "\"a\" b", "\"\\x\"",
                                      "\"\\u12\"", "\"\\u12g4\"", "\"a\nb\"", "\"\\"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        vkft_text out = {0};
        const char *problem = NULL;
        if (json_string_parse(bad[i], strlen(bad[i]), &out, &problem))
            fail_msg("%s was taken for a JSON string", bad[i]);
        assert_non_null(problem);
        free(out.data);
    }
}

/* Whatever bytes are written are read back. */
static void test_write(void **state)
{
    (void)state;
    char bytes[160];
    for (size_t i = 0; i < 128; i++)
        bytes[i] = (char)i;
    memcpy(bytes + 128, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9);
    vkft_text json = {0}, back = {0};
    const char *problem = NULL;
    assert_true(json_string_write(bytes, 137, &json));
    for (size_t i = 0; i < json.length; i++)
        assert_true((unsigned char)json.data[i] >= 0x20);
    assert_true(json_string_parse(json.data, json.length, &back, &problem));
    assert_int_equal(back.length, 137);
    assert_memory_equal(back.data, bytes, 137);
    free(json.data);
    free(back.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests_name("json_lines", tests, NULL, NULL);
}
