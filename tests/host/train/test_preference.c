/* Preference training as a run: it resumes bit for bit, with its reference in the cache and without; pairs stay
 * together where validation data is held out; the log and TensorBoard's events have TRL's names; rows of the other kind
 * are refused with what to do. The numbers are TRL's, see test_golden_preference. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/run/run_test.h"

static const char rows[] = "{\"prompt_ids\": [1, 2], \"chosen_ids\": [3, 4, 9], \"rejected_ids\": [5, 2]}\n"
                           "{\"prompt_ids\": [1, 7, 8], \"chosen_ids\": [9, 2], \"rejected_ids\": [4, 6, 3, 2]}\n"
                           "{\"prompt_ids\": [1], \"chosen_ids\": [6, 2], \"rejected_ids\": [8, 7, 2]}\n"
                           "{\"prompt_ids\": [1, 4], \"chosen_ids\": [7, 5, 2], \"rejected_ids\": [7, 2]}\n"
                           "{\"prompt_ids\": [1, 9, 5], \"chosen_ids\": [2], \"rejected_ids\": [3, 2]}\n";

static int set_up(void **state)
{
    vkft_err err;
    vkft_test_run_set_up(state);
    const vkft_test_run_fixture *f = *state;
    expect_ok(vkft_directory_create(vkft_test_run_at(f, "cache"), &err));
    setenv("VKFT_CACHE_DIR", vkft_test_run_at(f, "cache"), 1);
    vkft_test_run_put(f, "pairs.jsonl", rows);
    return 0;
}

static vkft_test_result run(const vkft_test_run_fixture *f, const char *out, const char *more)
{
    return vkft_test_program("train --model %s --data %s --output-dir %s --objective dpo --learning-rate 1e-2 "
                             "--max-steps 6 --save-steps 3 " VKFT_TEST_RUN_FLAGS " %s",
                             f->model, vkft_test_run_at(f, "pairs.jsonl"), vkft_test_run_at(f, out), more);
}

/* Returns what was said; to free. */
static char *run_ok(const vkft_test_run_fixture *f, const char *out, const char *more)
{
    vkft_test_result r = run(f, out, more);
    if (r.exit_code)
        fail_msg("%s: %s", more, r.err);
    free(r.out);
    return r.err;
}

static void refuses(const vkft_test_run_fixture *f, const char *more, const char *part)
{
    vkft_test_result r = run(f, "refused", more);
    if (r.exit_code != 1 || !strstr(r.err, part))
        fail_msg("%s: expected '%s', found %d '%s'", more, part, r.exit_code, r.err);
    vkft_test_result_free(&r);
}

static void cut_back(const vkft_test_run_fixture *f, const char *out)
{
    static const char *const late[] = {"checkpoint-6", "adapter_model.safetensors", "adapter_config.json"};
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s/%s", out, late[i]);
        vkft_test_run_drop(f, name);
    }
}

static bool count_file(void *context, const char *name)
{
    *(int *)context += strncmp(name, "reference-", 10) == 0;
    return true;
}

static int cached(const vkft_test_run_fixture *f)
{
    int count = 0;
    assert_true(vkft_directory_list(vkft_test_run_at(f, "cache"), count_file, &count, NULL));
    return count;
}

static void test_resume(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char *said = run_ok(f, "whole", "");
    assert_null(strstr(said, "from the cache"));
    free(said);
    assert_int_equal(cached(f), 1);
    vkft_test_run_says(run_ok(f, "cut", ""), "reference: log-probabilities of 10 answers from the cache");
    vkft_test_same_file(f->dir, "whole", "cut", "adapter_model.safetensors");
    cut_back(f, "cut");
    vkft_test_run_says(run_ok(f, "cut", "--resume-from-checkpoint auto"), "resumed from");
    vkft_test_same_file(f->dir, "whole", "cut", "adapter_model.safetensors");
    cut_back(f, "cut");
    vkft_test_run_drop(f, "cache");
    said = run_ok(f, "cut", "--resume-from-checkpoint auto");
    assert_null(strstr(said, "from the cache"));
    free(said);
    vkft_test_same_file(f->dir, "whole", "cut", "adapter_model.safetensors");
}

