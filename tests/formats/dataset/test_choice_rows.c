/* Rows with choices in the forms of published data sets: the prompt, the right answer, the choices that are compared
 * with it, or why a row is rejected; tokens from the cache are the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/rows_test.h"

static const char chat[] = "{% for m in messages %}{{ '[' + m.role + ']' + m.content + eos_token }}{% endfor %}"
                           "{% if add_generation_prompt %}[assistant]{% endif %}";

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

/* The tokens of which this is the label or not, as text. */
static void append_part(const vkft_test_rows *f, const vkft_sample *s, bool trained, vkft_text *out)
{
    vkft_ids ids = {0};
    for (uint32_t i = 0; i < s->length; i++)
        if ((s->labels[i] >= 0) == trained)
            assert_true(vkft_ids_push(&ids, s->ids[i], NULL));
    assert_true(vkft_tokenizer_decode(f->text.tokenizer, ids.data, ids.count, true, out, NULL));
    assert_true(vkft_text_append(out, "|", 1, NULL));
    vkft_ids_free(&ids);
}

/* "prompt|answer|": of the sample, and then the answers of its choices; '*' before the right one. */
static char *show(const vkft_test_rows *f, const vkft_sample *s)
{
    vkft_text out = {0};
    append_part(f, s, false, &out);
    append_part(f, s, true, &out);
    for (uint32_t i = 0; i < s->choice.count; i++) {
        vkft_text prompt = {0}, of_sample = {0};
        append_part(f, &s->choices[i], false, &prompt);
        append_part(f, s, false, &of_sample);
        assert_string_equal(prompt.data, of_sample.data);
        assert_int_equal(s->choices[i].answer, VKFT_ANSWER_CHOICE);
        if (i == s->choice.right)
            assert_true(vkft_text_append(&out, "*", 1, NULL));
        append_part(f, &s->choices[i], true, &out);
        vkft_text_free(&prompt);
        vkft_text_free(&of_sample);
    }
    return out.data;
}

/* What the row becomes, or a part of the reason why it is rejected. */
static void expect_row(const vkft_test_rows *f, const char *row, const vkft_dataset_options *o, const char *expected)
{
    vkft_err err = {0};
    vkft_dataset data;
    if (!vkft_test_rows_open(f, row, o, &data, &err)) {
        if (!strstr(err.message, expected))
            fail_msg("%s: expected \"%s\", found \"%s\"", row, expected, err.message);
        return;
    }
    assert_int_equal(data.format, VKFT_DATA_CHOICES);
    assert_int_equal(data.count, 1);
    assert_int_equal(data.tokens, data.samples[0].length);
    char *shown = show(f, &data.samples[0]);
    assert_string_equal(shown, expected);
    free(shown);
    vkft_dataset_free(&data);
}

static void test_forms(void **state)
{
    static const char *const rows[][2] = {
        {"{\"question\": \"q?\", \"choices\": [\"x\", \"y\"], \"answer\": 1}", "Question: q?\nAnswer:| y| x|* y|"},
        {"{\"question\": \"q?\", \"choices\": {\"text\": [\"x\", \"y\"], \"label\": [\"1\", \"2\"]}, \"answerKey\": "
         "\"1\"}",
         "Question: q?\nAnswer:| x|* x| y|"},
        {"{\"question_stem\": \"q?\", \"choices\": [{\"text\": \"x\", \"label\": \"A\"}, {\"text\": \"y\", \"label\": "
         "\"B\"}], \"answerKey\": \"B\"}",
         "Question: q?\nAnswer:| y| x|* y|"},
        {"{\"question\": \"q?\", \"options\": {\"A\": \"x\", \"B\": \"y\"}, \"answer_idx\": \"B\"}",
         "Question: q?\nAnswer:| y| x|* y|"},
        {"{\"question\": \"q?\", \"context\": \"c.\", \"options\": [\"x\", \"y\", \"z\"], \"answer\": \"C\"}",
         "c.\nQuestion: q?\nAnswer:| z| x| y|* z|"},
        {"{\"question\": \"q?\", \"choices\": [\"x\", \"y\"], \"answer\": \"y\"}", "Question: q?\nAnswer:| y| x|* y|"},
        {"{\"ctx\": \"He runs\", \"endings\": [\"on.\", \"up.\"], \"label\": \"1\"}", "He runs| up.| on.|* up.|"},
        {"{\"query\": \"He runs\\n\", \"choices\": [\"on.\", \"up.\"], \"gold\": 0}", "He runs\n|on.|*on.|up.|"},
        {"{\"question\": \"q?\", \"choices\": [3, 4], \"answer\": 1}", "Question: q?\nAnswer:| 4| 3|* 4|"},
    };
    vkft_dataset_options o = vkft_test_rows_options(*state, 256);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_row(*state, rows[i][0], &o, rows[i][1]);
}

