/* vkft chat through pipes: a line in, a line out, with --json and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "runtime/base/text.h"
#include "tests/support/expect.h"
#include "tests/support/generate/loud_adapter.h"
#include "tests/support/program.h"

#define CHAT "chat --model " VKFT_TEST_BUNDLED " --chat-template " VKFT_TEST_TEMPLATE " --temperature 0 "

/* The program, given these lines as its standard input. */
static vkft_test_result chat(const char *flags, const char *lines)
{
    vkft_err err = {0};
    const char *path = vkft_test_in("lines");
    expect_ok(vkft_file_write(path, lines, strlen(lines), &err));
    return vkft_test_program(CHAT "%s < %s", flags, path);
}

/* The lines that came out, as an array. */
static cJSON *rows_of(const vkft_test_result *result)
{
    vkft_err err = {0};
    const char *path = vkft_test_in("rows.jsonl");
    expect_ok(vkft_file_write(path, result->out, strlen(result->out), &err));
    return vkft_test_read_jsonl(path);
}

static const char *text(const cJSON *rows, int row, const char *key)
{
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(rows, row), key));
    if (!found) {
        char *all = cJSON_PrintUnformatted(rows);
        fail_msg("line %d has no text '%s': %s", row, key, all);
    }
    return found;
}

static double number(const cJSON *rows, int row, const char *key)
{
    const cJSON *found = cJSON_GetObjectItem(cJSON_GetArrayItem(rows, row), key);
    if (!cJSON_IsNumber(found))
        fail_msg("line %d has no number '%s'", row, key);
    return found->valuedouble;
}

/* However a question is written, it is the same one; a conversation that is given whole is the one that was had. */
static void test_json(void **state)
{
    (void)state;
    vkft_test_result r = chat("--json --max-new-tokens 8",
                              "What is crow in Korean?\n"
                              "\n"
                              "/clear\n"
                              "\"What is crow in Korean?\"\r\n"
                              "{\"role\":\"user\",\"content\":\"안녕\"}\n"
                              "{\"messages\":[{\"role\":\"user\",\"content\":\"What is crow in Korean?\"}]}\n"
                              "{\"role\":\"system\",\"content\":\"Speak Korean.\"}\n"
                              "/system\n"
                              "/exit\n"
                              "never read\n");
    cJSON *rows = rows_of(&r);
    assert_int_equal(r.exit_code, 0);
    assert_int_equal(cJSON_GetArraySize(rows), 7);
    const char *first = text(rows, 0, "content");
    assert_string_equal(text(rows, 0, "role"), "assistant");
    assert_string_equal(text(rows, 0, "finish_reason"), "length");
    assert_true(number(rows, 0, "new_tokens") == 8);
    assert_true(number(rows, 0, "cached_tokens") == 0);
    assert_string_equal(text(rows, 1, "command"), "/clear");
    assert_string_equal(text(rows, 2, "content"), first);
    assert_true(number(rows, 2, "cached_tokens") == number(rows, 2, "prompt_tokens") - 1);
    assert_true(number(rows, 3, "prompt_tokens") > number(rows, 2, "prompt_tokens"));
    assert_true(number(rows, 3, "cached_tokens") >= number(rows, 2, "prompt_tokens"));
    assert_string_equal(text(rows, 4, "content"), first);
    assert_string_equal(text(rows, 5, "command"), "/system");
    assert_string_equal(text(rows, 6, "message"), "Speak Korean.");
    cJSON_Delete(rows);
    vkft_test_result_free(&r);
}

