/* Resuming: bit for bit the same as not stopping, after a clean stop and after SIGKILL at any moment; and two equal
 * runs.
 *
 * The log is compared without tokens_per_second, the only value that depends on the clock.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "tests/support/expect.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"
#include "runtime/base/random.h"
#include "tests/support/tiny_model.h"

#define FLAGS                                                                                                          \
    "--max-steps 10 --batch-size 2 --gradient-accumulation-steps 2 --lora-r 4 --lora-dropout 0.1 --learning-rate "     \
    "1e-3 "                                                                                                            \
    "--save-total-limit 100 --quant fp32 --val-split 0.2 --eval-steps 3 --seed 7"

typedef struct fixture {
    char *dir;
    char model[512], data[512];
} fixture;

/* A tiny model and token data in a directory of their own. */
static int set_up(void **state)
{
    vkft_err err;
    fixture *f = calloc(1, sizeof *f);
    f->dir = vkft_test_directory();
    snprintf(f->model, sizeof f->model, "%s/model", f->dir);
    snprintf(f->data, sizeof f->data, "%s/data.jsonl", f->dir);
    expect_ok(vkft_directory_create(f->model, &err));
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, f->model);
    FILE *file = fopen(f->data, "wb");
    assert_non_null(file);
    for (uint64_t row = 0; row < 25; row++) {
        fprintf(file, "{\"input_ids\": [");
        uint64_t length = 3 + vkft_random_bits(1, 1, row) % 12;
        for (uint64_t i = 0; i < length; i++)
            fprintf(file, "%s%u", i ? ", " : "", (unsigned)(vkft_random_bits(1, 2 + row, i) % 61));
        fprintf(file, "]}\n");
    }
    fclose(file);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

static void train(const fixture *f, const char *out, const char *more)
{
    vkft_test_program_ok("train --model %s --data %s --output-dir %s/%s " FLAGS " %s", f->model, f->data, f->dir, out,
                         more);
}

static void same_log(const fixture *f, const char *a, const char *b)
{
    const char *const names[] = {a, b};
    cJSON *logs[2];
    for (int i = 0; i < 2; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s/trainer_log.jsonl", f->dir, names[i]);
        logs[i] = vkft_test_read_jsonl(path);
        cJSON *row;
        cJSON_ArrayForEach(row, logs[i]) cJSON_DeleteItemFromObject(row, "tokens_per_second");
    }
    assert_int_equal(cJSON_GetArraySize(logs[0]), cJSON_GetArraySize(logs[1]));
    assert_true(cJSON_GetArraySize(logs[0]) >= 10);
    char *text[2] = {cJSON_PrintUnformatted(logs[0]), cJSON_PrintUnformatted(logs[1])};
    assert_string_equal(text[0], text[1]);
    for (int i = 0; i < 2; i++) {
        free(text[i]);
        cJSON_Delete(logs[i]);
    }
}

static void same_run(const fixture *f, const char *a, const char *b)
{
    vkft_test_same_file(f->dir, a, b, "adapter_model.safetensors");
    vkft_test_same_file(f->dir, a, b, "checkpoint-10/adapter_model.safetensors");
    vkft_test_same_file(f->dir, a, b, "checkpoint-10/optimizer.safetensors");
    same_log(f, a, b);
}

static void test_same_seed_same_bits(void **state)
{
    const fixture *f = *state;
    train(f, "whole", "--save-steps 5");
    train(f, "again", "--save-steps 5");
    same_run(f, "whole", "again");
}

/* Cuts a finished run of 10 steps back to what it was after checkpoint-5. */
static void cut_back(const fixture *f, const char *out)
{
    static const char *const late[] = {"checkpoint-10", "adapter_model.safetensors", "adapter_config.json"};
    for (size_t i = 0; i < sizeof late / sizeof *late; i++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%s/%s", f->dir, out, late[i]);
        if (i == 0)
            assert_true(vkft_directory_remove(path, NULL));
        else
            assert_int_equal(remove(path), 0);
    }
}

/* 5 steps, then a new process does the other 5. */
static void test_resume_is_exact(void **state)
{
    const fixture *f = *state;
    train(f, "cut", "--save-steps 5");
    cut_back(f, "cut");
    train(f, "cut", "--save-steps 5 --resume-from-checkpoint auto");
    same_run(f, "whole", "cut");
}

