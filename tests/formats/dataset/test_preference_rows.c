/* Rows with chosen and rejected answers, and with good and bad ones, become the ids that TRL makes of them: texts,
 * conversations, tools, prompts that only the answers have. The cases are made by golden/make_preference_golden.py. */
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

typedef struct fixture {
    vkft_test_rows rows;
    cJSON *cases;
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->cases = vkft_test_read_json(VKFT_TEST_DATA "/golden_preference/rows.json");
    vkft_test_rows_begin(&f->rows, cJSON_GetStringValue(cJSON_GetObjectItem(f->cases, "template")));
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_rows_end(&f->rows);
    cJSON_Delete(f->cases);
    free(f);
    return 0;
}

static vkft_dataset_options options(const fixture *f, vkft_preferences preferences)
{
    vkft_dataset_options o = vkft_test_rows_options(&f->rows, 512);
    o.preferences = preferences;
    return o;
}

/* The prompt's ids and those of the answer, cut to `max` tokens; the prompt is masked. */
static void same_sample(const char *row, const vkft_sample *s, const cJSON *prompt, const cJSON *answer, uint32_t max)
{
    uint32_t before = (uint32_t)cJSON_GetArraySize(prompt), length = before + (uint32_t)cJSON_GetArraySize(answer);
    length = length < max ? length : max;
    if (s->length != length || s->prompt_length != before)
        fail_msg("%s: %u tokens, %u of the prompt, expected %u, %u", row, s->length, s->prompt_length, length, before);
    assert_int_equal(s->trained, length - (before ? before : 1));
    for (uint32_t i = 0; i < length; i++) {
        const cJSON *id =
            i < before ? cJSON_GetArrayItem(prompt, (int)i) : cJSON_GetArrayItem(answer, (int)(i - before));
        if (s->ids[i] != id->valueint || s->labels[i] != (i < before ? VKFT_IGNORE_LABEL : id->valueint))
            fail_msg("%s: token %u is %d, label %d, expected %d", row, i, s->ids[i], s->labels[i], id->valueint);
    }
}

static void test_pairs(void **state)
{
    const fixture *f = *state;
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(f->cases, "pairs"))
    {
        char *row = cJSON_PrintUnformatted(cJSON_GetObjectItem(item, "row"));
        const cJSON *ids = cJSON_GetObjectItem(item, "ids"), *prompt = cJSON_GetObjectItem(ids, "prompt_ids");
        uint32_t before = (uint32_t)cJSON_GetArraySize(prompt);
        for (uint32_t max = 512; max; max = max == 512 ? before + 2 : 0) {
            vkft_err err = {0};
            vkft_dataset data;
            vkft_dataset_options o = options(f, VKFT_PREFERENCES_PAIRS);
            o.max_seq_length = max;
            if (!vkft_test_rows_open(&f->rows, row, &o, &data, &err))
                fail_msg("%s: %s", row, err.message);
            assert_int_equal(data.count, 2);
            same_sample(row, &data.samples[0], prompt, cJSON_GetObjectItem(ids, "chosen_ids"), max);
            same_sample(row, &data.samples[1], prompt, cJSON_GetObjectItem(ids, "rejected_ids"), max);
            assert_int_equal(data.samples[0].answer, VKFT_ANSWER_CHOSEN);
            assert_int_equal(data.samples[1].answer, VKFT_ANSWER_REJECTED);
            vkft_dataset_free(&data);
        }
        cJSON_free(row);
    }
}

static void test_labelled(void **state)
{
    const fixture *f = *state;
    const cJSON *item;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(f->cases, "labelled"))
    {
        vkft_err err = {0};
        vkft_dataset data;
        char *row = cJSON_PrintUnformatted(cJSON_GetObjectItem(item, "row"));
        bool good = cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetObjectItem(item, "row"), "label"));
        const cJSON *ids = cJSON_GetObjectItem(item, "ids");
        const vkft_dataset_options o = options(f, VKFT_PREFERENCES_LABELLED);
        if (!vkft_test_rows_open(&f->rows, row, &o, &data, &err))
            fail_msg("%s: %s", row, err.message);
        assert_int_equal(data.count, 1);
        same_sample(row, data.samples, cJSON_GetObjectItem(ids, "prompt_ids"),
                    cJSON_GetObjectItem(ids, "completion_ids"), 512);
        assert_int_equal(data.samples[0].answer, good ? VKFT_ANSWER_CHOSEN : VKFT_ANSWER_REJECTED);
        vkft_dataset_free(&data);
        cJSON_free(row);
    }
}

