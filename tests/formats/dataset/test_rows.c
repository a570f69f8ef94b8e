/* Data files as people have them, in tests/data/rows: cases.json says for each what is trained, or why it is refused.
 *
 * A case: "file", maybe "options", and either "samples" (texts, the trained parts in «», BOS and EOS as ⟨ and ⟩) with
 * "skipped" (rows by reason) and "unused" (keys), or "error" (a part of the message). The tokenizer is the bundled
 * model's; the chat template is template.jinja. */
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
#include "formats/dataset/rows/source.h"
#include "runtime/base/directory.h"
#include "runtime/base/json.h"
#include "runtime/base/utf8.h"
#include "tests/support/expect.h"

#define DIR VKFT_TEST_DATA "/rows"

typedef struct fixture {
    vkft_model_text text;
    cJSON *cases;
} fixture;

static int set_up(void **state)
{
    vkft_err err;
    char *json;
    size_t size;
    fixture *f = calloc(1, sizeof *f);
    expect_ok(vkft_model_text_open(VKFT_PROJECT_DIR "/tools/bundled/model",
                                   &(vkft_chat_options){.file = DIR "/template.jinja"}, &f->text, &err));
    expect_ok(vkft_file_read(DIR "/cases.json", 1 << 20, &json, &size, &err));
    expect_ok((f->cases = vkft_json_parse(json, size, "cases.json", &err)) != NULL);
    free(json);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_model_text_free(&f->text);
    cJSON_Delete(f->cases);
    free(f);
    return 0;
}

static void put(vkft_text *out, const char *text)
{
    assert_true(vkft_text_append(out, text, strlen(text), NULL));
}

/* A sample as text. */
static char *show(const vkft_tokenizer *tok, const vkft_sample *s)
{
    vkft_text out = {0};
    int32_t bos = vkft_tokenizer_bos_id(tok), eos = vkft_tokenizer_eos_id(tok);
    for (uint32_t i = 0, n; i < s->length; i += n) {
        bool trained = s->labels[i] >= 0;
        if (trained && (i == 0 || s->labels[i - 1] < 0))
            put(&out, "«");
        n = 1;
        if (s->ids[i] == bos || s->ids[i] == eos) {
            put(&out, s->ids[i] == bos ? "⟨" : "⟩");
        } else {
            while (i + n < s->length && s->ids[i + n] != bos && s->ids[i + n] != eos &&
                   (s->labels[i + n] >= 0) == trained)
                n++;
            assert_true(vkft_tokenizer_decode(tok, s->ids + i, n, false, &out, NULL));
        }
        if (trained && (i + n == s->length || s->labels[i + n] < 0))
            put(&out, "»");
    }
    return out.data;
}

static bool option(const cJSON *options, const char *name)
{
    return cJSON_IsTrue(cJSON_GetObjectItem(options, name));
}

static vkft_dataset_options options_of(const fixture *f, const cJSON *options)
{
    uint32_t max_seq_length = 2048;
    vkft_json_get_u32(options, "max_seq_length", false, &max_seq_length, "", NULL);
    return (vkft_dataset_options){.max_seq_length = max_seq_length,
                                  .mask_prompt = !option(options, "no_mask_prompt"),
                                  .vocab_size = vkft_tokenizer_vocab_size(f->text.tokenizer),
                                  .eos_id = vkft_tokenizer_eos_id(f->text.tokenizer),
                                  .keys = cJSON_GetStringValue(cJSON_GetObjectItem(options, "keys")),
                                  .prompt_template = cJSON_GetStringValue(cJSON_GetObjectItem(options, "template")),
                                  .chat = f->text.chat,
                                  .apply_chat_template = option(options, "apply_chat_template"),
                                  .error_on_bad_row = option(options, "error_on_bad_row"),
                                  .drop_long_rows = option(options, "drop_long_rows")};
}

/* The dataset in the form of cases.json. */
static cJSON *describe(const fixture *f, const vkft_dataset *data)
{
    cJSON *found = cJSON_CreateObject(), *samples = cJSON_AddArrayToObject(found, "samples");
    for (uint32_t i = 0; i < data->count; i++) {
        char *text = show(f->text.tokenizer, &data->samples[i]);
        cJSON_AddItemToArray(samples, cJSON_CreateString(text));
        free(text);
    }
    if (vkft_bad_rows_count(&data->bad)) {
        cJSON *skipped = cJSON_AddObjectToObject(found, "skipped");
        for (int i = 0; i < VKFT_BAD_REASONS; i++)
            if (data->bad.count[i])
                cJSON_AddNumberToObject(skipped, vkft_bad_reason_name((vkft_bad_reason)i), (double)data->bad.count[i]);
    }
    if (data->unused[0])
        cJSON_AddStringToObject(found, "unused", data->unused);
    return found;
}