static void test_resume_with_every_optimizer(void **state)
{
    const fixture *f = *state;
    static const char *const flags[] = {"--save-steps 5 --optim lion --overwrite",
                                        "--save-steps 5 --optim adafactor --overwrite",
                                        "--save-steps 5 --optim adamw_8bit --lora-r 256 --overwrite",
                                        "--save-steps 5 --optim sgd --optim-args momentum=0.9 --overwrite"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        char more[200];
        train(f, "uncut", flags[i]);
        train(f, "optimizer", flags[i]);
        cut_back(f, "optimizer");
        snprintf(more, sizeof more, "%s --resume-from-checkpoint auto", flags[i]);
        train(f, "optimizer", more);
        same_run(f, "uncut", "optimizer");
    }
}

/* Killed after the last step, while the finished run was being written: the last checkpoint has all of it. */
static void test_resume_after_the_last_step(void **state)
{
    const fixture *f = *state;
    char path[700];
    train(f, "late", "--save-steps 5");
    snprintf(path, sizeof path, "%s/late/adapter_config.json", f->dir);
    assert_int_equal(remove(path), 0);
    train(f, "late", "--save-steps 5 --resume-from-checkpoint auto");
    same_run(f, "whole", "late");
    assert_int_equal(access(path, F_OK), 0);
}

/* Resumes checkpoint-5 of a run with these flags after FLAGS. */
static vkft_test_result resume_with(const fixture *f, const char *run, const char *more)
{
    return vkft_test_program("train --model %s --data %s --output-dir %s/other --overwrite " FLAGS
                             " %s --resume-from-checkpoint %s/%s/checkpoint-5",
                             f->model, f->data, f->dir, more, f->dir, run);
}

static int resume_exit_code(const fixture *f, const char *run)
{
    vkft_test_result r = resume_with(f, run, "--save-steps 5 --no-load-best-model-at-end");
    int code = r.exit_code;
    if (code)
        print_message("%s", strstr(r.err, "vkft: ") ? strstr(r.err, "vkft: ") : r.err);
    vkft_test_result_free(&r);
    return code;
}

static void expect_refusal(const fixture *f, const char *run, const char *more, const char *message)
{
    vkft_test_result r = resume_with(f, run, more);
    assert_int_equal(r.exit_code, 1);
    if (!strstr(r.err, message))
        fail_msg("%s: '%s', expected '%s'", more, r.err, message);
    vkft_test_result_free(&r);
}

/* Each flag that changes what the steps compute, with both values in the message. */
static void test_resume_refuses_another_run(void **state)
{
    const fixture *f = *state;
    static const char *const changes[][2] = {
        {"--quant nf4", "--quant fp32, this one has nf4"},
        {"--no-double-quant", "--double-quant on, this one has off"},
        {"--fine-tune-type full", "--fine-tune-type lora, this one has full"},
        {"--lora-r 8", "--lora-r 4, this one has 8"},
        {"--lora-alpha 16", "--lora-alpha 32, this one has 16"},
        {"--use-rslora", "--use-rslora off, this one has on"},
        {"--lora-dropout 0.2", "--lora-dropout 0.1, this one has 0.2"},
        {"--lora-target-modules q_proj", "--lora-target-modules all-linear, this one has q_proj"},
        {"--batch-size 1", "--batch-size 2, this one has 1"},
        {"--gradient-accumulation-steps 3", "--gradient-accumulation-steps 2, this one has 3"},
        {"--learning-rate 2e-3", "--learning-rate 0.001, this one has 0.002"},
        {"--lr-scheduler-type cosine", "--lr-scheduler-type linear, this one has cosine"},
        {"--warmup-steps 2", "--warmup-steps 0.03, this one has 2"},
        {"--optim lion", "--optim adamw, this one has lion"},
        {"--weight-decay 0", "--weight-decay 0.01, this one has 0"},
        {"--adam-beta1 0.8", "--adam-beta1 0.9, this one has 0.8"},
        {"--adam-beta2 0.99", "--adam-beta2 0.999, this one has 0.99"},
        {"--adam-epsilon 1e-6", "--adam-epsilon 1e-08, this one has 1e-06"},
        {"--max-grad-norm 2", "--max-grad-norm 1, this one has 2"},
        {"--max-seq-length 1024", "--max-seq-length 2048, this one has 1024"},
        {"--packing", "--packing off, this one has on"},
        {"--no-mask-prompt", "--mask-prompt on, this one has off"},
        {"--mask-history", "--mask-history off, this one has on"},
        {"--no-shuffle", "--shuffle on, this one has off"},
        {"--seed 8", "--seed 7, this one has 8"},
        {"--val-split 0.3", "--val-split 0.2, this one has 0.3"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        expect_refusal(f, "whole", changes[i][0], changes[i][1]);
    vkft_test_result r =
        vkft_test_program("train --model %s --data %s --output-dir %s/whole " FLAGS, f->model, f->data, f->dir);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "finished run"));
    vkft_test_result_free(&r);
}