/* Each has its answer, and the conversation goes on; in the end the code says that there was one. */
static void test_lines_that_cannot_be_answered(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"role\":\"user\"", "the line: "},
        {"[1]", "expected a JSON string or object, found an array"},
        {"{\"role\":\"user\"}", "content"},
        {"{\"role\":\"tool\",\"content\":\"x\"}", "found \"tool\", expected \"user\" or \"system\""},
        {"{\"messages\":[]}", "ends with a message of the role"},
        {"/nothing", "unknown command '/nothing'"},
        {"/adapter", "there is no adapter"},
    };
    enum { COUNT = sizeof cases / sizeof *cases };
    vkft_text lines = {0};
    for (int i = 0; i < COUNT; i++) {
        assert_true(vkft_text_append(&lines, cases[i][0], strlen(cases[i][0]), NULL));
        assert_true(vkft_text_append(&lines, "\n", 1, NULL));
    }
    for (int i = 0; i < 20000; i++) /* 100 kB, read whole: 20000 words at least */
        assert_true(vkft_text_append(&lines, "word ", 5, NULL));
    assert_true(vkft_text_append(&lines, "\nHi\n", 4, NULL));
    vkft_test_result r = chat("--json --max-new-tokens 2", lines.data);
    cJSON *rows = rows_of(&r);
    assert_int_equal(r.exit_code, 1);
    assert_int_equal(cJSON_GetArraySize(rows), COUNT + 2);
    for (int i = 0; i < COUNT; i++)
        if (!strstr(text(rows, i, "error"), cases[i][1]))
            fail_msg("%s: found '%s', expected '%s'", cases[i][0], text(rows, i, "error"), cases[i][1]);
    int tokens = 0;
    assert_int_equal(sscanf(text(rows, COUNT, "error"), "the question has %d tokens", &tokens), 1);
    assert_true(tokens > 20000);
    assert_true(number(rows, COUNT + 1, "new_tokens") > 0);
    cJSON_Delete(rows);
    vkft_test_result_free(&r);
    vkft_text_free(&lines);
}

static void test_adapter(void **state)
{
    (void)state;
    char flags[1200];
    snprintf(flags, sizeof flags, "--json --max-new-tokens 8 --adapter %s", vkft_test_in("adapter"));
    vkft_test_write_loud_adapter(vkft_test_in("adapter"));
    vkft_test_result r = chat(flags, "What is crow in Korean?\n/compare\n/adapter\n/regenerate\n");
    cJSON *rows = rows_of(&r);
    assert_int_equal(r.exit_code, 0);
    assert_int_equal(cJSON_GetArraySize(rows), 4);
    const cJSON *both = cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 1), "answers");
    assert_int_equal(cJSON_GetArraySize(both), 2);
    assert_string_not_equal(text(both, 0, "content"), text(both, 1, "content"));
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(cJSON_GetArrayItem(both, 0), "adapter")));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "adapter")));
    assert_string_equal(text(rows, 0, "content"), text(both, 1, "content"));
    assert_string_equal(text(rows, 2, "message"), "without the adapter from now on");
    assert_string_equal(text(rows, 3, "content"), text(both, 0, "content"));
    cJSON_Delete(rows);
    vkft_test_result_free(&r);
}

/* Plain lines: no prompt, nothing but answers on standard output; a backslash joins two lines. */
static void test_plain(void **state)
{
    (void)state;
    vkft_test_result r = chat("--max-new-tokens 8", "What is crow\\\nin Korean?\n/system\n");
    vkft_test_result other = chat("--json --max-new-tokens 8", "\"What is crow\\nin Korean?\"\n");
    cJSON *rows = rows_of(&other);
    char want[400];
    assert_int_equal(r.exit_code, 0);
    snprintf(want, sizeof want, "%s\nthere is no system prompt; /system TEXT sets one\n", text(rows, 0, "content"));
    assert_string_equal(r.out, want);
    cJSON_Delete(rows);
    vkft_test_result_free(&r);
    vkft_test_result_free(&other);
}

static void test_refusals(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("chat --model " VKFT_TEST_BUNDLED);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "the model has no chat template; give the one that it was trained with as "
                                  "--chat-template FILE, or let 'vkft generate' continue plain text\n"));
    assert_string_equal(r.out, "");
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),     cmocka_unit_test(test_lines_that_cannot_be_answered),
        cmocka_unit_test(test_adapter),  cmocka_unit_test(test_plain),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("chat", tests, vkft_test_folder_set_up, vkft_test_folder_tear_down);
}
