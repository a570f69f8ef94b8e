/* A run that is asked to stop saves what it has, whoever asks and whatever it does at that moment; what was cut short
 * is done after resuming, so that the result is that of a run which was not stopped. */
#include "tests/support/run/run_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host/train/run/run_directory.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define LONG "--max-steps 1000000 --gradient-accumulation-steps 1 --save-steps 0 "

static void pause_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* Waits until the log has a line. */
static void wait_for_step(const vkft_test_run_fixture *f, const char *log)
{
    vkft_test_run_wait_for(f, log);
    for (int i = 0; i < 3000; i++) {
        char *text = vkft_test_read(vkft_test_run_at(f, log), NULL);
        bool some = strchr(text, '\n') != NULL;
        free(text);
        if (some)
            return;
        pause_ms(20);
    }
    fail_msg("%s stays empty", log);
}

static void signals(void **state)
{
    const vkft_test_run_fixture *f = *state;
    if (vkft_test_program_is_foreign())
        skip();
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char out[20], log[60];
        snprintf(out, sizeof out, "stopped%zu", i);
        snprintf(log, sizeof log, "%s/trainer_log.jsonl", out);
        pid_t pid = vkft_test_run_start(f, out, LONG);
        wait_for_step(f, log);
        kill(pid, numbers[i]); /* sent twice at once, as to a process and its group */
        assert_int_equal(vkft_test_run_end(f, pid, numbers[i], "saved; continue with"), 130);
        vkft_err err = {0};
        char *newest;
        expect_ok(vkft_run_directory_newest(vkft_test_run_at(f, out), &newest, &err));
        assert_non_null(newest);
        free(newest);
    }
}

/* What the parent ignores stays ignored: under nohup a run outlives its terminal. */
static void ignored_signals(void **state)
{
    const vkft_test_run_fixture *f = *state;
    if (vkft_test_program_is_foreign())
        skip();
    static const int numbers[] = {SIGHUP, SIGINT};
    for (size_t i = 0; i < 2; i++) {
        char out[20], log[60];
        snprintf(out, sizeof out, "nohup%zu", i);
        snprintf(log, sizeof log, "%s/trainer_log.jsonl", out);
        signal(numbers[i], SIG_IGN);
        pid_t pid = vkft_test_run_start(f, out, LONG);
        signal(numbers[i], SIG_DFL);
        wait_for_step(f, log);
        kill(pid, numbers[i]);
        pause_ms(300);
        char *said = vkft_test_read(vkft_test_run_at(f, "messages"), NULL);
        assert_null(strstr(said, "vkft: stopping"));
        free(said);
        assert_int_equal(vkft_test_run_end(f, pid, SIGTERM, "saved; continue with"), 130);
    }
}

/* A reader of the messages that ends costs nothing; one of the result is an error after the result was written. */
static void dead_readers(void **state)
{
    const vkft_test_run_fixture *f = *state;
    char command[300];
    const char *out[] = {"to-head", "to-nobody"};
    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof command, "--max-steps 20 --save-steps 0 %s",
                 i ? "--json | (exec <&-; sleep 1)" : "2>&1 >/dev/null | head -n 1 > /dev/null");
        pid_t pid = vkft_test_run_start(f, out[i], command);
        vkft_test_run_end(f, pid, 0, "");
        char name[100];
        snprintf(name, sizeof name, "%s/adapter_model.safetensors", out[i]);
        vkft_test_run_wait_for(f, name);
        snprintf(name, sizeof name, "%s/checkpoint-20", out[i]);
        vkft_test_run_present(f, name);
    }
}

/* As many rows as take some seconds. */
static void many_rows(const vkft_test_run_fixture *f, const char *name, int rows)
{
    char path[100], *text = malloc((size_t)rows * 40 + 1), *at = text;
    for (int i = 0; i < rows; i++)
        at += sprintf(at, "{\"input_ids\": [1, %d, %d, %d]}\n", i % 90, i / 90 % 90, i % 7);
    snprintf(path, sizeof path, "d/%s", name);
    vkft_test_run_put(f, path, text);
    free(text);
}

