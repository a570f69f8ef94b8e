/* --metrics acc,acc_norm,acc_bytes: every choice's log-probability is transformers', and what follows from them is
 * lm-evaluation-harness's; training logs it and can be judged by it. Golden values: tests/golden/make_choices_golden.py
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/support/program.h"

#define DIR VKFT_TEST_DATA "/choices"
#define ALL "--metrics acc,acc_norm,acc_bytes "

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *number = cJSON_GetObjectItem(object, key);
    return cJSON_IsNumber(number) ? number->valuedouble : NAN;
}

static cJSON *evaluate(const char *model, const cJSON *golden, const char *more)
{
    vkft_test_result r =
        vkft_test_program("eval --model " VKFT_TEST_DATA "/recipes/%s --quant fp32 --compute-dtype fp32 --data " DIR
                          "/%s.jsonl %s --json --answers %s/answers.jsonl --batch-size 5 %s",
                          model, cJSON_GetObjectItem(golden, "data")->valuestring,
                          cJSON_GetObjectItem(golden, "flags")->valuestring, vkft_test_folder(), more);
    if (r.exit_code != 0)
        fail_msg("%s", r.err);
    cJSON *printed = cJSON_Parse(r.out);
    vkft_test_result_free(&r);
    return printed;
}

/* The answers' log-probabilities; 1e-5 relative: sums of at most 60 losses in f32. */
static void expect_logprobs(const char *model, const cJSON *golden)
{
    char path[700];
    snprintf(path, sizeof path, "%s/answers.jsonl", vkft_test_folder());
    cJSON *rows = vkft_test_read_jsonl(path);
    const cJSON *row = rows->child, *expected, *want;
    cJSON_ArrayForEach(expected, cJSON_GetObjectItem(golden, "logprobs"))
    {
        const cJSON *found = cJSON_GetObjectItem(row, "base_logprobs")->child;
        cJSON_ArrayForEach(want, expected)
        {
            double e = want->valuedouble, is = found->valuedouble;
            if (!(fabs(is - e) <= 1e-5 * fabs(e)))
                fail_msg("%s, %s: expected %.9g, found %.9g", model, golden->string, e, is);
            found = found->next;
        }
        assert_null(found);
        row = row->next;
    }
    assert_null(row);
    cJSON_Delete(rows);
}

static void test_golden(void **state)
{
    static const char *const keys[] = {"acc", "acc_norm", "acc_bytes"};
    cJSON *golden = vkft_test_read_json(DIR "/golden.json");
    const cJSON *model, *one;
    (void)state;
    cJSON_ArrayForEach(model, golden) cJSON_ArrayForEach(one, model)
    {
        cJSON *printed = evaluate(model->string, one, ALL);
        expect_logprobs(model->string, one);
        for (size_t k = 0; k < 3; k++)
            if (!(fabs(number_of(printed, keys[k]) - number_of(one, keys[k])) < 1e-12))
                fail_msg("%s, %s: %s is %g, expected %g", model->string, one->string, keys[k],
                         number_of(printed, keys[k]), number_of(one, keys[k]));
        cJSON_Delete(printed);
    }
    cJSON_Delete(golden);
}

/* Training learns the answers, is judged by them, and eval finds the same with both answers. */
static void test_training(void **state)
{
    char path[700];
    (void)state;
    snprintf(path, sizeof path, "%s/data/train.jsonl", vkft_test_folder());
    vkft_test_copy(DIR "/arc.jsonl", path);
    snprintf(path, sizeof path, "%s/data/valid.jsonl", vkft_test_folder());
    vkft_test_copy(DIR "/arc.jsonl", path);
    vkft_test_program_ok(
        "train --model " VKFT_TEST_DATA "/recipes/opt --data %s/data --quant fp32 --fine-tune-type full "
        "--batch-size 3 --gradient-accumulation-steps 1 --learning-rate 0.01 --lr-scheduler-type "
        "constant --warmup-steps 0 --max-steps 60 --eval-steps 10 --save-steps 10 --label-smoothing-factor "
        "0.1 --metrics acc,exact_match --max-new-tokens 8 --metric-for-best-model acc "
        "--early-stopping-patience 2 --output-dir %s/run",
        vkft_test_folder(), vkft_test_folder());
    snprintf(path, sizeof path, "%s/run/trainer_log.jsonl", vkft_test_folder());
    cJSON *log = vkft_test_read_jsonl(path), *row;
    double first = NAN, best = NAN;
    cJSON_ArrayForEach(row, log)
    {
        double acc = number_of(row, "eval_acc");
        first = isnan(first) ? acc : first;
        best = isnan(acc) ? best : fmax(best, acc);
    }
    cJSON_Delete(log);
    assert_true(first < 1 && best == 1);
    vkft_test_result r = vkft_test_program("eval --model %s/run --data %s/data/valid.jsonl --json --metrics acc "
                                           "--answers %s/answers.jsonl",
                                           vkft_test_folder(), vkft_test_folder(), vkft_test_folder());
    assert_int_equal(r.exit_code, 0);
    cJSON *printed = cJSON_Parse(r.out);
    assert_true(number_of(printed, "acc") == 1);
    snprintf(path, sizeof path, "%s/answers.jsonl", vkft_test_folder());
    cJSON *answers = vkft_test_read_jsonl(path);
    assert_string_equal(cJSON_GetObjectItem(answers->child, "base_choice")->valuestring, " rain");
    assert_string_equal(cJSON_GetObjectItem(answers->child, "reference")->valuestring, " rain");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(answers->child, "choices")), 3);
    cJSON_Delete(answers);
    cJSON_Delete(printed);
    vkft_test_result_free(&r);
}

static void test_errors(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program("eval --model " VKFT_TEST_DATA "/recipes/opt --data " VKFT_PROJECT_DIR
                                           "/recipes/data/questions-en.csv --metrics acc");
    if (r.exit_code != 1 || !strstr(r.err, "--metrics acc compares choices, and these rows have none"))
        fail_msg("%s", r.err);
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_training),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests_name("choices", tests, vkft_test_folder_set_up, vkft_test_folder_tear_down);
}