/* The cache is of a content: another model or other data has another one, and a damaged file is none. */
static void test_cache(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_run_drop(f, "cache");
    free(run_ok(f, "a", "--overwrite"));
    assert_int_equal(cached(f), 1);
    free(run_ok(f, "a", "--overwrite --learning-rate 1e-3 --beta 0.2")); /* the same reference */
    assert_int_equal(cached(f), 1);
    free(run_ok(f, "a", "--overwrite --max-seq-length 4"));
    assert_int_equal(cached(f), 2);
    char more[900];
    snprintf(more, sizeof more, "--init-adapter %s", vkft_test_run_at(f, "a"));
    free(run_ok(f, "b", more)); /* goes on from the adapter as it is */
    assert_int_equal(cached(f), 3);
    free(run_ok(f, "a", "--overwrite --reference-free"));
    free(run_ok(f, "a", "--overwrite --objective orpo"));
    assert_int_equal(cached(f), 3);
}

static const cJSON *last_of(const cJSON *log, const char *key)
{
    const cJSON *row, *found = NULL;
    cJSON_ArrayForEach(row, log) found = cJSON_HasObjectItem(row, key) ? row : found;
    assert_non_null(found);
    return cJSON_GetObjectItem(found, key);
}

static void test_log(void **state)
{
    static const char *const names[] = {"rewards/chosen",  "rewards/rejected", "rewards/accuracies",
                                        "rewards/margins", "logps/chosen",     "logps/rejected"};
    const vkft_test_run_fixture *f = *state;
    free(run_ok(f, "log", "--max-steps 20 --val-split 0.4 --report-to tensorboard"));
    cJSON *log = vkft_test_read_jsonl(vkft_test_run_at(f, "log/trainer_log.jsonl"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[64];
        snprintf(key, sizeof key, "eval_%s", names[i]);
        assert_true(cJSON_IsNumber(last_of(log, names[i])) && cJSON_IsNumber(last_of(log, key)));
    }
    assert_true(last_of(log, "rewards/margins")->valuedouble > 0.05);
    assert_true(last_of(log, "loss")->valuedouble < 0.68);
    assert_null(cJSON_GetObjectItem(log->child, "nll_loss"));
    cJSON_Delete(log);
    free(run_ok(f, "odds", "--objective orpo"));
    log = vkft_test_read_jsonl(vkft_test_run_at(f, "odds/trainer_log.jsonl"));
    assert_true(last_of(log, "nll_loss")->valuedouble > 0);
    cJSON_Delete(log);
}

/* Micro batches count the same in their step. */
static void test_accumulation(void **state)
{
    const vkft_test_run_fixture *f = *state;
    double loss[2];
    for (int i = 0; i < 2; i++) {
        free(run_ok(f, i ? "parts" : "at_once",
                    i ? "--batch-size 1 --gradient-accumulation-steps 4 --no-shuffle --max-steps 1"
                      : "--batch-size 4 --gradient-accumulation-steps 1 --no-shuffle --max-steps 1"));
        cJSON *log =
            vkft_test_read_jsonl(vkft_test_run_at(f, i ? "parts/trainer_log.jsonl" : "at_once/trainer_log.jsonl"));
        loss[i] = last_of(log, "grad_norm")->valuedouble;
        cJSON_Delete(log);
    }
    assert_true(fabs(loss[0] - loss[1]) < 1e-5 * loss[0]);
}

/* A run holds what --dry-run says, whose longest batch may be one of KTO's prompts with other samples' answers. */
static void test_plan(void **state)
{
    static const char *const objectives[] = {"dpo", "kto"};
    const vkft_test_run_fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        char flags[200], name[64];
        if (i)
            vkft_test_run_put(f, "pairs.jsonl",
                              "{\"prompt_ids\": [1, 2, 3, 4, 5, 6], \"completion_ids\": [3], \"label\": true}\n"
                              "{\"prompt_ids\": [1], \"completion_ids\": [9, 8, 7, 6, 5, 2], \"label\": false}\n");
        snprintf(flags, sizeof flags, "--objective %s --dry-run --json", objectives[i]);
        vkft_test_result r = run(f, "planned", flags);
        cJSON *plan = cJSON_Parse(r.out);
        assert_int_equal(r.exit_code, 0);
        snprintf(name, sizeof name, "held_%s", objectives[i]);
        snprintf(flags, sizeof flags, "--objective %s", objectives[i]);
        free(run_ok(f, name, flags));
        snprintf(name, sizeof name, "held_%s/trainer_log.jsonl", objectives[i]);
        cJSON *log = vkft_test_read_jsonl(vkft_test_run_at(f, name));
        double planned = cJSON_GetNumberValue(cJSON_GetObjectItem(plan, "device_bytes"));
        double held = last_of(log, "memory_bytes")->valuedouble;
        if (!(held <= planned && held > 0.5 * planned))
            fail_msg("%s: %.0f bytes held, %.0f planned", objectives[i], held, planned);
        cJSON_Delete(plan);
        cJSON_Delete(log);
        vkft_test_result_free(&r);
    }
    vkft_test_run_put(f, "pairs.jsonl", rows);
}

