/* Output directories: what a run removes and writes over is its own and nothing else; an overwritten run stays until
 * the new one has something; one run at a time; checkpoints of a future that was given up. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

typedef struct fixture {
    char *dir;
    char model[512], data[512];
} fixture;

static int set_up(void **state)
{
    vkft_err err;
    fixture *f = calloc(1, sizeof *f);
    f->dir = vkft_test_directory();
    snprintf(f->model, sizeof f->model, "%s/model", f->dir);
    snprintf(f->data, sizeof f->data, "%s/d/train.jsonl", f->dir);
    expect_ok(vkft_directory_create(f->model, &err));
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, f->model);
    static const char train[] = "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
                                "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n",
                      valid[] = "{\"input_ids\": [1, 2, 4, 6]}\n{\"input_ids\": [1, 3, 9]}\n";
    char path[600];
    snprintf(path, sizeof path, "%s/d", f->dir);
    expect_ok(vkft_directory_create(path, &err) && vkft_file_write(f->data, train, strlen(train), &err));
    snprintf(path, sizeof path, "%s/d/valid.jsonl", f->dir);
    expect_ok(vkft_file_write(path, valid, strlen(valid), &err));
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

#define FLAGS "--batch-size 2 --gradient-accumulation-steps 1 --max-seq-length 16 --quant fp32 --lora-r 2"

/* Trains into DIR/out; fails the test unless the exit code is `code`. Returns what was said; to free. */
static char *train(const fixture *f, const char *out, int code, const char *more)
{
    vkft_test_result r = vkft_test_program("train --model %s --data %s/d --output-dir %s/%s " FLAGS " %s", f->model,
                                           f->dir, f->dir, out, more);
    if (r.exit_code != code)
        fail_msg("%s: exit code %d, expected %d\n%s", more, r.exit_code, code, r.err);
    free(r.out);
    return r.err;
}

static void train_ok(const fixture *f, const char *out, const char *more)
{
    free(train(f, out, 0, more));
}

static void says(char *err, const char *part)
{
    if (!strstr(err, part))
        fail_msg("'%s', expected '%s'", strlen(err) > 600 ? err + strlen(err) - 600 : err, part);
    free(err);
}

static const char *at(const fixture *f, const char *name)
{
    static char path[4][800];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", f->dir, name);
    return p;
}

static bool is_there(const fixture *f, const char *name)
{
    vkft_os_info info;
    return vkft_os_stat_entry(at(f, name), &info);
}

static void present(const fixture *f, const char *name)
{
    if (!is_there(f, name))
        fail_msg("%s is missing", name);
}

static void absent(const fixture *f, const char *name)
{
    if (is_there(f, name))
        fail_msg("%s is there", name);
}

static void put(const fixture *f, const char *name, const char *text)
{
    vkft_err err;
    char *path = vkft_string_copy(at(f, name)), *parent = vkft_path_parent(path);
    expect_ok(vkft_directory_create(parent, &err) && vkft_file_write(path, text, strlen(text), &err));
    free(parent);
    free(path);
}

static void holds(const fixture *f, const char *name, const char *text)
{
    char *found = vkft_test_read(at(f, name), NULL);
    assert_string_equal(found, text);
    free(found);
}

static void put_link(const fixture *f, const char *name, const char *target)
{
    assert_int_equal(symlink(target, at(f, name)), 0);
}

static void drop(const fixture *f, const char *name)
{
    vkft_err err;
    expect_ok(vkft_directory_remove(at(f, name), &err));
}

