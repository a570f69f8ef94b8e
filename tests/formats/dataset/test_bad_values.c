/* Rows of every shape with a value that cannot be used: each is told by what is wrong in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/rows_test.h"

static const char chat[] =
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}({{ m.content }}){{ eos_token }}"
    "{% endgeneration %}{% else %}({{ m.role }} {{ m.content }}){% endif %}{% endfor %}";

static vkft_test_rows bundled;

static int set_up(void **state)
{
    vkft_test_rows_begin(&bundled, chat);
    *state = &bundled;
    return 0;
}

static int tear_down(void **state)
{
    vkft_test_rows_end(*state);
    return 0;
}

/* Without a part the row is one sample. */
static void expect_row(const vkft_test_rows *f, const char *row, const char *part, bool encoder)
{
    vkft_err err = {0};
    vkft_dataset data;
    vkft_dataset_options o = vkft_test_rows_options(f, 64);
    o.encoder_decoder = encoder;
    o.decoder_start_id = 1;
    bool ok = vkft_test_rows_open(f, row, &o, &data, &err);
    if (ok == (part != NULL) || (part && !strstr(err.message, part)))
        fail_msg("%s: expected \"%s\", found \"%s\"", row, part ? part : "a sample", ok ? "a sample" : err.message);
    if (ok) {
        assert_int_equal(data.count, 1);
        vkft_dataset_free(&data);
    }
}