/* rsLoRA scales by alpha / sqrt(r) where LoRA scales by alpha / r: with r = 4, half the alpha gives the same bits. */
static void test_rslora(void **state)
{
    const fixture *f = *state;
    char path[700];
    train(f, "lora", "--lora-alpha 16");
    train(f, "rslora", "--lora-alpha 8 --use-rslora");
    vkft_test_same_file(f->dir, "lora", "rslora", "adapter_model.safetensors");
    same_log(f, "lora", "rslora");
    snprintf(path, sizeof path, "%s/rslora/adapter_config.json", f->dir);
    cJSON *config = vkft_test_read_json(path);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(config, "use_rslora")));
    cJSON_Delete(config);
}

static cJSON *read_run_state(const fixture *f, const char *run, char *path, size_t size)
{
    snprintf(path, size, "%s/%s/checkpoint-5/vkft_state.json", f->dir, run);
    return vkft_test_read_json(path);
}

/* A checkpoint names all flags that must stay, those too that the small data here cannot be used with. */
static void test_flags_that_must_stay(void **state)
{
    static const char *const names[] = {"--quant",
                                        "--double-quant",
                                        "--compute-dtype",
                                        "--fine-tune-type",
                                        "--param-dtype",
                                        "--bf16-stochastic-round",
                                        "--lora-r",
                                        "--lora-alpha",
                                        "--lora-dropout",
                                        "--use-rslora",
                                        "--use-dora",
                                        "--init-lora-weights",
                                        "--lora-target-modules",
                                        "--exclude-modules",
                                        "--layers-to-transform",
                                        "--layers-pattern",
                                        "--rank-pattern",
                                        "--alpha-pattern",
                                        "--modules-to-save",
                                        "--init-adapter",
                                        "--objective",
                                        "--label-smoothing-factor",
                                        "--z-loss-multiplier",
                                        "--neftune-noise-alpha",
                                        "--beta",
                                        "--loss-type",
                                        "--label-smoothing",
                                        "--reference-free",
                                        "--ld-alpha",
                                        "--simpo-gamma",
                                        "--desirable-weight",
                                        "--undesirable-weight",
                                        "--batch-size",
                                        "--gradient-accumulation-steps",
                                        "--learning-rate",
                                        "--lr-scheduler-type",
                                        "--lr-scheduler-kwargs",
                                        "--warmup-steps",
                                        "--optim",
                                        "--optim-args",
                                        "--weight-decay",
                                        "--adam-beta1",
                                        "--adam-beta2",
                                        "--adam-epsilon",
                                        "--loraplus-lr-ratio",
                                        "--loraplus-lr-embedding",
                                        "--max-grad-norm",
                                        "--max-seq-length",
                                        "--long-rows",
                                        "--packing",
                                        "--mask-prompt",
                                        "--mask-history",
                                        "--prompt-template",
                                        "--data-keys",
                                        "--bias",
                                        "--lora-bias",
                                        "--peft-type",
                                        "--feedforward-modules",
                                        "--projection-prng-key",
                                        "--save-projection",
                                        "--d-initial",
                                        "--trainable-token-indices",
                                        "--dataset-config",
                                        "--dataset-split",
                                        "--dataset-validation-split",
                                        "--completions",
                                        "--chat-template",
                                        "--chat-template-kwargs",
                                        "--apply-chat-template",
                                        "--shuffle",
                                        "--seed",
                                        "--val-split",
                                        "--replay"};
    char path[700];
    cJSON *root = read_run_state(*state, "whole", path, sizeof path), *run = cJSON_GetObjectItem(root, "run");
    size_t flags = 0;
    const cJSON *value;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!cJSON_GetObjectItem(run, names[i]))
            fail_msg("%s: %s is missing", path, names[i]);
    cJSON_ArrayForEach(value, run) flags += value->string[0] == '-';
    assert_int_equal(flags, sizeof names / sizeof *names);
    cJSON_Delete(root);
}

