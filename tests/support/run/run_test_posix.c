/* Small runs of the program. See run_test.h. */
#include "tests/support/run/run_test.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"
#include "tests/support/tiny_model.h"

#define FLAGS VKFT_TEST_RUN_FLAGS

int vkft_test_run_set_up(void **state)
{
    vkft_err err;
    vkft_test_run_fixture *f = calloc(1, sizeof *f);
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

int vkft_test_run_tear_down(void **state)
{
    vkft_test_run_fixture *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

/* Trains into DIR/out; fails the test unless the exit code is `code`. Returns what was said; to free. */
char *vkft_test_train(const vkft_test_run_fixture *f, const char *out, int code, const char *more)
{
    vkft_test_result r = vkft_test_program("train --model %s --data %s/d --output-dir %s/%s " FLAGS " %s", f->model,
                                           f->dir, f->dir, out, more);
    if (r.exit_code != code)
        fail_msg("%s: exit code %d, expected %d\n%s", more, r.exit_code, code, r.err);
    free(r.out);
    return r.err;
}

void vkft_test_train_ok(const vkft_test_run_fixture *f, const char *out, const char *more)
{
    free(vkft_test_train(f, out, 0, more));
}

void vkft_test_run_says(char *err, const char *part)
{
    if (!strstr(err, part))
        fail_msg("'%s', expected '%s'", strlen(err) > 600 ? err + strlen(err) - 600 : err, part);
    free(err);
}

const char *vkft_test_run_at(const vkft_test_run_fixture *f, const char *name)
{
    static char path[4][800];
    static unsigned next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", f->dir, name);
    return p;
}

bool vkft_test_run_is_there(const vkft_test_run_fixture *f, const char *name)
{
    vkft_os_info info;
    return vkft_os_stat_entry(vkft_test_run_at(f, name), &info);
}

void vkft_test_run_present(const vkft_test_run_fixture *f, const char *name)
{
    if (!vkft_test_run_is_there(f, name))
        fail_msg("%s is missing", name);
}

void vkft_test_run_absent(const vkft_test_run_fixture *f, const char *name)
{
    if (vkft_test_run_is_there(f, name))
        fail_msg("%s is there", name);
}

void vkft_test_run_put(const vkft_test_run_fixture *f, const char *name, const char *text)
{
    vkft_err err;
    char *path = vkft_string_copy(vkft_test_run_at(f, name)), *parent = vkft_path_parent(path);
    expect_ok(vkft_directory_create(parent, &err) && vkft_file_write(path, text, strlen(text), &err));
    free(parent);
    free(path);
}

void vkft_test_run_holds(const vkft_test_run_fixture *f, const char *name, const char *text)
{
    char *found = vkft_test_read(vkft_test_run_at(f, name), NULL);
    assert_string_equal(found, text);
    free(found);
}

void vkft_test_run_drop(const vkft_test_run_fixture *f, const char *name)
{
    vkft_err err;
    expect_ok(vkft_directory_remove(vkft_test_run_at(f, name), &err));
}

pid_t vkft_test_run_start(const vkft_test_run_fixture *f, const char *out, const char *more)
{
    pid_t pid = fork();
    if (pid == 0) {
        char command[4000];
        vkft_test_end_with_parent();
        snprintf(command, sizeof command,
                 "exec '%s' train --model %s --data %s/d --output-dir %s/%s --quant fp32 2> %s/messages %s",
                 vkft_test_program_path(), f->model, f->dir, f->dir, out, f->dir, more);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

int vkft_test_run_end(const vkft_test_run_fixture *f, pid_t pid, int number, const char *message)
{
    int status;
    kill(pid, number);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    char *said = vkft_test_read(vkft_test_run_at(f, "messages"), NULL);
    if (!strstr(said, message))
        fail_msg("'%s', expected '%s'", said, message);
    free(said);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void vkft_test_run_wait_for(const vkft_test_run_fixture *f, const char *name)
{
    struct timespec pause = {.tv_nsec = 20000000};
    for (int i = 0; i < 3000 && !vkft_test_run_is_there(f, name); i++)
        nanosleep(&pause, NULL);
    vkft_test_run_present(f, name);
}
