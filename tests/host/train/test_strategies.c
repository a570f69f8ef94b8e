/* When a run logs, evaluates and saves, what an evaluation's batches are, and which result it ends with: by the rows of
 * the log and the directories that it leaves. 20 samples in batches of 4 are 5 steps an epoch.
 */
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

#define GOLDEN VKFT_TEST_DATA "/golden/"
#define TRAIN                                                                                                          \
    "train --model " GOLDEN "llama_gqa/model --data " GOLDEN "llama_gqa --output-dir %s/%s --quant fp32 --batch-size " \
    "4 --gradient-accumulation-steps 1 --save-total-limit 100 --no-load-best-model-at-end --compute-dtype fp32 %s"

static char *dir;

static int make_directory(void **state)
{
    (void)state;
    dir = vkft_test_directory();
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    vkft_test_remove_directory(dir);
    return 0;
}

/* "5 10 12": the steps of the rows that have this member. */
static void steps_of(const char *run, const char *member, char *text, size_t size)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s/trainer_log.jsonl", dir, run);
    cJSON *log = vkft_test_read_jsonl(path), *row;
    size_t n = 0;
    text[0] = 0;
    cJSON_ArrayForEach(row, log)
    {
        if (cJSON_GetObjectItem(row, member))
            n += (size_t)snprintf(text + n, size - n, "%s%d", n ? " " : "", cJSON_GetObjectItem(row, "step")->valueint);
    }
    cJSON_Delete(log);
}

/* "5 10 12": the directories prefix-N up to the last step. */
static void directories_of(const char *run, const char *prefix, char *text, size_t size)
{
    size_t n = 0;
    text[0] = 0;
    for (int step = 1; step <= 20; step++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s/%s-%d", dir, run, prefix, step);
        if (vkft_directory_exists(path))
            n += (size_t)snprintf(text + n, size - n, "%s%d", n ? " " : "", step);
    }
}

static void test_when(void **state)
{
    static const struct {
        const char *flags, *logged, *evaluated, *saved;
    } cases[] = {
        {"--num-train-epochs 2 --logging-strategy epoch --eval-strategy epoch --save-strategy epoch", "5 10", "5 10",
         "5 10"},
        {"--num-train-epochs 1.4 --logging-strategy epoch --eval-strategy epoch --save-strategy epoch", "5 7", "5 7",
         "5 7"},
        {"--max-steps 3 --logging-strategy no --eval-strategy no --save-strategy no", "", "", ""},
        {"--max-steps 5 --logging-steps 2 --eval-steps 3 --save-steps 4", "2 4 5", "3 5", "4 5"},
        {"--max-steps 5 --logging-strategy steps --eval-strategy steps --save-strategy steps --save-steps 0",
         "1 2 3 4 5", "5", "5"},
        {"--max-steps 7 --logging-strategy epoch --eval-strategy no --save-strategy steps --save-steps 3", "5 7", "",
         "3 6 7"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char run[20], logged[200], evaluated[200], saved[200], path[700];
        snprintf(run, sizeof run, "when-%zu", i);
        vkft_test_program_ok(TRAIN, dir, run, cases[i].flags);
        steps_of(run, "loss", logged, sizeof logged);
        steps_of(run, "eval_loss", evaluated, sizeof evaluated);
        directories_of(run, "checkpoint", saved, sizeof saved);
        if (strcmp(logged, cases[i].logged) != 0 || strcmp(evaluated, cases[i].evaluated) != 0 ||
            strcmp(saved, cases[i].saved) != 0)
            fail_msg("%s: logged '%s', evaluated '%s', saved '%s'", cases[i].flags, logged, evaluated, saved);
        snprintf(path, sizeof path, "%s/%s/adapter_model.safetensors", dir, run);
        free(vkft_test_read(path, NULL));
    }
}

static void expect_error(const char *command, const char *message)
{
    vkft_test_result r = vkft_test_program("%s", command);
    if (r.exit_code != 1 || !strstr(r.err, message))
        fail_msg("%s: expected '%s', found '%s'", command, message, r.err);
    vkft_test_result_free(&r);
}

static void test_patience_needs_evaluations(void **state)
{
    char command[1200];
    (void)state;
    snprintf(command, sizeof command, TRAIN, dir, "patience", "--eval-strategy no --early-stopping-patience 2");
    expect_error(command, "--early-stopping-patience counts evaluations, and --eval-strategy no makes none");
}

static void test_task_type(void **state)
{
    (void)state;
    expect_error("train --dry-run --model " GOLDEN "t5/model --task-type CAUSAL_LM",
                 "--task-type CAUSAL_LM: " GOLDEN "t5/model is a model of SEQ_2_SEQ_LM");
    expect_error("train --dry-run --model " GOLDEN "llama_gqa/model --task-type SEQ_2_SEQ_LM",
                 "is a model of CAUSAL_LM");
    vkft_test_program_ok("train --dry-run --model " GOLDEN "t5/model --task-type SEQ_2_SEQ_LM");
    vkft_test_program_ok("train --dry-run --model " GOLDEN "llama_gqa/model --task_type CAUSAL_LM");
}

static double last_eval_loss(const char *run)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s/trainer_log.jsonl", dir, run);
    cJSON *log = vkft_test_read_jsonl(path), *row;
    double loss = -1;
    cJSON_ArrayForEach(row, log)
    {
        const cJSON *value = cJSON_GetObjectItem(row, "eval_loss");
        if (value)
            loss = value->valuedouble;
    }
    cJSON_Delete(log);
    return loss;
}