/* The steps of the log, with an "e" before those of evaluations. */
static void course(const vkft_test_run_fixture *f, const char *log, char *text, size_t size)
{
    cJSON *rows = vkft_test_read_jsonl(vkft_test_run_at(f, log)), *row;
    text[0] = 0;
    cJSON_ArrayForEach(row, rows)
    {
        size_t length = strlen(text);
        snprintf(text + length, size - length, " %s%g", cJSON_GetObjectItem(row, "eval_loss") ? "e" : "",
                 cJSON_GetNumberValue(cJSON_GetObjectItem(row, "step")));
    }
    cJSON_Delete(rows);
}

/* In the middle of an evaluation, and between the batches of a step. */
static void at_any_moment(void **state)
{
    const vkft_test_run_fixture *f = *state;
    if (vkft_test_program_is_foreign())
        skip();
    static const struct {
        const char *name, *file, *flags, *course;
        int rows;
    } cases[] = {
        {"evaluation", "valid.jsonl", "--max-steps 2 --eval-steps 1 --save-steps 0 --gradient-accumulation-steps 1",
         " 1 e1 2 e2", 1200},
        {"step", "train.jsonl", "--max-steps 2 --eval-steps 9 --save-steps 0 --gradient-accumulation-steps 600",
         " 1 2 e2", 1200},
    };
    for (size_t i = 0; i < 2; i++) {
        char whole[100], cut[100], flags[300], want[100], got[200];
        char *was = vkft_test_read(vkft_test_run_at(f, i ? "d/train.jsonl" : "d/valid.jsonl"), NULL);
        many_rows(f, cases[i].file, cases[i].rows);
        snprintf(whole, sizeof whole, "whole-%s", cases[i].name);
        snprintf(cut, sizeof cut, "cut-%s", cases[i].name);
        pid_t pid = vkft_test_run_start(f, cut, cases[i].flags);
        snprintf(got, sizeof got, "%s/trainer_log.jsonl", cut);
        wait_for_step(f, got);
        assert_int_equal(vkft_test_run_end(f, pid, SIGTERM, "interrupted at step 1 of 2, saved"), 130);
        course(f, got, want, sizeof want);
        assert_string_equal(want, " 1");
        snprintf(flags, sizeof flags, "%s --resume-from-checkpoint auto", cases[i].flags);
        pid = vkft_test_run_start(f, cut, flags);
        assert_int_equal(vkft_test_run_end(f, pid, 0, "resumed from"), 0);
        pid = vkft_test_run_start(f, whole, cases[i].flags);
        assert_int_equal(vkft_test_run_end(f, pid, 0, "adapter in"), 0);
        course(f, got, want, sizeof want);
        assert_string_equal(want, cases[i].course);
        snprintf(whole, sizeof whole, "whole-%s/adapter_model.safetensors", cases[i].name);
        snprintf(cut, sizeof cut, "cut-%s/adapter_model.safetensors", cases[i].name);
        vkft_test_same_file(f->dir, whole, cut, NULL);
        vkft_test_run_put(f, i ? "d/train.jsonl" : "d/valid.jsonl", was);
        free(was);
    }
    /* Before the first step there is nothing to save, and nothing is. */
    many_rows(f, "train.jsonl", 4000);
    pid_t pid = vkft_test_run_start(f, "first", "--gradient-accumulation-steps 4000");
    vkft_test_run_wait_for(f, "first/trainer_log.jsonl");
    assert_int_equal(vkft_test_run_end(f, pid, SIGINT, "interrupted before the first step was done"), 130);
    vkft_test_run_absent(f, "first/.vkft.lock");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals),
        cmocka_unit_test(ignored_signals),
        cmocka_unit_test(dead_readers),
        cmocka_unit_test(at_any_moment),
    };
    return cmocka_run_group_tests_name("interruption", tests, vkft_test_run_set_up, vkft_test_run_tear_down);
}
