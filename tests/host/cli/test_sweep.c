/* vkft train --sweep: each run's files and numbers are those of the run alone, runs that fail or have ended are left at
 * that, and what cannot be swept is refused before anything begins. */
#include "tests/support/run/run_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define STEPS "--max-steps 4 --warmup-steps 0 --eval-steps 2 --save-steps 2 --lora-dropout 0.1 "
#define RATES "--sweep learning_rate=1e-3,1e-2 "

/* All but times. */
static void same_log(const vkft_test_run_fixture *f, const char *a, const char *b)
{
    char path[2][200];
    snprintf(path[0], sizeof path[0], "%s/trainer_log.jsonl", a);
    snprintf(path[1], sizeof path[1], "%s/trainer_log.jsonl", b);
    cJSON *rows[2] = {vkft_test_read_jsonl(vkft_test_run_at(f, path[0])),
                      vkft_test_read_jsonl(vkft_test_run_at(f, path[1]))},
          *row;
    for (int i = 0; i < 2; i++)
        cJSON_ArrayForEach(row, rows[i]) cJSON_DeleteItemFromObject(row, "tokens_per_second");
    if (!cJSON_Compare(rows[0], rows[1], true))
        fail_msg("%s is not %s", path[0], path[1]);
    cJSON_Delete(rows[0]);
    cJSON_Delete(rows[1]);
}

static cJSON *read_record(const vkft_test_run_fixture *f, const char *run)
{
    char path[200];
    snprintf(path, sizeof path, "%s/vkft.json", run);
    return vkft_test_read_json(vkft_test_run_at(f, path));
}

static void same_record(const vkft_test_run_fixture *f, const char *a, const char *b)
{
    cJSON *records[2] = {read_record(f, a), read_record(f, b)};
    for (int i = 0; i < 2; i++) { /* README.md has the time, too */
        cJSON_DeleteItemFromObject(records[i], "files");
        cJSON_DeleteItemFromObject(cJSON_GetObjectItem(records[i], "summary"), "time");
    }
    if (!cJSON_Compare(records[0], records[1], true))
        fail_msg("%s/vkft.json is not that of %s", a, b);
    cJSON_Delete(records[0]);
    cJSON_Delete(records[1]);
}