/* 6 samples: whole, their loss is that of any batches; of one batch alone, it is that of the samples in it. */
static void test_eval_batch_size(void **state)
{
    static const struct {
        const char *flags, *said;
    } cases[] = {
        {"", NULL},
        {"--eval-batch-size 1", NULL},
        {"--eval-batches 1 --eval-batch-size 6", NULL},
        {"--eval-batches 1 --eval-batch-size 2", "first 1 of 3 batches"},
        {"--eval-batches 1", "first 1 of 2 batches"},
    };
    double loss[5];
    (void)state;
    for (size_t i = 0; i < 5; i++) {
        char run[20], flags[200];
        snprintf(run, sizeof run, "batch-%zu", i);
        snprintf(flags, sizeof flags, "--max-steps 1 %s", cases[i].flags);
        vkft_test_result r = vkft_test_program(TRAIN, dir, run, flags);
        assert_int_equal(r.exit_code, 0);
        if (cases[i].said ? !strstr(r.err, cases[i].said) : strstr(r.err, "every evaluation uses") != NULL)
            fail_msg("%s: '%s'", flags, r.err);
        vkft_test_result_free(&r);
        loss[i] = last_eval_loss(run);
    }
    assert_true(loss[0] > 0 && loss[1] / loss[0] > 1 - 1e-6 && loss[1] / loss[0] < 1 + 1e-6);
    assert_true(loss[2] / loss[0] > 1 - 1e-6 && loss[2] / loss[0] < 1 + 1e-6);
    assert_true(loss[3] != loss[0] && loss[4] != loss[0] && loss[3] != loss[4]);
}

static void test_metric_for_best_model(void **state)
{
    char command[1200];
    (void)state;
    snprintf(command, sizeof command, TRAIN, dir, "metric", "--metric-for-best-model eval_f2");
    expect_error(command, "--metric-for-best-model eval_f2: an evaluation of this run has no such number; it has loss");
    snprintf(command, sizeof command, TRAIN, dir, "metric", "--metric-for-best-model rewards/margins");
    expect_error(command, "it has loss");
}

static void best_of(const char *run, int *step)
{
    char path[700];
    double lowest = 1e9;
    snprintf(path, sizeof path, "%s/%s/trainer_log.jsonl", dir, run);
    cJSON *log = vkft_test_read_jsonl(path), *row;
    cJSON_ArrayForEach(row, log)
    {
        const cJSON *value = cJSON_GetObjectItem(row, "eval_loss");
        if (value && value->valuedouble < lowest) {
            lowest = value->valuedouble;
            *step = cJSON_GetObjectItem(row, "step")->valueint;
        }
    }
    cJSON_Delete(log);
}

/* At this rate the loss soon rises again. One checkpoint is kept, the last; the best is kept beside it, and is the
 * result: bit for bit the checkpoint of its step in a run that keeps all. */
static void test_best_outlives_the_limit(void **state)
{
#define RATE                                                                                                           \
    "--max-steps 10 --learning-rate 0.05 --lr-scheduler-type constant --warmup-steps 0 --save-steps 1 --eval-steps 1 " \
    "--compute-dtype fp32 "
    char found[200], wanted[20], path[100];
    int best = 0;
    (void)state;
    vkft_test_program_ok(TRAIN, dir, "all", RATE);
    vkft_test_program_ok(TRAIN, dir, "one", RATE "--save-total-limit 1 --load-best-model-at-end");
    best_of("all", &best);
    assert_true(best >= 1 && best < 9);
    directories_of("one", "checkpoint", found, sizeof found);
    assert_string_equal(found, "10");
    directories_of("one", "best", found, sizeof found);
    snprintf(wanted, sizeof wanted, "%d", best);
    assert_string_equal(found, wanted);
    snprintf(path, sizeof path, "all/checkpoint-%d/adapter_model.safetensors", best);
    vkft_test_same_file(dir, "one/adapter_model.safetensors", path, NULL);
    vkft_test_same_file(dir, "all/adapter_model.safetensors", "one/checkpoint-10/adapter_model.safetensors", NULL);
}

