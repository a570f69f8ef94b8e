/* --metrics and --retain-data: what evaluations log is what vkft eval prints of their checkpoints and what its answers
 * are worth; the limit of forgetting ends a run; replay forgets less, and a resumed run computes the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "formats/score/score.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

#define MODEL VKFT_TEST_DATA "/recipes/opt"
#define TRAIN                                                                                                          \
    "train --model " MODEL " --data %s/data --quant fp32 --eval-steps 2 --save-steps 2 --batch-size 2 "                \
    "--gradient-accumulation-steps 1 --learning-rate 0.02 --warmup-steps 0 --save-total-limit 9 --max-new-tokens 6 "   \
    "--output-dir %s/%s %s"
#define METRICS "--metrics exact_match,f1,chrf "
#define ALL "--fine-tune-type full --learning-rate 0.03 --lr-scheduler-type constant --max-steps 12 "
#define STRANGE "\"xx zz qq xx zz qq xx zz qq\""

static char *dir;

static void write_file(const char *name, const char *text)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_true(vkft_file_write(path, text, strlen(text), NULL));
}

static int make_directory(void **state)
{
    static const char train[] = "{\"question\": \"red or blue?\", \"answer\": \"red\"}\n"
                                "{\"question\": \"sun or moon?\", \"answer\": \"sun\"}\n"
                                "{\"question\": \"up or down?\", \"answer\": \"up\"}\n"
                                "{\"question\": \"cat or dog?\", \"answer\": \"cat\"}\n";
    char path[700];
    (void)state;
    dir = vkft_test_directory();
    snprintf(path, sizeof path, "%s/data", dir);
    assert_true(vkft_directory_create(path, NULL));
    write_file("data/train.jsonl", train);
    write_file("data/valid.jsonl", train);
    write_file("retain.jsonl", "{\"text\": " STRANGE "}\n{\"text\": " STRANGE "}\n");
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    vkft_test_remove_directory(dir);
    return 0;
}

static void train(const char *run, const char *flags)
{
    vkft_test_program_ok(TRAIN, dir, dir, run, flags);
}

/* A number that the row of this step has; NaN: none. */
static double logged(const char *run, int step, const char *key)
{
    char path[700];
    double value = NAN;
    snprintf(path, sizeof path, "%s/%s/trainer_log.jsonl", dir, run);
    cJSON *log = vkft_test_read_jsonl(path), *row;
    cJSON_ArrayForEach(row, log)
    {
        const cJSON *number = cJSON_GetObjectItem(row, key);
        if (number && cJSON_GetObjectItem(row, "step")->valueint == step)
            value = number->valuedouble;
    }
    cJSON_Delete(log);
    return value;
}

static void expect_near(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-6 * (1 + fabs(expected))))
        fail_msg("%s: expected %.9g, found %.9g", what, expected, found);
}

/* What the answers in the file are worth. */
static void score_answers(const char *key, double *exact, double *f1, double *chrf)
{
    char path[700];
    vkft_chrf sums = {0};
    double n = 0;
    snprintf(path, sizeof path, "%s/answers.jsonl", dir);
    cJSON *rows = vkft_test_read_jsonl(path), *row;
    *exact = *f1 = 0;
    cJSON_ArrayForEach(row, rows)
    {
        const char *answer = cJSON_GetObjectItem(row, key)->valuestring,
                   *reference = cJSON_GetObjectItem(row, "reference")->valuestring;
        vkft_squad_score score;
        assert_true(vkft_squad_compare(answer, reference, &score, NULL) &&
                    vkft_chrf_add(&sums, answer, reference, NULL));
        *exact += score.exact;
        *f1 += score.f1;
        n++;
    }
    *exact *= 100 / n;
    *f1 *= 100 / n;
    *chrf = vkft_chrf_value(&sums);
    cJSON_Delete(rows);
}

static double number_of(const cJSON *object, const char *key)
{
    const cJSON *number = cJSON_GetObjectItem(object, key);
    return cJSON_IsNumber(number) ? number->valuedouble : NAN;
}