static void test_prompts(void **state)
{
    static const char row[] = "{\"question\": \"q?\", \"choices\": [\"x\", \"y\"], \"answer\": 1, \"topic\": \"t\"}";
    vkft_dataset_options o = vkft_test_rows_options(*state, 256);
    o.prompt_template = "{topic}: {question}\\n";
    expect_row(*state, row, &o, "t: q?\n|y|x|*y|");
    o.prompt_template = "{question}\\n{choices}\\nAnswer:";
    expect_row(*state, row, &o, "q?\nA. x\nB. y\nAnswer:| B| A|* B|");
    o.prompt_template = NULL;
    o.apply_chat_template = true;
    expect_row(*state, row, &o, "[user]q?[assistant]|y|x|*y|");
}

static void test_rejected(void **state)
{
    static const char *const rows[][2] = {
        {"{\"question\": \"q\", \"choices\": [\"x\", \"y\"], \"answer\": 2}", "answer names none of choices"},
        {"{\"question\": \"q\", \"choices\": [\"x\", \"y\"], \"answer\": \"z\"}", "answer names none of choices"},
        {"{\"question\": \"q\", \"choices\": [\"B\", \"A\"], \"answer\": \"A\"}",
         "may be a letter, a text or a number"},
        {"{\"question\": \"q\", \"choices\": [\"1\", \"2\"], \"answer\": \"1\"}",
         "may be a letter, a text or a number"},
        {"{\"question\": \"q\", \"choices\": [\"x\"], \"answer\": 0}", "choices has less than two"},
        {"{\"question\": \"q\", \"choices\": [\"x\", \"\"], \"answer\": 0}", "choices has an empty text"},
        {"{\"question\": \"q\", \"choices\": [\"x\", null], \"answer\": 0}", "choices holds null"},
        {"{\"question\": \"q\", \"choices\": {\"text\": [\"x\", \"y\"], \"label\": [\"A\"]}, \"answerKey\": \"A\"}",
         "not as many labels as texts"},
        {"{\"ctx\": \"c\", \"endings\": [\"x\", \"y\"], \"label\": \"\"}", "label is empty"},
        {"{\"question\": \"q\", \"choices\": [\"x\", \"y\"], \"answer\": null}", "answer is missing or null"},
    };
    vkft_dataset_options o = vkft_test_rows_options(*state, 256);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_row(*state, rows[i][0], &o, rows[i][1]);
    o.max_seq_length = 8;
    expect_row(*state, "{\"ctx\": \"one\", \"endings\": [\"up\", \"one two three four five six seven\"], \"label\": 0}",
               &o, "the prompt with a choice has more than the maximum of 8 tokens");
}

/* Two rows, kept and read again. */
static void test_cache(void **state)
{
    const vkft_test_rows *f = *state;
    static const char rows[] = "{\"question\": \"q?\", \"choices\": [\"x\", \"y\", \"z\"], \"answer\": 1}\n"
                               "{\"question\": \"r?\", \"choices\": [\"u\", \"v\"], \"answer\": 0}\n";
    char path[600], *before = vkft_test_swap_environment("XDG_CACHE_HOME", f->dir);
    vkft_err err = {0};
    vkft_dataset_options o = vkft_test_rows_options(f, 256);
    o.cache_from_bytes = 1;
    snprintf(path, sizeof path, "%s/rows.jsonl", f->dir);
    expect_ok(vkft_file_write(path, rows, strlen(rows), &err));
    for (int i = 0; i < 2; i++) {
        vkft_dataset data;
        expect_ok(vkft_dataset_open(path, f->text.tokenizer, &o, &data, &err));
        assert_int_equal(data.from_cache, i == 1);
        assert_int_equal(data.count, 2);
        assert_int_equal(data.choice_count, 5);
        char *first = show(f, &data.samples[0]), *second = show(f, &data.samples[1]);
        assert_string_equal(first, "Question: q?\nAnswer:| y| x|* y| z|");
        assert_string_equal(second, "Question: r?\nAnswer:| u|* u| v|");
        free(first);
        free(second);
        vkft_dataset_free(&data);
    }
    free(vkft_test_swap_environment("XDG_CACHE_HOME", before));
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forms), cmocka_unit_test(test_prompts),
                                       cmocka_unit_test(test_rejected), cmocka_unit_test(test_cache)};
    return cmocka_run_group_tests_name("choices", tests, set_up, tear_down);
}