/* Reports, checkpoints and the length of the run are free. */
static void test_flags_that_may_change(void **state)
{
    const fixture *f = *state;
    vkft_test_result r = resume_with(f, "whole",
                                     "--max-steps 7 --logging-steps 2 --save-steps 2 --eval-steps 4 --eval-batches 1 "
                                     "--save-total-limit 3 --no-gradient-checkpointing --no-load-best-model-at-end "
                                     "--early-stopping-patience 9 --profile");
    assert_int_equal(r.exit_code, 0);
    assert_non_null(strstr(r.err, "validation: every evaluation uses the first 1 of "));
    assert_non_null(strstr(r.err, "at step 5"));
    vkft_test_result_free(&r);
}

/* As versions wrote it that kept a few flags, as numbers and switches. */
static void test_checkpoint_of_an_earlier_version(void **state)
{
    const fixture *f = *state;
    char path[700], run[2000];
    train(f, "earlier", "--save-steps 5");
    for (int seed = 7; seed <= 8; seed++) {
        cJSON *root = read_run_state(f, "earlier", path, sizeof path);
        const cJSON *dtype =
            cJSON_GetObjectItem(cJSON_GetObjectItem(root, "run"), "--compute-dtype"); /* the device's */
        snprintf(run, sizeof run,
                 "{\"--batch-size\": 2, \"--gradient-accumulation-steps\": 2, \"--lora-r\": 99, "
                 "\"--compute-dtype\": \"%s\", \"--seed\": %d, \"--shuffle\": true, \"--packing\": false}",
                 cJSON_GetStringValue(dtype), seed);
        assert_true(cJSON_ReplaceItemInObject(root, "run", cJSON_Parse(run)));
        char *text = cJSON_Print(root);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
        free(text);
        cJSON_Delete(root);
        if (seed == 8)
            expect_refusal(f, "earlier", "", "--seed 8, this one has 7");
        else
            assert_int_equal(resume_exit_code(f, "earlier"), 0);
    }
    vkft_test_same_file(f->dir, "whole", "other", "checkpoint-10/adapter_model.safetensors");
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static pid_t start(const fixture *f)
{
    char out[600];
    snprintf(out, sizeof out, "%s/killed", f->dir);
    pid_t pid = fork();
    if (pid == 0) {
        char messages[700];
        snprintf(messages, sizeof messages, "%s/messages", f->dir);
        if (!freopen(messages, "w", stderr))
            _exit(126);
        vkft_test_end_with_parent();
        execl(vkft_test_program_path(), VKFT_PROGRAM, "train", "--model", f->model, "--data", f->data, "--output-dir",
              out, "--max-steps", "10", "--batch-size", "2", "--gradient-accumulation-steps", "2", "--lora-r", "4",
              "--lora-dropout", "0.1", "--learning-rate", "1e-3", "--save-total-limit", "100", "--quant", "fp32",
              "--val-split", "0.2", "--eval-steps", "3", "--seed", "7", "--save-steps", "1", "--resume-from-checkpoint",
              "auto", (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* What the last run that was started said. */
static void print_messages(const fixture *f)
{
    char path[700];
    snprintf(path, sizeof path, "%s/messages", f->dir);
    FILE *file = fopen(path, "r");
    char line[512];
    while (file && fgets(line, sizeof line, file))
        print_message("%s", line);
    if (file)
        fclose(file);
}

/* The number of the newest checkpoint of the run that is killed; 0: none. */
static uint32_t newest_checkpoint(const fixture *f)
{
    for (uint32_t number = 10; number > 0; number--) {
        char path[700];
        snprintf(path, sizeof path, "%s/killed/checkpoint-%u/vkft_state.json", f->dir, number);
        if (access(path, F_OK) == 0)
            return number;
    }
    return 0;
}

/* Kills the run at random moments over and over, 50 times or VKFT_KILLS; no checkpoint is ever lost, what is left must
 * always be resumable, and the end must be the same bits. */
static void test_killed_at_random_moments(void **state)
{
    const fixture *f = *state;
    char out[700];
    double started = seconds();
    train(f, "timed", "--save-steps 1");
    double whole = seconds() - started;
    uint32_t newest = 0;
    const char *asked = getenv("VKFT_KILLS");
    unsigned long kills = 0, runs = 0, wanted = asked ? strtoul(asked, NULL, 10) : 50;
    for (uint64_t i = 0; kills < wanted; i++) {
        pid_t pid = start(f);
        assert_true(pid > 0);
        runs++;
        double wait = 1.1 * whole * vkft_random_uniform(99, 1, i);
        struct timespec pause = {.tv_sec = (time_t)wait, .tv_nsec = (long)(1e9 * (wait - (double)(time_t)wait))};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status)) {
            kills++;
            assert_true(newest_checkpoint(f) >= newest);
            newest = newest_checkpoint(f);
            whole *= 1.02;
            continue;
        }
        newest = 0;
        whole *= 0.9; /* five of six are killed, however fast the machine is by now */
        if (WEXITSTATUS(status) != 0) {
            print_messages(f);
            fail();
        }
        /* Finished before it was killed. */
        vkft_test_same_file(f->dir, "timed", "killed", "adapter_model.safetensors");
        same_log(f, "timed", "killed");
        snprintf(out, sizeof out, "%s/killed", f->dir);
        assert_true(vkft_directory_remove(out, NULL));
    }
    print_message("%lu runs, %lu of them killed\n", runs, kills);
    snprintf(out, sizeof out, "%s/killed/adapter_model.safetensors", f->dir);
    if (access(out, F_OK) != 0)
        train(f, "killed", "--save-steps 1 --resume-from-checkpoint auto");
    vkft_test_same_file(f->dir, "timed", "killed", "adapter_model.safetensors");
    same_log(f, "timed", "killed");
}

/* All weights: 10 steps, and 5 + a checkpoint + 5, leave the same model. */
static void test_full_fine_tuning(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), first[600], second[600];
    static const char train[] =
        "train --model %s/model.vkft --fine-tune-type full --data " VKFT_TEST_DATA
        "/golden/full_t5 --output-dir %s/%s --batch-size 2 "
        "--gradient-accumulation-steps 2 --max-steps 10 --save-steps 5 --no-load-best-model-at-end %s";
    vkft_test_program_ok("convert " VKFT_TEST_DATA "/golden/full_t5/model -o %s/model.vkft --quant none", dir);
    vkft_test_program_ok(train, dir, dir, "a", "");
    char from[700], to[700];
    vkft_err err;
    snprintf(to, sizeof to, "%s/b", dir);
    expect_ok(vkft_directory_create(to, &err));
    snprintf(from, sizeof from, "%s/a/checkpoint-5", dir);
    snprintf(to, sizeof to, "%s/b/checkpoint-5", dir);
    expect_ok(vkft_directory_rename(from, to, &err));
    vkft_test_program_ok(train, dir, dir, "b", "--resume-from-checkpoint auto");
    snprintf(first, sizeof first, "%s/a/model.safetensors", dir);
    snprintf(second, sizeof second, "%s/b/model.safetensors", dir);
    size_t size_a, size_b;
    char *a = vkft_test_read(first, &size_a), *b = vkft_test_read(second, &size_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(a, b, size_a);
    free(a);
    free(b);
    /* A model that no run made is not written over. */
    snprintf(to, sizeof to, "%s/c/model.safetensors", dir);
    vkft_test_copy(first, to);
    vkft_test_result r = vkft_test_program(train, dir, dir, "c", "--overwrite");
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "holds a model"));
    vkft_test_result_free(&r);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_bits),
        cmocka_unit_test(test_resume_is_exact),
        cmocka_unit_test(test_resume_after_the_last_step),
        cmocka_unit_test(test_resume_refuses_another_run),
        cmocka_unit_test(test_flags_that_must_stay),
        cmocka_unit_test(test_rslora),
        cmocka_unit_test(test_flags_that_may_change),
        cmocka_unit_test(test_checkpoint_of_an_earlier_version),
        cmocka_unit_test(test_resume_with_every_optimizer),
        cmocka_unit_test(test_killed_at_random_moments),
        cmocka_unit_test(test_full_fine_tuning),
    };
    return cmocka_run_group_tests_name("resume", tests, set_up, tear_down);
}