/* For ORPO the prompt of the chosen answer is labelled, too. */
static void test_chosen_prompt(void **state)
{
    const fixture *f = *state;
    vkft_err err = {0};
    vkft_dataset data;
    vkft_dataset_options o = options(f, VKFT_PREFERENCES_PAIRS);
    o.learn_chosen_prompt = true;
    expect_ok(vkft_test_rows_open(&f->rows, "{\"prompt\": \"a b c\", \"chosen\": \" d\", \"rejected\": \" e\"}\n", &o,
                                  &data, &err));
    assert_int_equal(data.samples[0].trained, data.samples[0].length - 1);
    assert_true(data.samples[0].labels[1] == data.samples[0].ids[1] && data.samples[0].prompt_length > 1);
    assert_int_equal(data.samples[1].trained, data.samples[1].length - data.samples[1].prompt_length);
    vkft_dataset_free(&data);
}

/* A prompt that is a text beside answers that are conversations is in them, or is the question. */
static void test_text_and_messages(void **state)
{
    static const char *const same[][2] = {
        {"{\"prompt\": \"q\", \"chosen\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", "
         "\"content\": \"a\"}],"
         " \"rejected\": [{\"role\": \"user\", \"content\": \"q\"}, {\"role\": \"assistant\", \"content\": \"b\"}]}",
         "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": "
         "\"a\"}],"
         " \"rejected\": [{\"role\": \"assistant\", \"content\": \"b\"}]}"},
        {"{\"prompt\": \"q\", \"chosen\": {\"from\": \"gpt\", \"value\": \"a\"}, \"rejected\": {\"from\": \"gpt\", "
         "\"value\": \"b\"}}",
         "{\"prompt\": [{\"role\": \"user\", \"content\": \"q\"}], \"chosen\": [{\"role\": \"assistant\", \"content\": "
         "\"a\"}],"
         " \"rejected\": [{\"role\": \"assistant\", \"content\": \"b\"}]}"},
    };
    const fixture *f = *state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        vkft_dataset data[2];
        for (int k = 0; k < 2; k++) {
            vkft_err err = {0};
            const vkft_dataset_options o = options(f, VKFT_PREFERENCES_PAIRS);
            if (!vkft_test_rows_open(&f->rows, same[i][k], &o, &data[k], &err))
                fail_msg("%s: %s", same[i][k], err.message);
            assert_int_equal(data[k].count, 2);
        }
        for (int s = 0; s < 2; s++) {
            assert_int_equal(data[0].samples[s].length, data[1].samples[s].length);
            assert_memory_equal(data[0].samples[s].ids, data[1].samples[s].ids, 4 * data[0].samples[s].length);
            assert_int_equal(data[0].samples[s].prompt_length, data[1].samples[s].prompt_length);
        }
        vkft_dataset_free(&data[0]);
        vkft_dataset_free(&data[1]);
    }
}

static void refuses(const fixture *f, vkft_preferences preferences, const char *row, const char *part)
{
    vkft_err err = {0};
    vkft_dataset data;
    const vkft_dataset_options o = options(f, preferences);
    if (vkft_test_rows_open(&f->rows, row, &o, &data, &err) || !strstr(err.message, part))
        fail_msg("%s: expected '%s', found '%s'", row, part, err.message);
}

static void test_refusals(void **state)
{
    const fixture *f = *state;
    const vkft_preferences pairs = VKFT_PREFERENCES_PAIRS, labelled = VKFT_PREFERENCES_LABELLED;
    refuses(f, pairs, "{\"prompt\": \"a\", \"chosen\": null, \"rejected\": \"b\"}", "chosen is null");
    refuses(f, pairs, "{\"prompt\": \"a\", \"chosen\": [1], \"rejected\": \"b\"}", "chosen[0]");
    refuses(f, pairs,
            "{\"chosen\": [{\"role\": \"assistant\", \"content\": \"a\"}], \"rejected\": [{\"role\": \"assistant\", "
            "\"content\": \"b\"}]}",
            "no prompt");
    refuses(f, pairs, "{\"chosen_ids\": [1], \"rejected_ids\": [2]}", "prompt_input_ids is missing");
    refuses(f, pairs, "{\"prompt_ids\": [1], \"chosen_ids\": [1.5], \"rejected_ids\": [2]}", "is not a whole number");
    refuses(f, pairs, "{\"prompt_ids\": [1], \"chosen_ids\": [9999999], \"rejected_ids\": [2]}", "outside the model's");
    refuses(f, labelled, "{\"prompt\": \"a\", \"completion\": \"b\"}", "label is missing or null");
    refuses(f, labelled, "{\"prompt\": \"a\", \"completion\": \"b\", \"label\": \"yes\"}", "expected true or false");
    refuses(f, labelled, "{\"completion\": \"b\", \"label\": true}", "keys found: completion, label; expected prompt");
    refuses(f, labelled, "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}",
            "expected prompt, completion and label");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_pairs), cmocka_unit_test(test_labelled),
                                       cmocka_unit_test(test_chosen_prompt), cmocka_unit_test(test_text_and_messages),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
