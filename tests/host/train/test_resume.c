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

static void same_file(const fixture *f, const char *a, const char *b, const char *name)
{
    char path[700];
    size_t size_a, size_b;
    snprintf(path, sizeof path, "%s/%s/%s", f->dir, a, name);
    char *text_a = vkft_test_read(path, &size_a);
    snprintf(path, sizeof path, "%s/%s/%s", f->dir, b, name);
    char *text_b = vkft_test_read(path, &size_b);
    if (size_a != size_b || memcmp(text_a, text_b, size_a) != 0)
        fail_msg("%s differs between %s and %s", name, a, b);
    free(text_a);
    free(text_b);
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
    same_file(f, a, b, "adapter_model.safetensors");
    same_file(f, a, b, "checkpoint-10/adapter_model.safetensors");
    same_file(f, a, b, "checkpoint-10/optimizer.safetensors");
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

static void test_resume_refuses_another_run(void **state)
{
    const fixture *f = *state;
    vkft_test_result r =
        vkft_test_program("train --model %s --data %s --output-dir %s/other " FLAGS
                          " --gradient-accumulation-steps 3 --resume-from-checkpoint %s/whole/checkpoint-5",
                          f->model, f->data, f->dir, f->dir);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "--gradient-accumulation-steps"));
    vkft_test_result_free(&r);
    r = vkft_test_program("train --model %s --data %s --output-dir %s/whole " FLAGS, f->model, f->data, f->dir);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "finished run"));
    vkft_test_result_free(&r);
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
        execl(VKFT_PROGRAM, VKFT_PROGRAM, "train", "--model", f->model, "--data", f->data, "--output-dir", out,
              "--max-steps", "10", "--batch-size", "2", "--gradient-accumulation-steps", "2", "--lora-r", "4",
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

/* Kills the run at random moments over and over; what is left must always be resumable, and the end must be the same
 * bits. */
static void test_killed_at_random_moments(void **state)
{
    const fixture *f = *state;
    char out[700];
    double started = seconds();
    train(f, "timed", "--save-steps 1");
    double whole = seconds() - started;
    uint32_t kills = 0, runs = 0;
    for (uint64_t i = 0; kills < 50; i++) {
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
            continue;
        }
        if (WEXITSTATUS(status) != 0) {
            print_messages(f);
            fail();
        }
        /* Finished before it was killed. */
        same_file(f, "timed", "killed", "adapter_model.safetensors");
        same_log(f, "timed", "killed");
        snprintf(out, sizeof out, "%s/killed", f->dir);
        assert_true(vkft_directory_remove(out, NULL));
    }
    print_message("%u runs, %u of them killed\n", runs, kills);
    snprintf(out, sizeof out, "%s/killed/adapter_model.safetensors", f->dir);
    if (access(out, F_OK) != 0)
        train(f, "killed", "--save-steps 1 --resume-from-checkpoint auto");
    same_file(f, "timed", "killed", "adapter_model.safetensors");
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
    char command[1400];
    snprintf(command, sizeof command, "mkdir '%s/b' && mv '%s/a/checkpoint-5' '%s/b'", dir, dir, dir);
    assert_int_equal(system(command), 0);
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
    snprintf(command, sizeof command, "mkdir '%s/c' && cp '%s' '%s/c'", dir, first, dir);
    assert_int_equal(system(command), 0);
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
        cmocka_unit_test(test_resume_with_every_optimizer),
        cmocka_unit_test(test_killed_at_random_moments),
        cmocka_unit_test(test_full_fine_tuning),
    };
    return cmocka_run_group_tests_name("resume", tests, set_up, tear_down);
}