static void same_run(const vkft_test_run_fixture *f, const char *a, const char *b)
{
    static const char *const names[] = {"adapter_model.safetensors", "adapter_config.json",
                                        "checkpoint-4/adapter_model.safetensors", "checkpoint-4/optimizer.safetensors"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        vkft_test_same_file(f->dir, a, b, names[i]);
    same_log(f, a, b);
    same_record(f, a, b);
}

/* Trains a sweep into `out`; returns the table, to free. */
static char *sweep(const vkft_test_run_fixture *f, const char *out, int code, const char *more, const char *says)
{
    vkft_test_result r = vkft_test_program("train --model %s --data %s/d --output-dir %s/%s " VKFT_TEST_RUN_FLAGS " %s",
                                           f->model, f->dir, f->dir, out, more);
    if (r.exit_code != code || !strstr(r.err, says))
        fail_msg("%s: exit code %d, expected %d and '%s'\n%s", more, r.exit_code, code, says, r.err);
    free(r.err);
    return r.out;
}

static double best_of(const vkft_test_run_fixture *f, const char *run)
{
    cJSON *record = read_record(f, run);
    double best = cJSON_GetNumberValue(cJSON_GetObjectItem(record, "best_eval_loss"));
    cJSON_Delete(record);
    return best;
}

static void same_as_alone(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const struct {
        const char *run, *flags;
    } runs[] = {{"lora_r-2_learning_rate-1e-2", "--lora-r 2 --learning-rate 1e-2"},  /* the second one */
                {"lora_r-5_learning_rate-1e-2", "--lora-r 5 --learning-rate 1e-2"}}; /* and the last */
    char swept[100], alone[100], flags[300];
    char *table =
        sweep(f, "all", 0, STEPS "--quant nf4 --sweep lora_r=2,5 " RATES, "run 4 of 4: lora-r 5, learning-rate 1e-2");
    for (size_t i = 0; i < 2; i++) {
        snprintf(swept, sizeof swept, "all/%s", runs[i].run);
        snprintf(alone, sizeof alone, "alone/%s", runs[i].run);
        snprintf(flags, sizeof flags, STEPS "--quant nf4 %s", runs[i].flags);
        vkft_test_train_ok(f, alone, flags);
        same_run(f, swept, alone);
    }
    double before = 0; /* the table goes from the lowest validation loss on */
    const char *line = strchr(table, '\n');
    assert_non_null(strstr(table, "validation loss"));
    for (unsigned rank = 1; rank <= 4; rank++, line = strchr(line + 1, '\n')) {
        unsigned found;
        double loss;
        char run[600];
        assert_int_equal(sscanf(line, "%u %lf %*u %*f 4 %599s", &found, &loss, run), 3);
        double best = best_of(f, run + strlen(f->dir) + 1);
        assert_true(found == rank && best >= before && loss > best - 1e-3 && loss < best + 1e-3);
        before = best;
    }
    free(table);
    vkft_test_program_ok("plot %s/all/* -o %s/plot.html", f->dir, f->dir);
    char *page = vkft_test_read(vkft_test_run_at(f, "plot.html"), NULL);
    assert_true(strstr(page, "lora_r-5_learning_rate-1e-2") && strstr(page, ">lora-r<"));
    free(page);
}

/* What changes samples, their length, or how a run computes. */
static void other_flags(void **state)
{
    const vkft_test_run_fixture *f = *state;
    free(sweep(
        f, "others", 0,
        STEPS
        "--sweep 'target_modules=q_proj,v_proj;all-linear' --sweep max-seq-length=16,8 --sweep use-dora=true,false",
        "run 8 of 8"));
    vkft_test_train_ok(f, "o1", STEPS "--lora-target-modules q_proj,v_proj --max-seq-length 8 --use-dora");
    same_run(f, "others/lora_target_modules-q_proj-v_proj_max_seq_length-8_use_dora-true", "o1");
    vkft_test_train_ok(f, "o2", STEPS "--lora-target-modules all-linear --max-seq-length 8 --no-use-dora");
    same_run(f, "others/lora_target_modules-all-linear_max_seq_length-8_use_dora-false", "o2");
}

/* Adapters of another kind, and rows of tokens beside them, are those of the run alone, also after one of LoRA. */
static void other_adapters(void **state)
{
    const vkft_test_run_fixture *f = *state;
    free(sweep(f, "kinds", 0, STEPS "--sweep peft-type=lora,vera", "run 2 of 2"));
    vkft_test_train_ok(f, "k1", STEPS "--peft-type vera");
    same_run(f, "kinds/peft_type-vera", "k1");
    char *table = sweep(f, "tokens", 0, STEPS "--sweep 'trainable-token-indices=3,5;7' --sweep use-dora=true,false",
                        "run 4 of 4");
    assert_non_null(strstr(table, "trainable_token_indices-3-5_use_dora-true"));
    free(table);
    vkft_test_train_ok(f, "k2", STEPS "--trainable-token-indices 7");
    same_run(f, "tokens/trainable_token_indices-7_use_dora-false", "k2");
}

/* In the middle, beside one that stops early. */
static void one_fails(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char *table =
        sweep(f, "fails", 1,
              STEPS "--lr-scheduler-type constant --no-load-best-model-at-end --eval-steps 1 --save-steps 4 "
                    "--early-stopping-patience 1 --early-stopping-threshold 100 --sweep learning_rate=1e-3,1e30,1e-2",
              "begin again with a lower --learning-rate");
    const char *failed = strstr(table, "failed");
    assert_true(failed && strstr(failed, "learning_rate-1e30") && !strstr(failed, "learning_rate-1e-2"));
    free(table);
    vkft_test_run_absent(f, "fails/learning_rate-1e30/adapter_model.safetensors");
    vkft_test_run_present(f, "fails/learning_rate-1e-2/adapter_model.safetensors");
    cJSON *record = read_record(f, "fails/learning_rate-1e-2");
    assert_true(cJSON_HasObjectItem(record, "stopped_early"));
    cJSON_Delete(record);
}

#define ENDLESS "200" /* steps: enough for a signal to come before the last one */
#define LONG "--warmup-steps 0 --eval-strategy no --save-steps 40 --sweep max_steps=3," ENDLESS ",2 "

static void interrupted(void **state)
{
    const vkft_test_run_fixture *f = *state;
    if (vkft_test_program_is_foreign())
        skip();
    pid_t pid = vkft_test_run_start(f, "long", VKFT_TEST_RUN_FLAGS " " LONG);
    vkft_test_run_wait_for(f, "long/max_steps-" ENDLESS "/checkpoint-40");
    assert_int_equal(vkft_test_run_end(f, pid, SIGINT, "continue with --resume-from-checkpoint auto"), 130);
    vkft_test_run_absent(f, "long/max_steps-" ENDLESS "/vkft.json");
    vkft_test_run_absent(f, "long/max_steps-2");
    vkft_test_run_put(f, "before/adapter_model.safetensors", "");
    free(sweep(f, "long", 1, LONG, "use --resume-from-checkpoint auto to go on with a sweep"));
    char *first = vkft_test_read(vkft_test_run_at(f, "long/max_steps-3/vkft.json"), NULL);
    free(sweep(f, "long", 0, LONG "--resume-from-checkpoint auto", "run 1 of 3: max-steps 3, in "));
    vkft_test_run_holds(f, "long/max_steps-3/vkft.json", first); /* which has the time that it took */
    free(first);
    vkft_test_train_ok(f, "whole", "--warmup-steps 0 --eval-strategy no --save-steps 40 --max-steps " ENDLESS);
    vkft_test_same_file(f->dir, "long/max_steps-" ENDLESS, "whole", "adapter_model.safetensors");
    char *table = sweep(f, "long", 0, LONG "--resume-from-checkpoint auto", ": finished before");
    assert_true(strstr(table, "max_steps-" ENDLESS) && strstr(table, "training loss"));
    free(table);
    /* other runs than those that ended are not taken for them */
    free(sweep(f, "long", 1, LONG "--resume-from-checkpoint auto --weight-decay 0.5",
               "it is of a run with --weight-decay 0.01"));
}

static void refused(void **state)
{
    const vkft_test_run_fixture *f = *state;
    static const struct {
        const char *flags, *says;
    } cases[] = {
        {"--sweep lora_r", "expected NAME=X,Y,..., found 'lora_r'"},
        {"--sweep lora_r=", "a value is empty"},
        {"--sweep lora_r=4,,8", "a value is empty"},
        {"--sweep lora_r=4,x", "--sweep lora_r: expected a whole number"},
        {"--sweep r=4,04", "4 and 04 are the same value"},
        {"--sweep lora_r=4,8 --sweep r=2", "--sweep names --lora-r twice"},
        {"--sweep lora_t=4", "did you mean"},
        {"--sweep quant=nf4,fp32", "--sweep quant: it changes the loaded model"},
        {"--sweep load_in_4bit=true,false", "--sweep quant: it changes the loaded model"},
        {"--sweep modules-to-save=lm_head", "it changes the loaded model"},
        {"--sweep output-dir=a,b", "--output-dir does not change what a run learns"},
        {"--sweep lora_r=4 --fine-tune-type full", "--sweep with --fine-tune-type full: all weights are trained"},
        {"--sweep lora_r=4 --resume-from-checkpoint x", "auto resumes each"},
        {"--sweep lora_r=4 --watch", "serves the page of one run"},
        {"--sweep lora_r=4 --logging-dir x", "would mix"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        free(sweep(f, "refused", 2, cases[i].flags, cases[i].says));
    /* what only a run knows is said before the first one begins */
    free(sweep(f, "refused", 1, "--sweep init-lora-weights=true,pissa --lora-r 4 --use-dora",
               "init-lora-weights pissa: "));
    vkft_test_run_absent(f, "refused");
}

static void planned(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char *plan = sweep(f, "planned", 0, "--dry-run --sweep lora_r=2,64", "");
    const char *first = strstr(plan, "planned/lora_r-2\n"), *second = strstr(plan, "planned/lora_r-64\n");
    assert_true(first && second && strstr(first, "device total") && strstr(second, "device total"));
    free(plan);
    plan = sweep(f, "planned", 0, "--dry-run --json --sweep lora_r=2,64", "");
    assert_true(strstr(plan, "planned/lora_r-64\"") && strstr(plan, "device_bytes"));
    free(plan);
    vkft_test_run_absent(f, "planned");
    vkft_test_run_put(f, "sweep.yaml", "sweep:\n  - lora_r=2,3\n  - seed=1\njson: true\nmax_steps: 1\n");
    char recipe[700];
    snprintf(recipe, sizeof recipe, "-c %s", vkft_test_run_at(f, "sweep.yaml"));
    char *rows = sweep(f, "json", 0, recipe, "vkft plot");
    cJSON *array = cJSON_Parse(rows);
    assert_int_equal(cJSON_GetArraySize(array), 2);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(cJSON_GetArrayItem(array, 0), "finished")));
    cJSON_Delete(array);
    free(rows);
    vkft_test_run_present(f, "json/lora_r-3_seed-1/vkft.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_alone), cmocka_unit_test(other_flags), cmocka_unit_test(other_adapters),
        cmocka_unit_test(one_fails),     cmocka_unit_test(interrupted), cmocka_unit_test(refused),
        cmocka_unit_test(planned),
    };
    return cmocka_run_group_tests_name("sweep", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