/* Names that look like a run's, and its names with what others wrote in them. */
static void keeps_what_is_not_its_own(void **state)
{
    const fixture *f = *state;
    static const char *const mine[] = {
        "best-practices/notes.txt", "checkpoint-notes/a",    "best-of.tmpl.d/x",
        "best-2024/photo.jpg",      "checkpoint-7/model.pt", "checkpoint-100.tmp/thesis.txt",
        "best-3.tmp.d/y",           "checkpoint-01/z",       "best-100.tmp/w"};
    char name[200];
    for (int i = 0; i < 2; i++) { /* a first run, and one that overwrites */
        for (size_t j = 0; j < sizeof mine / sizeof *mine; j++) {
            snprintf(name, sizeof name, "mine/%s", mine[j]);
            put(f, name, "mine");
        }
        train_ok(f, "mine", i ? "--max-steps 4 --save-steps 1 --overwrite" : "--max-steps 4 --save-steps 1");
        for (size_t j = 0; j < sizeof mine / sizeof *mine; j++) {
            snprintf(name, sizeof name, "mine/%s", mine[j]);
            holds(f, name, "mine");
        }
    }
    present(f, "mine/checkpoint-4/adapter_model.safetensors");
    absent(f, "mine/checkpoint-2");
    /* A run that comes to a number that someone else's directory has puts that one aside. */
    put(f, "mine/checkpoint-8.tmp/t", "mine");
    put(f, "mine/result.tmp/t", "mine");
    says(train(f, "mine", 0, "--max-steps 8 --save-steps 1 --warmup-steps 1 --overwrite --no-load-best-model-at-end"),
         "checkpoint-7 is now checkpoint-7.aside");
    holds(f, "mine/checkpoint-7.aside/model.pt", "mine");
    holds(f, "mine/checkpoint-8.tmp.aside/t", "mine");
    holds(f, "mine/result.tmp.aside/t", "mine");
}

/* --overwrite, pruning and sweeping unlink links and leave what they lead to. */
static void never_enters_links(void **state)
{
    const fixture *f = *state;
    put(f, "important/f", "x");
    put(f, "links/best-of/a", "a");
    put_link(f, "links/best-of/link", "../../important");
    train_ok(f, "links", "--max-steps 1 --overwrite");
    put_link(f, "links/checkpoint-1/link", "../../important");
    put_link(f, "links/checkpoint-9.tmp", "../important");
    put_link(f, "links/best-9", "../important");
    train_ok(f, "links", "--max-steps 1 --overwrite");
    holds(f, "important/f", "x");
    holds(f, "links/best-of/link/f", "x");

    /* A checkpoint that was moved to another disk and linked back, with a file of the person beside it. */
    vkft_err err;
    train_ok(f, "moved", "--max-steps 4 --save-steps 1 --save-total-limit 3");
    drop(f, "moved/checkpoint-4");
    drop(f, "moved/adapter_model.safetensors");
    expect_ok(vkft_directory_rename(at(f, "moved/checkpoint-3"), at(f, "disk"), &err));
    put(f, "disk/mine.txt", "mine");
    put_link(f, "moved/checkpoint-3", "../disk");
    says(train(f, "moved", 0, "--max-steps 6 --save-steps 1 --save-total-limit 2 --resume-from-checkpoint auto"),
         "resumed from");
    absent(f, "moved/checkpoint-3");
    holds(f, "disk/mine.txt", "mine");
    present(f, "disk/adapter_model.safetensors");
}

/* Where a run's checkpoint has a person's file, pruning leaves it. */
static void keeps_notes_in_checkpoints(void **state)
{
    const fixture *f = *state;
    train_ok(f, "notes", "--max-steps 2 --save-steps 1");
    drop(f, "notes/adapter_model.safetensors");
    put(f, "notes/checkpoint-1/notes.txt", "mine");
    says(train(f, "notes", 0, "--max-steps 5 --save-steps 1 --resume-from-checkpoint auto"),
         "checkpoint-1 is kept: it holds notes.txt");
    holds(f, "notes/checkpoint-1/notes.txt", "mine");
    train_ok(f, "notes", "--max-steps 1 --overwrite");
    holds(f, "notes/checkpoint-1.aside/notes.txt", "mine");
}

/* README.md and the tokenizer's files are written where there are none, and again where vkft wrote them. */
static void keeps_small_files(void **state)
{
    const fixture *f = *state;
    put(f, "small/README.md", "mine");
    put(f, "small/vkft.json", "{\"program\": \"another\"}");
    says(train(f, "small", 0, "--max-steps 1"), "README.md is kept");
    holds(f, "small/README.md", "mine");
    holds(f, "small/vkft.json", "{\"program\": \"another\"}");

    train_ok(f, "again", "--max-steps 1 --lora-alpha 8");
    char *first = vkft_test_read(at(f, "again/README.md"), NULL);
    assert_non_null(strstr(first, "alpha 8"));
    train_ok(f, "again", "--max-steps 1 --lora-alpha 4 --overwrite");
    char *second = vkft_test_read(at(f, "again/README.md"), NULL);
    assert_non_null(strstr(second, "alpha 4"));
    put(f, "again/README.md", "edited");
    train_ok(f, "again", "--max-steps 1 --overwrite");
    holds(f, "again/README.md", "edited");
    free(first);
    free(second);

    put(f, "foreign/adapter_model.safetensors", "an adapter from elsewhere");
    says(train(f, "foreign", 1, "--max-steps 1 --overwrite"), "holds an adapter that no run made here");
    holds(f, "foreign/adapter_model.safetensors", "an adapter from elsewhere");
    put(f, "target", "not a log");
    put(f, "log/keep", "");
    put_link(f, "log/trainer_log.jsonl", "../target");
    train_ok(f, "log", "--max-steps 1");
    holds(f, "target", "not a log");
    present(f, "log/trainer_log.jsonl");
}