static void check_case(const fixture *f, const cJSON *c)
{
    vkft_err err = {0};
    vkft_dataset data;
    char path[1000], second[1000];
    const char *file = cJSON_GetStringValue(cJSON_GetObjectItem(c, "file"));
    const char *error = cJSON_GetStringValue(cJSON_GetObjectItem(c, "error"));
    vkft_dataset_options options = options_of(f, cJSON_GetObjectItem(c, "options"));
    const char *completions =
        cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetObjectItem(c, "options"), "completions"));
    snprintf(path, sizeof path, "%s/%s", DIR, file);
    snprintf(second, sizeof second, "%s/%s", DIR, completions ? completions : "");
    options.completions = completions ? second : NULL;
    bool opened = vkft_dataset_open(path, f->text.tokenizer, &options, &data, &err);
    if (!opened && error && strstr(err.message, error) && !strchr(err.message, '\n'))
        return;
    if (!opened)
        fail_msg("%s: '%s', expected %s", file, err.message, error ? error : "samples");
    cJSON *found = describe(f, &data), *want = cJSON_Duplicate(c, true);
    cJSON_DeleteItemFromObject(want, "file");
    cJSON_DeleteItemFromObject(want, "options");
    if (error || !cJSON_Compare(found, want, true))
        fail_msg("%s: found %s, expected %s", file, cJSON_PrintUnformatted(found), cJSON_PrintUnformatted(want));
    cJSON_Delete(found);
    cJSON_Delete(want);
    vkft_dataset_free(&data);
}

static void test_cases(void **state)
{
    const fixture *f = *state;
    const cJSON *c;
    cJSON_ArrayForEach(c, f->cases) check_case(f, c);
}

static bool has_case(void *context, const char *name)
{
    const cJSON *c;
    cJSON_ArrayForEach(c, ((const fixture *)context)->cases)
    {
        if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(c, "file")), name) == 0)
            return true;
    }
    if (name[0] != '.' && strcmp(name, "cases.json") != 0 && strcmp(name, "template.jinja") != 0)
        fail_msg("%s has no case", name);
    return true;
}

static void test_every_file_has_a_case(void **state)
{
    vkft_err err;
    expect_ok(vkft_directory_list(DIR, has_case, *state, &err));
}

/* Of several files the numbers are those of one, which is named. */
static void test_files_of_bad_rows(void **state)
{
    (void)state;
    vkft_bad_rows bad = {0};
    char text[VKFT_BAD_ROWS_TEXT];
    vkft_bad_rows_add(&bad, VKFT_BAD_NULL, &(vkft_bad_place){.file = "b.jsonl", .number = 3}, "text is missing");
    vkft_bad_rows_describe(&bad, text);
    assert_string_equal(text, "1 with a null or missing value (b.jsonl, line 3: text is missing)");
    vkft_bad_rows_add(&bad, VKFT_BAD_NULL, &(vkft_bad_place){.file = "b.jsonl", .number = 7}, "text is null");
    vkft_bad_rows_add(&bad, VKFT_BAD_NULL,
                      &(vkft_bad_place){.file = "c.csv", .file_number = 1, .number = 2, .is_row = true}, "none");
    vkft_bad_rows_add(&bad, VKFT_BAD_EMPTY,
                      &(vkft_bad_place){.file = "c.csv", .file_number = 1, .number = 4, .is_row = true}, "empty");
    vkft_bad_rows_describe(&bad, text);
    assert_string_equal(text, "3 with a null or missing value (b.jsonl, lines 3, 7, ...: text is missing), "
                              "1 with nothing to train on (c.csv, row 4: empty)");
}

/* More reasons than fit in a line: it stays one line of whole characters, and says that there are more. */
static void test_many_reasons(void **state)
{
    (void)state;
    vkft_bad_rows bad = {0};
    char text[VKFT_BAD_ROWS_TEXT], message[160];
    for (size_t i = 0; i + 3 < sizeof message; i += 3)
        memcpy(message + i, "\xe2\x82\xac", 4);
    for (int i = 0; i < VKFT_BAD_REASONS; i++)
        for (uint64_t n = 1; n <= 5; n++)
            vkft_bad_rows_add(&bad, (vkft_bad_reason)i,
                              &(vkft_bad_place){.file = message, .number = UINT64_MAX - n, .is_row = true}, message);
    vkft_bad_rows_describe(&bad, text);
    assert_true(strlen(text) < sizeof text && vkft_utf8_valid(text, strlen(text)));
    assert_string_equal(text + strlen(text) - 3, "...");
    assert_int_equal(vkft_bad_rows_count(&bad), 5 * VKFT_BAD_REASONS);
    assert_int_equal(vkft_bad_rows_faults(&bad), 5 * (VKFT_BAD_REASONS - 2));
    char line[] = "a\nb\xff\xe2\x82\xac";
    vkft_clean_line(line, 7); /* no room for the last character */
    assert_string_equal(line, "a?b?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_every_file_has_a_case),
        cmocka_unit_test(test_files_of_bad_rows),
        cmocka_unit_test(test_many_reasons),
    };
    return cmocka_run_group_tests_name("rows", tests, set_up, tear_down);
}