/* Without checkpoints nothing but the newest best is ever needed. */
static void test_best_without_checkpoints(void **state)
{
    char found[200], wanted[20];
    int best = 0;
    (void)state;
    vkft_test_program_ok(TRAIN, dir, "none", RATE "--save-strategy no --load-best-model-at-end");
    best_of("none", &best);
    assert_true(best > 1); /* the first evaluation was the best once, too */
    snprintf(wanted, sizeof wanted, "%d", best);
    directories_of("none", "checkpoint", found, sizeof found);
    assert_string_equal(found, "");
    directories_of("none", "best", found, sizeof found);
    assert_string_equal(found, wanted);
    vkft_test_same_file(dir, "none/adapter_model.safetensors", "one/adapter_model.safetensors", NULL);
}

/* Where patience runs out as transformers' EarlyStoppingCallback counts it, over the evaluations of a log. */
static int stops_at(const char *run, unsigned patience, double threshold)
{
    char path[700];
    double best = 1e9;
    unsigned waited = 0;
    int step = 0;
    snprintf(path, sizeof path, "%s/%s/trainer_log.jsonl", dir, run);
    cJSON *log = vkft_test_read_jsonl(path), *row;
    cJSON_ArrayForEach(row, log)
    {
        const cJSON *value = cJSON_GetObjectItem(row, "eval_loss");
        if (!value || waited == patience)
            continue;
        step = cJSON_GetObjectItem(row, "step")->valueint;
        waited = best - value->valuedouble > threshold ? 0 : waited + 1;
        best = value->valuedouble < best ? value->valuedouble : best;
    }
    cJSON_Delete(log);
    return waited == patience ? step : 0;
}

/* Stops where transformers would, says why, and that the losses have parted ways; the reason is kept with the result.
 */
static void test_early_stopping(void **state)
{
    static const struct {
        const char *flags, *said;
        unsigned patience;
        double threshold;
    } cases[] = {
        {"--early-stopping-patience 2", "no better validation loss in 2 evaluations, the best is", 2, 0},
        {"--early-stopping-patience 2 --early-stopping-threshold 0.5",
         "no better validation loss by more than 0.5 in 2 evaluations", 2, 0.5},
    };
    int step[2];
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        char run[20], flags[400], stopped[100], path[700];
        snprintf(run, sizeof run, "early-%zu", i);
        snprintf(flags, sizeof flags, RATE "%s", cases[i].flags);
        vkft_test_result r = vkft_test_program(TRAIN, dir, run, flags);
        assert_int_equal(r.exit_code, 0);
        step[i] = stops_at("all", cases[i].patience, cases[i].threshold);
        assert_true(step[i] > 0 && step[i] < 10);
        snprintf(stopped, sizeof stopped, "stopped early at step %d: ", step[i]);
        if (!strstr(r.err, stopped) || !strstr(r.err, cases[i].said))
            fail_msg("expected '%s%s', found '%s'", stopped, cases[i].said, r.err);
        snprintf(path, sizeof path, "%s/%s/vkft.json", dir, run);
        char *record = vkft_test_read(path, NULL);
        assert_non_null(strstr(record, "\"stopped_early\""));
        free(record);
        vkft_test_result_free(&r);
    }
    assert_true(step[0] != step[1]); /* else the threshold was not looked at */
}

/* A rate at which ten samples are learnt by heart. */
static void test_overfitting_is_said_once(void **state)
{
    (void)state;
    vkft_test_result r = vkft_test_program(TRAIN, dir, "over",
                                           "--max-steps 60 --learning-rate 0.01 --lr-scheduler-type constant "
                                           "--warmup-steps 0 --eval-steps 5 --save-strategy no");
    assert_int_equal(r.exit_code, 0);
    const char *warning = strstr(r.err, "warning: over-fitting: the validation loss was lowest at step ");
    if (!warning || strstr(warning + 1, "warning: over-fitting"))
        fail_msg("%s", r.err);
    vkft_test_result_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when),
        cmocka_unit_test(test_patience_needs_evaluations),
        cmocka_unit_test(test_task_type),
        cmocka_unit_test(test_eval_batch_size),
        cmocka_unit_test(test_best_outlives_the_limit),
        cmocka_unit_test(test_best_without_checkpoints),
        cmocka_unit_test(test_metric_for_best_model),
        cmocka_unit_test(test_early_stopping),
        cmocka_unit_test(test_overfitting_is_said_once),
    };
    return cmocka_run_group_tests_name("strategies", tests, make_directory, remove_directory);
}
