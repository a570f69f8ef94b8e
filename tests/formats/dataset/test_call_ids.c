/* Tool calls without ids, as ShareGPT's rows have them, under templates that need some and under others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/chat/model_text.h"
#include "formats/dataset/dataset.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

#define MODEL VKFT_PROJECT_DIR "/tools/bundled/model"

/* Wants ids of nine characters where it writes a call and where it writes an answer, as Mistral's do. */
static const char strict[] =
    "{% for m in messages %}{% generation %}{% if m.tool_calls %}{% for c in m.tool_calls %}{% if c.id is not defined "
    "or c.id | length != 9 %}{{ raise_exception('9 letters!') }}{% endif %}(call {{ c.function.name }} {{ c.id }})"
    "{% endfor %}{{ eos_token }}{% elif m.role == 'assistant' %}(assistant {{ m.content }}){{ eos_token }}{% endif %}"
    "{% endgeneration %}{% if m.role == 'tool' %}{% if m.tool_call_id is not defined or m.tool_call_id | length != 9 %}"
    "{{ raise_exception('9 letters!') }}{% endif %}(tool {{ m.content }} of {{ m.tool_call_id }}){% elif m.role == "
    "'user' %}(user {{ m.content }}){% endif %}{% endfor %}";
/* Makes ids of its own where there are none, as Kimi's do. */
static const char lenient[] =
    "{% for m in messages %}{% generation %}({{ m.role }} {{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    "{{ c.id if c.id is defined else 'none' }}{% endfor %}){{ eos_token }}{% endgeneration %}{% endfor %}";

#define ROW                                                                                                            \
    "{\"conversations\": [{\"from\": \"human\", \"value\": \"x\"}, {\"from\": \"function_call\", \"value\": "          \
    "\"[{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {\\\"x\\\": 1}}, {\\\"name\\\": \\\"f\\\", \\\"arguments\\\": "   \
    "{\\\"x\\\": 1}}]\"}, {\"from\": \"observation\", \"value\": \"7\"}, {\"from\": \"observation\", \"value\": "      \
    "\"8\"}, {\"from\": \"gpt\", \"value\": \"ok\"}]}\n"
#define CALL(id) "{\"role\": \"assistant\", \"tool_calls\": [{" id "\"function\": {\"name\": \"g\"}}]}"
#define MESSAGES(call, tool)                                                                                           \
    "{\"messages\": [{\"role\": \"user\", \"content\": \"x\"}, " call ", {\"role\": \"tool\", " tool                   \
    "\"content\": \"7\"}, {\"role\": \"assistant\", \"content\": \"ok\"}]}\n"

/* The text of the file's only sample; NULL: it has none. */
static char *text_of(const char *jinja, const char *row, uint32_t *made, vkft_bad_rows *bad)
{
    char path[600];
    char *dir = vkft_test_directory();
    vkft_err err = {0};
    vkft_model_text text;
    vkft_dataset data;
    vkft_text out = {0};
    snprintf(path, sizeof path, "%s/t.jinja", dir);
    expect_ok(vkft_file_write(path, jinja, strlen(jinja), &err));
    expect_ok(vkft_model_text_open(MODEL, &(vkft_chat_options){.file = path}, &text, &err));
    snprintf(path, sizeof path, "%s/a.jsonl", dir);
    expect_ok(vkft_file_write(path, row, strlen(row), &err));
    const vkft_dataset_options o = {.max_seq_length = 512,
                                    .mask_prompt = true,
                                    .vocab_size = vkft_tokenizer_vocab_size(text.tokenizer),
                                    .eos_id = vkft_tokenizer_eos_id(text.tokenizer),
                                    .chat = text.chat};
    if (vkft_dataset_open(path, text.tokenizer, &o, &data, &err)) {
        assert_int_equal(data.count, 1);
        assert_true(vkft_tokenizer_decode(text.tokenizer, data.samples->ids, data.samples->length, false, &out, &err));
        *made = data.made_call_ids;
        *bad = data.bad;
        vkft_dataset_free(&data);
    } else {
        if (!strstr(err.message, "9 letters!"))
            fail_msg("%s", err.message);
    }
    vkft_model_text_free(&text);
    vkft_test_remove_directory(dir);
    return out.data;
}

static bool is_id(const char *text)
{
    return strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == 9;
}

/* Each call has an id of its own, its answer has the same, and it is the same every time. */
static void test_made(void **state)
{
    (void)state;
    uint32_t made;
    vkft_bad_rows bad;
    char *text = text_of(strict, ROW, &made, &bad), *again = text_of(strict, ROW, &made, &bad);
    static const char head[] = "(user x)(call f 000000000)(call f 000000000)";
    assert_string_equal(text, again);
    assert_int_equal(made, 1);
    assert_int_equal(vkft_bad_rows_count(&bad), 0);
    const char *first = text + strlen("(user x)(call f "), *second = first + strlen("000000000)(call f ");
    assert_true(is_id(first) && is_id(second) && memcmp(first, second, 9) != 0);
    const char *seven = strstr(text, "(tool 7 of "), *eight = strstr(text, "(tool 8 of ");
    assert_true(seven && eight && seven > text + strlen(head) - 1);
    assert_memory_equal(seven + strlen("(tool 7 of "), first, 9);
    assert_memory_equal(eight + strlen("(tool 8 of "), second, 9);
    free(text);
    free(again);
}

/* Nothing is made where ids are there, or where nobody asks for them. */
static void test_not_made(void **state)
{
    (void)state;
    uint32_t made;
    vkft_bad_rows bad;
    char *text =
        text_of(strict, MESSAGES(CALL("\"id\": \"abcdefghi\", "), "\"tool_call_id\": \"abcdefghi\", "), &made, &bad);
    assert_non_null(strstr(text, "(call g abcdefghi)"));
    assert_int_equal(made, 0);
    free(text);
    text = text_of(lenient, ROW, &made, &bad);
    assert_non_null(strstr(text, "nonenone"));
    assert_int_equal(made, 0);
    free(text);
}

/* A call that has an id gives it to its answer; an id that the template does not like stays, and the row is bad. */
static void test_half(void **state)
{
    (void)state;
    uint32_t made;
    vkft_bad_rows bad;
    char *text = text_of(strict, MESSAGES(CALL("\"id\": \"abcdefghi\", "), "\"tool_call_id\": null, "), &made, &bad);
    assert_non_null(strstr(text, "(tool 7 of abcdefghi)"));
    assert_int_equal(made, 1);
    free(text);
    assert_null(text_of(strict, MESSAGES(CALL("\"id\": \"call_1\", "), ""), &made, &bad));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_made), cmocka_unit_test(test_not_made),
                                       cmocka_unit_test(test_half)};
    return cmocka_run_group_tests_name("call_ids", tests, NULL, NULL);
}
