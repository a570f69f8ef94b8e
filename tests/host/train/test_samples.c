/* --sample-prompts: the rows of samples.jsonl are what vkft generate answers, training does not change by them, and a
 * resumed run has the rows of one that was not stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

#define MODEL VKFT_TEST_DATA "/recipes/opt"
#define ENCODER VKFT_TEST_DATA "/recipes/flan_t5"
#define ROWS VKFT_TEST_DATA "/../../recipes/data/instructions-en.jsonl"
#define TRAIN                                                                                                          \
    "train --model %s --data " ROWS " --val-split 0.25 --quant fp32 --eval-steps 2 --save-steps 2 --batch-size 4 "     \
    "--gradient-accumulation-steps 1 --learning-rate 0.01 --save-total-limit 9 --max-new-tokens 5 --output-dir %s/%s " \
    "%s"

static char *dir;

static int make_directory(void **state)
{
    char path[700];
    (void)state;
    dir = vkft_test_directory();
    snprintf(path, sizeof path, "%s/prompts.txt", dir);
    static const char text[] = "Who are you?\n\nWhat is a hammer?\r\n";
    return vkft_file_write(path, text, strlen(text), NULL) ? 0 : 1;
}

static int remove_directory(void **state)
{
    (void)state;
    vkft_test_remove_directory(dir);
    return 0;
}

static void train(const char *model, const char *run, const char *more)
{
    char flags[2000];
    snprintf(flags, sizeof flags, "--sample-prompts %s/prompts.txt %s", dir, more);
    vkft_test_program_ok(TRAIN, model, dir, run, flags);
}

static char *read_of(const char *run, const char *name, size_t *size)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s/%s", dir, run, name);
    return vkft_test_read(path, size);
}

static void expect_text(const cJSON *row, const char *key, const char *text)
{
    const cJSON *value = cJSON_GetObjectItem(row, key);
    if (!cJSON_IsString(value) || strcmp(value->valuestring, text) != 0)
        fail_msg("%s: expected '%s', found '%s'", key, text, cJSON_IsString(value) ? value->valuestring : "nothing");
}

/* What vkft generate writes, without the end of the line. */
static void expect_generated(const cJSON *row, const char *key, const char *model, const char *more)
{
    vkft_test_result r =
        vkft_test_program("generate --model %s --quant fp32 --temperature 0 --max-new-tokens 5 --prompt '%s' %s", model,
                          cJSON_GetObjectItem(row, "prompt")->valuestring, more);
    assert_int_equal(r.exit_code, 0);
    size_t length = strlen(r.out);
    assert_true(length && r.out[length - 1] == '\n');
    r.out[length - 1] = 0;
    expect_text(row, key, r.out);
    vkft_test_result_free(&r);
}

static void check_rows(const char *model, const char *run, uint32_t evaluations)
{
    static const char *const prompts[] = {"Who are you?", "What is a hammer?"};
    char path[700], adapter[700];
    snprintf(path, sizeof path, "%s/%s/samples.jsonl", dir, run);
    cJSON *rows = vkft_test_read_jsonl(path), *row;
    assert_int_equal(cJSON_GetArraySize(rows), 2 * evaluations);
    int i = 0;
    cJSON_ArrayForEach(row, rows)
    {
        int step = 2 * (i / 2 + 1);
        assert_int_equal(cJSON_GetObjectItem(row, "step")->valueint, step);
        expect_text(row, "prompt", prompts[i++ % 2]);
        expect_generated(row, "base", model, "");
        snprintf(adapter, sizeof adapter, "--adapter %s/%s/checkpoint-%d", dir, run, step);
        expect_generated(row, "adapter", model, adapter);
    }
    cJSON_Delete(rows);
}

static void test_rows(void **state)
{
    (void)state;
    train(MODEL, "rows", "--max-steps 4");
    check_rows(MODEL, "rows", 2);
    vkft_test_program_ok(TRAIN, MODEL, dir, "without", "--max-steps 4");
    vkft_test_same_file(dir, "rows", "without", "checkpoint-4/adapter_model.safetensors");
}

static void test_encoder(void **state)
{
    (void)state;
    train(ENCODER, "encoder", "--max-steps 2");
    check_rows(ENCODER, "encoder", 1);
}

/* Also rows of steps that are taken again, and one that was cut off. */
static void test_resumed(void **state)
{
    char path[700];
    size_t size;
    (void)state;
    train(MODEL, "resumed", "--max-steps 4");
    snprintf(path, sizeof path, "%s/resumed/checkpoint-4", dir);
    char *text = read_of("resumed", "samples.jsonl", &size);
    snprintf(path, sizeof path, "%s/resumed/samples.jsonl", dir);
    assert_true(vkft_file_write(path, text, size - 9, NULL));
    free(text);
    char more[900];
    snprintf(more, sizeof more, "--max-steps 4 --resume-from-checkpoint %s/resumed/checkpoint-2", dir);
    train(MODEL, "resumed", more);
    vkft_test_same_file(dir, "rows", "resumed", "samples.jsonl");
    vkft_test_same_file(dir, "rows", "resumed", "checkpoint-4/adapter_model.safetensors");
}

static void expect_error(const char *name, const char *content, const char *message)
{
    char path[700], flags[900];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_true(vkft_file_write(path, content, strlen(content), NULL));
    snprintf(flags, sizeof flags, "--max-steps 2 --sample-prompts %s", path);
    vkft_test_result r = vkft_test_program(TRAIN, MODEL, dir, "wrong", flags);
    if (r.exit_code != 1 || !strstr(r.err, message))
        fail_msg("expected '%s', found '%s'", message, r.err);
    vkft_test_result_free(&r);
}

static void test_errors(void **state)
{
    (void)state;
    expect_error("empty.txt", "\n  \n", "no prompt in it");
    expect_error("keys.jsonl", "{\"prompt\": \"a\"}\n{\"question\": \"b\"}\n", "line 2: expected {\"prompt\": TEXT}");
    expect_error("chat.jsonl", "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n", "has no chat template");
    char flags[900];
    snprintf(flags, sizeof flags, "--max-steps 2 --val-split 0 --sample-prompts %s/prompts.txt", dir);
    vkft_test_result r = vkft_test_program(TRAIN, MODEL, dir, "wrong", flags);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "--sample-prompts are answered at evaluations, and this run has no validation data"));
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_resumed),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("samples", tests, make_directory, remove_directory);
}