/* KTO's reference has the prompts with answers of other samples, too. */
static void test_labelled(void **state)
{
    const vkft_test_run_fixture *f = *state;
    vkft_test_run_put(f, "pairs.jsonl",
                      "{\"prompt_ids\": [1, 2], \"completion_ids\": [3, 4, 9], \"label\": true}\n"
                      "{\"prompt_ids\": [1, 7, 8], \"completion_ids\": [9, 2], \"label\": false}\n"
                      "{\"prompt_ids\": [1], \"completion_ids\": [6, 2], \"label\": 1}\n");
    vkft_test_run_drop(f, "cache");
    free(run_ok(f, "kto", "--objective kto"));
    vkft_test_run_says(run_ok(f, "kto_again", "--objective kto"), "log-probabilities of 6 answers from the cache");
    vkft_test_same_file(f->dir, "kto", "kto_again", "adapter_model.safetensors");
    cut_back(f, "kto_again");
    vkft_test_run_drop(f, "cache");
    free(run_ok(f, "kto_again", "--objective kto --resume-from-checkpoint auto"));
    vkft_test_same_file(f->dir, "kto", "kto_again", "adapter_model.safetensors");
    refuses(f, "--objective kto --batch-size 1", "give --batch-size 2 or more");
    vkft_test_run_put(f, "pairs.jsonl", rows);
}

static void test_refusals(void **state)
{
    const vkft_test_run_fixture *f = *state;
    refuses(f, "--objective sft", "keys found: prompt_ids, chosen_ids, rejected_ids");
    vkft_test_run_put(f, "pairs.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n");
    refuses(f, "--objective sft", "train on preferences with --objective dpo");
    vkft_test_run_put(f, "pairs.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
    refuses(f, "", "keys found: prompt, completion; expected prompt, chosen and rejected");
    vkft_test_run_put(f, "pairs.jsonl", "{\"prompt_ids\": [1, 2, 3], \"chosen_ids\": [4], \"rejected_ids\": [5]}\n");
    refuses(f, "--max-seq-length 3", "the prompt has 3 tokens, the maximum is 3");
    refuses(f, "--packing", "--packing: answers are compared one by one with --objective dpo");
    refuses(f, "--label-smoothing-factor 0.1", "--label-smoothing-factor is for --objective sft");
    refuses(f, "--z-loss-multiplier 1e-4", "--z-loss-multiplier is for --objective sft");
    refuses(f, "--neftune-noise-alpha 5", "--neftune-noise-alpha is for --objective sft");
    refuses(f, "--loss-type exo_pair", "--loss-type exo_pair needs --label-smoothing");
    vkft_test_run_put(f, "pairs.jsonl", "{\"prompt_ids\": [1, 2, 3], \"chosen_ids\": [4], \"rejected_ids\": []}\n");
    refuses(f, "", "an answer without a token");
    vkft_test_run_put(f, "pairs.txt", "plain text\n");
    vkft_test_run_put(f, "pairs.jsonl", rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_resume),  cmocka_unit_test(test_cache),
                                       cmocka_unit_test(test_log),     cmocka_unit_test(test_accumulation),
                                       cmocka_unit_test(test_plan),    cmocka_unit_test(test_labelled),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, set_up, vkft_test_run_tear_down);
}