/* A run that fails before it has something leaves the one that it was to overwrite. */
static void overwrites_late(void **state)
{
    const fixture *f = *state;
    train_ok(f, "old", "--max-steps 3 --save-steps 1");
    char *was = vkft_test_read(at(f, "old/adapter_model.safetensors"), NULL),
         *log = vkft_test_read(at(f, "old/trainer_log.jsonl"), NULL);
    free(train(f, "old", 1, "--overwrite --device nosuch"));
    static const char *const failing[] = {
        "--overwrite --learning-rate 1e38 --warmup-steps 0 --max-steps 4 --save-steps 9 --eval-steps 1",
        "--overwrite --device nosuch",
    };
    for (size_t i = 0; i < 2; i++) {
        free(train(f, "old", 1, failing[i]));
        holds(f, "old/adapter_model.safetensors", was);
        holds(f, "old/trainer_log.jsonl", log);
        present(f, "old/checkpoint-3/vkft_state.json");
        present(f, "old/best-3/adapter_model.safetensors");
        absent(f, "old/overwritten-run");
    }
    free(was);
    free(log);
    train_ok(f, "old", "--overwrite --max-steps 1 --no-load-best-model-at-end");
    absent(f, "old/checkpoint-3");
    absent(f, "old/best-3");
    absent(f, "old/overwritten-run");
}

static void move_entry(const fixture *f, const char *from, const char *to)
{
    if (rename(at(f, from), at(f, to)) != 0)
        fail_msg("cannot rename %s to %s", from, to);
}

/* A run that overwrites was killed: while it put the old one away, or after that and before it had something, the old
 * one comes back; afterwards it goes. */
static void recovers_an_overwritten_run(void **state)
{
    const fixture *f = *state;
    vkft_err err;
    static const char *const names[] = {
        "checkpoint-2",     "checkpoint-3", "best-3", "adapter_config.json", "adapter_model.safetensors",
        "trainer_log.jsonl"};
    enum { NAMES = sizeof names / sizeof *names };
    train_ok(f, "killed", "--max-steps 3 --save-steps 1");
    char *was = vkft_test_read(at(f, "killed/adapter_model.safetensors"), NULL),
         *log = vkft_test_read(at(f, "killed/trainer_log.jsonl"), NULL);
    for (size_t moved = 0; moved <= NAMES + 1; moved++) {
        bool whole = moved > NAMES; /* and the new one has a log and its best */
        const char *old = whole ? "killed/overwritten-run" : "killed/overwritten-run.moving";
        expect_ok(vkft_directory_create(at(f, old), &err));
        for (size_t i = 0; i < moved && i < NAMES; i++) {
            char from[100], to[100];
            snprintf(from, sizeof from, "killed/%s", names[i]);
            snprintf(to, sizeof to, "%s/%s", old, names[i]);
            move_entry(f, from, to);
        }
        if (whole) {
            put(f, "killed/trainer_log.jsonl", "{}\n");
            put(f, "killed/best-2/adapter_model.safetensors", "new");
        }
        says(train(f, "killed", 1, "--max-steps 1"), "holds a finished run");
        holds(f, "killed/adapter_model.safetensors", was);
        holds(f, "killed/trainer_log.jsonl", log);
        present(f, "killed/checkpoint-2/vkft_state.json");
        present(f, "killed/checkpoint-3/vkft_state.json");
        present(f, "killed/best-3/adapter_model.safetensors");
        absent(f, "killed/best-2");
        absent(f, old);
    }
    put(f, "killed/overwritten-run/adapter_model.safetensors", "older");
    says(train(f, "killed", 1, "--max-steps 1"), "holds a finished run");
    holds(f, "killed/adapter_model.safetensors", was);
    absent(f, "killed/overwritten-run");
    free(was);
    free(log);
}

