/* A driver that compiles one kernel wrongly, crashes at it or never returns: the doctor names the kernel, a run falls
 * back to another strategy or ends with a clear line and what it had saved. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

typedef struct fixture {
    char *dir; /* cache/, model/, train.jsonl */
} fixture;

/* With pipelines that other runs have built, because to build all of them takes long; nothing else of their cache. */
static int set_up(void **state)
{
    static const char rows[] = "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
                               "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n";
    fixture *f = calloc(1, sizeof *f);
    char command[1200], path[600];
    f->dir = vkft_test_directory();
    snprintf(command, sizeof command,
             "cd %s && mkdir -p -m 700 cache model && cp \"${VKFT_CACHE_DIR:-$HOME/.cache/vkft}\"/pipelines-* cache "
             "2> cache/none",
             f->dir);
    if (system(command) != 0)
        print_message("no pipelines are cached\n");
    snprintf(path, sizeof path, "%s/model", f->dir);
    vkft_tiny_model tiny = vkft_tiny_model_default();
    vkft_tiny_model_write(&tiny, path);
    snprintf(path, sizeof path, "%s/train.jsonl", f->dir);
    assert_true(vkft_file_write(path, rows, strlen(rows), NULL));
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

/* Runs the program with a fault, "wrong:none/rmsnorm.comp", or "" for none. Its output and errors are in out and err.
 */
static int run(const fixture *f, const char *fault, const char *arguments)
{
    char command[3000], environment[1200] = "";
    const char *kernel = strchr(fault, ':');
    if (kernel)
        snprintf(environment, sizeof environment, "LD_PRELOAD=%s VKFT_FAULT_KERNEL=%.*s:%s/%s.spv", VKFT_INJECT,
                 (int)(kernel - fault), fault, VKFT_SPIRV_DIR, kernel + 1);
    snprintf(command, sizeof command, "cd %s && env VKFT_CACHE_DIR=$PWD/cache %s %s %s > out 2> err < /dev/null",
             f->dir, environment, VKFT_PROGRAM, arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void expect_text(const fixture *f, const char *file, const char *part)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->dir, file);
    char *text = vkft_test_read(path, NULL);
    if (!strstr(text, part))
        fail_msg("%s is not in:\n%s", part, text);
    free(text);
}

static void shell(const fixture *f, const char *what)
{
    char command[1000];
    snprintf(command, sizeof command, "cd %s && %s", f->dir, what);
    if (system(command) != 0)
        fail_msg("%s", what);
}

#define TRAIN "train --model model --data train.jsonl --device 0 --output-dir run "

static void train(const fixture *f, const char *fault, const char *flags, int exit_code, const char *error)
{
    char arguments[400];
    snprintf(arguments, sizeof arguments, TRAIN "%s %s",
             strstr(flags, "--max-steps") ? "" : "--overwrite --max-steps 2", flags);
    int code = run(f, fault, arguments);
    expect_text(f, "err", error);
    assert_int_equal(code, exit_code);
}

/* A kernel that every run needs. */
static void test_needed(void **state)
{
    const fixture *f = *state;
    static const char fault[] = "wrong:none/rmsnorm.comp";
    train(f, "", "--max-steps 4", 0, "");
    shell(f, "mv run whole");
    train(f, "", "--max-steps 2 --save-steps 1", 0, "");
    shell(f, "cp -r run saved");
    assert_int_equal(run(f, fault, "doctor --device 0 --quick --report report.json"), 1);
    expect_text(f, "out", "problem  kernel rmsnorm computes wrong results: rmsnorm [1,1]: y[0] is ");
    expect_text(f, "out", "\n0: ");
    expect_text(f, "out", ": not usable: kernel rmsnorm computes wrong results on ");
    expect_text(f, "report.json", "\"name\":\t\"rmsnorm\"");
    /* Whoever trains is told, and what was saved stays as it is; until the doctor finds the kernel right, with a driver
     * that was mended. */
    train(f, fault, "--resume-from-checkpoint --max-steps 4", 1, "kernel rmsnorm computes wrong results on ");
    shell(f, "diff -r run saved");
    assert_int_equal(run(f, "", "doctor --device 0 --quick"), 0);
    expect_text(f, "out", ": ready\n");
    train(f, "", "--resume-from-checkpoint --max-steps 4", 0, "");
    shell(f, "cmp run/adapter_model.safetensors whole/adapter_model.safetensors");
}

/* One that few runs need. */
static void test_optional(void **state)
{
    const fixture *f = *state;
    static const char fault[] = "wrong:none/lion.comp";
    assert_int_equal(run(f, fault, "doctor --device 0"), 0);
    expect_text(f, "out", "problem  kernel lion computes wrong results");
    expect_text(f, "out", ": ready with these kernels off: lion\n");
    train(f, fault, "", 0, "");
    train(f, fault, "--optim lion", 1, "kernel lion computes wrong results on ");
    train(f, fault, "--optim lion --dry-run", 0, "");
}

/* One of a strategy of products: another strategy takes its place, and says so, with the doctor or without. */
static void test_strategy(void **state)
{
    const fixture *f = *state;
    static const char fault[] = "wrong:nf4-TRANSPOSED/panel.comp";
    shell(f, "rm -f cache/selftest-*");
    train(f, fault, "--quant nf4 --no-double-quant", 0, "strategy direct instead of panel");
    assert_int_equal(run(f, fault, "doctor --device 0 --quick"), 0);
    expect_text(f, "out", "kernel panel_nt_nf4 computes wrong results");
    expect_text(f, "out", ": ready with these kernels off: panel_nt_nf4\n");
    train(f, fault, "--quant nf4 --no-double-quant", 0, "strategy direct instead of panel");
}

static void test_crash(void **state)
{
    const fixture *f = *state;
    assert_int_equal(run(f, "crash:none/adamw.comp", "doctor --device 0"), 1);
    expect_text(f, "out", ": not usable: the driver crashed: signal 11 (Segmentation fault), in: adamw, 1 parameters");
}

/* A device that is lost, or has no memory left, in the middle. */
static void test_lost(void **state)
{
    const fixture *f = *state;
    assert_int_equal(run(f, "lost:none/rope.comp", "doctor --device 0 --quick"), 1);
    expect_text(f, "out", ": not usable: ");
    expect_text(f, "out", "VK_ERROR_DEVICE_LOST");
    assert_int_equal(run(f, "memory:none/rope.comp", "doctor --device 0 --quick"), 1);
    expect_text(f, "out", "VK_ERROR_OUT_OF_DEVICE_MEMORY");
}

static void test_hang(void **state)
{
    const fixture *f = *state;
    assert_int_equal(run(f, "hang:none/softcap.comp", "doctor --device 0 --timeout 12"), 1);
    expect_text(f, "out", ": not usable: the driver did not answer for 12 s and was ended, in: softcap, 1 elements");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_needed),   cmocka_unit_test(test_optional),
                                       cmocka_unit_test(test_strategy), cmocka_unit_test(test_crash),
                                       cmocka_unit_test(test_lost),     cmocka_unit_test(test_hang)};
    return cmocka_run_group_tests_name("wrong kernels", tests, set_up, tear_down);
}