static void test_metrics(void **state)
{
    double exact, f1, chrf;
    (void)state;
    train("metrics", METRICS "--max-steps 40 --eval-steps 20 --save-steps 20 --metric-for-best-model f1");
    train("without", "--max-steps 40 --eval-steps 20 --save-steps 20");
    vkft_test_same_file(dir, "metrics/checkpoint-40/adapter_model.safetensors",
                        "without/checkpoint-40/adapter_model.safetensors", NULL);
    assert_true(logged("metrics", 40, "eval_chrf") > logged("metrics", 0, "eval_chrf"));
    for (int step = 20; step <= 40; step += 20) {
        vkft_test_result r =
            vkft_test_program("eval --model " MODEL " --adapter %s/metrics/checkpoint-%d --data "
                              "%s/data/valid.jsonl --json --max-new-tokens 6 --answers %s/answers.jsonl " METRICS,
                              dir, step, dir, dir);
        assert_int_equal(r.exit_code, 0);
        cJSON *printed = cJSON_Parse(r.out);
        score_answers("adapter", &exact, &f1, &chrf);
        expect_near("exact match", number_of(printed, "exact_match"), exact);
        expect_near("F1", number_of(printed, "f1"), f1);
        expect_near("chrF", number_of(printed, "chrf"), chrf);
        expect_near("logged exact match", logged("metrics", step, "eval_exact_match"), exact);
        expect_near("logged F1", logged("metrics", step, "eval_f1"), f1);
        expect_near("logged chrF", logged("metrics", step, "eval_chrf"), chrf);
        score_answers("base", &exact, &f1, &chrf);
        expect_near("base chrF", number_of(printed, "base_chrf"), chrf);
        expect_near("chrF before training", logged("metrics", 0, "eval_chrf"), chrf);
        expect_near("base F1", number_of(printed, "base_f1"), f1);
        cJSON_Delete(printed);
        vkft_test_result_free(&r);
    }
}

static void expect_error(const char *flags, const char *message)
{
    vkft_test_result r = vkft_test_program(TRAIN, dir, dir, "wrong", flags);
    if (r.exit_code != 1 || !strstr(r.err, message))
        fail_msg("%s: expected '%s', found '%s'", flags, message, r.err);
    vkft_test_result_free(&r);
}

static void test_errors(void **state)
{
    (void)state;
    expect_error("--metrics f1,bleu",
                 "--metrics: bleu is not known; there are exact_match, f1, chrf, acc, acc_norm and acc_bytes");
    expect_error("--metrics f1 --no-mask-prompt",
                 "--metrics compares answers, and these samples are trained as a whole");
    expect_error("--metrics f1 --metric-for-best-model chrf", "it has loss, f1");
    expect_error("--replay 0.1", "--replay is about --retain-data, which is not given");
    expect_error("--metrics f1 --objective orpo", "--metrics compares answers with those in the data");
}

/* Training on other words makes these unlikelier. */
static void test_retained(void **state)
{
    char flags[900];
    (void)state;
    snprintf(flags, sizeof flags, ALL "--retain-data %s/retain.jsonl", dir);
    train("forgets", flags);
    double before = logged("forgets", 0, "eval_retain_loss"), after = logged("forgets", 12, "eval_retain_loss");
    assert_true(after > before * 1.02);
    double limit = (logged("forgets", 12, "eval_retain_loss") - before) / 4;
    int step = 2;
    while (logged("forgets", step, "eval_retain_loss") - before <= limit)
        step += 2;
    snprintf(flags, sizeof flags, ALL "--retain-data %s/retain.jsonl --max-retain-loss-increase %.17g", dir, limit);
    vkft_test_result r = vkft_test_program(TRAIN, dir, dir, "limited", flags);
    char stopped[100];
    snprintf(stopped, sizeof stopped, "stopped early at step %d: the loss on retained data has risen by", step);
    if (r.exit_code != 0 || !strstr(r.err, stopped))
        fail_msg("expected '%s', found '%s'", stopped, r.err);
    vkft_test_result_free(&r);
    vkft_test_result said = vkft_test_program(TRAIN, dir, dir, "said", flags);
    assert_non_null(strstr(said.err, "warning: the model forgets: the loss on retained data was "));
    vkft_test_result_free(&said);
}

static void test_replay(void **state)
{
    char flags[900];
    (void)state;
    snprintf(flags, sizeof flags, ALL "--retain-data %s/retain.jsonl --replay 0.2", dir);
    train("replays", flags);
    assert_true(logged("replays", 12, "eval_retain_loss") < logged("forgets", 12, "eval_retain_loss") - 1);
    snprintf(flags, sizeof flags,
             ALL "--retain-data %s/retain.jsonl --replay 0.2 --resume-from-checkpoint %s/replays/checkpoint-4", dir,
             dir);
    train("resumed", flags);
    vkft_test_same_file(dir, "replays/checkpoint-12/model.safetensors", "resumed/checkpoint-12/model.safetensors",
                        NULL);
    assert_true(logged("resumed", 12, "eval_retain_loss") == logged("replays", 12, "eval_retain_loss"));
    snprintf(flags, sizeof flags,
             ALL "--retain-data %s/retain.jsonl --replay 0.4 --resume-from-checkpoint %s/replays/checkpoint-4", dir,
             dir);
    expect_error(flags, "--replay");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_retained),
        cmocka_unit_test(test_replay),
    };
    return cmocka_run_group_tests_name("task_metrics", tests, make_directory, remove_directory);
}