static void test_tokens(void **state)
{
    static const char *const rows[][2] = {
        {"{\"input_ids\": null, \"labels\": [1]}", "input_ids is null"},
        {"{\"input_ids\": 5}", "input_ids is no list"},
        {"{\"input_ids\": [1, 2.5]}", "input_ids[1] is not a whole number"},
        {"{\"input_ids\": [1, \"2\"]}", "input_ids[1] is not a whole number"},
        {"{\"input_ids\": [1, 3000000000]}", "input_ids[1] is not a whole number"},
        {"{\"input_ids\": [1, 2000000000]}", "token id 2000000000 is outside the model's vocabulary"},
        {"{\"input_ids\": [1, 2], \"labels\": [1]}", "labels has 1 values and input_ids 2; they must be as many"},
        {"{\"input_ids\": [1, 2], \"labels\": 5}", "labels is no list"},
        {"{\"input_ids\": [1, 2], \"labels\": [1, -5]}", "labels[1] is -5; expected -100 or an id below"},
        {"{\"input_ids\": [1, 2], \"assistant_masks\": [1]}", "assistant_masks has 1 values and input_ids 2"},
        {"{\"input_ids\": [1, 2], \"attention_mask\": [1]}", "attention_mask has 1 values and input_ids 2"},
        {"{\"input_ids\": [1, 2, 3], \"attention_mask\": [1, 0, 1]}", "attention_mask[1] is 0 between tokens"},
        {"{\"input_ids\": [1, 2], \"labels\": [-100, -100]}", "2 tokens, 2 of them masked"},
        {"{\"input_ids\": [1, 2], \"labels\": [true, 2]}", NULL},
        {"{\"input_ids\": [0, 5, 6, 0], \"attention_mask\": [0, 1, 1, 0]}", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_row(*state, rows[i][0], rows[i][1], false);
    static const char *const two_sides[][2] = {
        {"{\"input_ids\": [1, 2], \"labels\": null}", "labels is null"},
        {"{\"input_ids\": [1, 2], \"labels\": [1.5]}", "labels[0] is not a whole number"},
        {"{\"input_ids\": [1, 2], \"attention_mask\": [1], \"labels\": [1]}", "attention_mask has 1 values"},
        {"{\"input_ids\": [1, 2], \"labels\": [-100]}", "of them masked"},
        {"{\"input_ids\": [1, 2], \"labels\": [-100, 5]}", NULL},
    };
    for (size_t i = 0; i < sizeof two_sides / sizeof *two_sides; i++)
        expect_row(*state, two_sides[i][0], two_sides[i][1], true);
}

static void test_questions(void **state)
{
    static const char *const rows[][2] = {
        {"{\"question\": \"q\", \"answer\": null}", "answer is null"},
        {"{\"question\": \"q\", \"answers\": {\"text\": []}}", "the list of answers is empty"},
        {"{\"question\": \"q\", \"answers\": [[1]]}", "expected a string, or a list of answers with at least one"},
        {"{\"question\": \"q\", \"answer\": \"a\", \"is_impossible\": true}", "is_impossible is true"},
        {"{\"question\": \"q\", \"answer\": 7}", NULL},
        {"{\"question\": \"q\", \"answer\": false}", NULL},
        {"{\"question\": [1], \"answer\": \"a\"}", "question"},
        {"{\"question\": \"q\", \"answer\": \"a\", \"context\": {\"x\": 1}}", "context"},
        {"{\"title\": \"t\", \"paragraphs\": [{\"context\": \"c\"}]}", "a paragraph has no list of questions, \"qas\""},
        {"{\"title\": \"t\", \"paragraphs\": [{\"qas\": []}]}", "context"},
        {"{\"title\": \"t\", \"paragraphs\": [{\"context\": \"c\", \"qas\": [{\"question\": \"q\", \"answers\": "
         "[{\"text\": \"a\"}]}]}]}",
         NULL},
        {"{\"prompt\": \"p\", \"completion\": \"c\", \"label\": false}", "its label is false, as of a bad answer"},
        {"{\"text\": \"\"}", "the text is empty"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_row(*state, rows[i][0], rows[i][1], false);
}

#define USER "{\"role\": \"user\", \"content\": \"q\"}"
#define ASSISTANT "{\"role\": \"assistant\", \"content\": \"a\"}"

static void test_conversations(void **state)
{
    static const char *const rows[][2] = {
        {"{\"messages\": [5]}", "messages[0] is the number 5; expected {\"role\": \"user\""},
        {"{\"messages\": []}", "messages is an empty list"},
        {"{\"messages\": 5}", "messages is the number 5; expected a list of messages"},
        {"{\"messages\": \"{}\"}", "expected a list of messages"},
        {"{\"messages\": [{\"content\": \"q\"}]}", "messages[0] has no \"role\""},
        {"{\"conversations\": [{\"from\": \"human\"}]}", "conversations[0] has no value"},
        {"{\"conversations\": [{\"from\": \"human\", \"value\": 5}]}", "conversations[0] has as value the number 5"},
        {"{\"conversations\": [{\"from\": \"narrator\", \"value\": \"x\"}]}",
         "conversations[0] is from 'narrator'; expected human, gpt, system, function_call or observation"},
        {"{\"messages\": [" USER ", {\"role\": \"assistant\", \"content\": \"a\", \"weight\": 0.5}]}",
         "messages[1].weight is the number 0.5; expected 0 or 1"},
        {"{\"messages\": [" USER ", " ASSISTANT "], \"tools\": \"{}\"}", "tools is no list of tools"},
        {"{\"messages\": [" USER ", " ASSISTANT "], \"tools\": {}}", "tools is no list of tools"},
        {"{\"messages\": [" USER ", " ASSISTANT "], \"chat_template_kwargs\": 5}", "chat_template_kwargs is no object"},
        {"{\"messages\": [" USER ", " ASSISTANT "], \"system\": [1]}", "system"},
        {"{\"messages\": [" USER ", {\"role\": \"assistant\", \"content\": \"a\", \"train\": false}]}",
         "no message of the assistant has a weight"},
        {"{\"messages\": [" USER "]}", "no message has the role assistant; roles found: user"},
        {"{\"prompt\": [" USER "], \"completion\": null}", "completion is null"},
        {"{\"prompt\": [" USER "], \"completion\": [" ASSISTANT "]}", NULL},
        {"{\"messages\": \"["
         "{\\\"role\\\": \\\"user\\\", \\\"content\\\": \\\"q\\\"}, {\\\"role\\\": "
         "\\\"assistant\\\", \\\"content\\\": \\\"a\\\"}]\"}",
         NULL},
        {"{\"messages\": [" USER ", " ASSISTANT "], \"tools\": \"\", \"system\": \"s\"}", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_row(*state, rows[i][0], rows[i][1], false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tokens), cmocka_unit_test(test_questions),
                                       cmocka_unit_test(test_conversations)};
    return cmocka_run_group_tests_name("bad_values", tests, set_up, tear_down);
}