/* Starts a run that goes on until it is ended. */
static pid_t start(const fixture *f, const char *out)
{
    pid_t pid = fork();
    if (pid == 0) {
        char path[700], data[600];
        snprintf(path, sizeof path, "%s/%s", f->dir, out);
        snprintf(data, sizeof data, "%s/d", f->dir);
        if (!freopen("/dev/null", "w", stderr))
            _exit(126);
        execl(VKFT_PROGRAM, VKFT_PROGRAM, "train", "--model", f->model, "--data", data, "--output-dir", path,
              "--max-steps", "1000000", "--quant", "fp32", "--save-steps", "0", (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static void wait_for(const fixture *f, const char *name)
{
    struct timespec pause = {.tv_nsec = 20000000};
    for (int i = 0; i < 3000 && !is_there(f, name); i++)
        nanosleep(&pause, NULL);
    present(f, name);
}

/* Two runs in one directory: the second one says who is there. A killed one leaves nothing that stands in the way. */
static void one_run_at_a_time(void **state)
{
    const fixture *f = *state;
    pid_t pid = start(f, "two");
    int status;
    char who[64];
    wait_for(f, "two/trainer_log.jsonl");
    snprintf(who, sizeof who, "another vkft (pid %ld) writes to", (long)pid);
    says(train(f, "two", 1, "--max-steps 1"), who);
    says(train(f, "two", 1, "--max-steps 1 --overwrite"), who);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    train_ok(f, "two", "--max-steps 1");
    absent(f, "two/.vkft.lock");
}

static uint64_t last_step(const fixture *f, const char *log)
{
    cJSON *rows = vkft_test_read_jsonl(at(f, log));
    const cJSON *last = cJSON_GetArrayItem(rows, cJSON_GetArraySize(rows) - 1);
    uint64_t step = (uint64_t)cJSON_GetNumberValue(cJSON_GetObjectItem(last, "step"));
    cJSON_Delete(rows);
    return step;
}

/* Resumed from an older checkpoint, later ones are of a future that is given up: they are put aside with the best that
 * they name, and what is written now stays and is what "auto" takes. */
static void gives_up_a_future(void **state)
{
    const fixture *f = *state;
    char more[900], resume[700];
    snprintf(resume, sizeof resume, "--resume-from-checkpoint %s/future/checkpoint-2/", f->dir);
    train_ok(f, "future", "--max-steps 6 --save-steps 1 --save-total-limit 6 --eval-steps 1");
    present(f, "future/best-6");
    snprintf(more, sizeof more, "--max-steps 4 --save-steps 1 --save-total-limit 1 --eval-steps 9 %s", resume);
    says(train(f, "future", 0, more), "checkpoint-6 is now checkpoint-6.aside");
    present(f, "future/checkpoint-3.aside/vkft_state.json");
    present(f, "future/checkpoint-6.aside/vkft_state.json");
    present(f, "future/best-6.aside");
    present(f, "future/checkpoint-4/vkft_state.json");
    absent(f, "future/checkpoint-2");
    absent(f, "future/checkpoint-6");
    assert_int_equal(last_step(f, "future/trainer_log.jsonl"), 4);
    says(train(f, "future", 0, "--max-steps 5 --save-steps 1 --resume-from-checkpoint auto"), "checkpoint-4 at step 4");
    /* A checkpoint of another directory continues there only where nothing else is. */
    train_ok(f, "other", "--max-steps 2 --save-steps 1");
    snprintf(more, sizeof more, "--max-steps 7 --resume-from-checkpoint %s/future/checkpoint-5", f->dir);
    says(train(f, "other", 1, more), "holds a finished run");
    strcat(more, " --overwrite");
    train_ok(f, "other", more);
    absent(f, "other/checkpoint-2");
    present(f, "other/checkpoint-7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_what_is_not_its_own),
        cmocka_unit_test(never_enters_links),
        cmocka_unit_test(keeps_notes_in_checkpoints),
        cmocka_unit_test(keeps_small_files),
        cmocka_unit_test(overwrites_late),
        cmocka_unit_test(recovers_an_overwritten_run),
        cmocka_unit_test(one_run_at_a_time),
        cmocka_unit_test(gives_up_a_future),
    };
    return cmocka_run_group_tests_name("run directory", tests, set_up, tear_down);
}
