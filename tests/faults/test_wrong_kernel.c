/* A driver that compiles one kernel wrongly: the doctor names the kernel, a run falls back to another strategy or ends
 * with a clear line, and what it had saved stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "tests/faults/broken_kernel.h"

#define TRAIN "train --model model --data train.jsonl --device 0 --output-dir run "

static void train(const broken_kernel *f, const char *fault, const char *flags, int exit_code, const char *error)
{
    char arguments[400];
    snprintf(arguments, sizeof arguments, TRAIN "%s %s",
             strstr(flags, "--max-steps") ? "" : "--overwrite --max-steps 2", flags);
    int code = broken_kernel_run(f, fault, arguments);
    broken_kernel_expect(f, "err", error);
    assert_int_equal(code, exit_code);
}

/* A kernel that every run needs. */
static void test_needed(void **state)
{
    const broken_kernel *f = *state;
    static const char fault[] = "wrong:none/rmsnorm.comp";
    train(f, "", "--max-steps 4", 0, "");
    broken_kernel_shell(f, "mv run whole");
    train(f, "", "--max-steps 2 --save-steps 1", 0, "");
    broken_kernel_shell(f, "cp -r run saved");
    assert_int_equal(broken_kernel_run(f, fault, "doctor --device 0 --quick --report report.json"), 1);
    broken_kernel_expect(f, "out", "problem  kernel rmsnorm computes wrong results: rmsnorm [1,1]: y[0] is ");
    broken_kernel_expect(f, "out", "\n0: ");
    broken_kernel_expect(f, "out", ": not usable: kernel rmsnorm computes wrong results on ");
    broken_kernel_expect(f, "report.json", "\"name\":\t\"rmsnorm\"");
    /* Whoever trains is told, and what was saved stays as it is; until the doctor finds the kernel right, with a driver
     * that was mended. */
    train(f, fault, "--resume-from-checkpoint --max-steps 4", 1, "kernel rmsnorm computes wrong results on ");
    broken_kernel_shell(f, "diff -r run saved");
    assert_int_equal(broken_kernel_run(f, "", "doctor --device 0 --quick"), 0);
    broken_kernel_expect(f, "out", ": ready\n");
    train(f, "", "--resume-from-checkpoint --max-steps 4", 0, "");
    broken_kernel_shell(f, "cmp run/adapter_model.safetensors whole/adapter_model.safetensors");
}

/* One that few runs need. */
static void test_optional(void **state)
{
    const broken_kernel *f = *state;
    static const char fault[] = "wrong:none/lion.comp";
    assert_int_equal(broken_kernel_run(f, fault, "doctor --device 0"), 0);
    broken_kernel_expect(f, "out", "problem  kernel lion computes wrong results");
    broken_kernel_expect(f, "out", ": ready with these kernels off: lion\n");
    train(f, fault, "", 0, "");
    train(f, fault, "--optim lion", 1, "kernel lion computes wrong results on ");
    train(f, fault, "--optim lion --dry-run", 0, "");
}

/* One of a strategy of products: another strategy takes its place, and says so, with the doctor or without. */
static void test_strategy(void **state)
{
    const broken_kernel *f = *state;
    static const char fault[] = "wrong:nf4-TRANSPOSED/panel.comp";
    broken_kernel_shell(f, "rm -f cache/selftest-*");
    train(f, fault, "--quant nf4 --no-double-quant", 0, " instead of panel");
    assert_int_equal(broken_kernel_run(f, fault, "doctor --device 0 --quick"), 0);
    broken_kernel_expect(f, "out", "kernel panel_nt_nf4 computes wrong results");
    broken_kernel_expect(f, "out", ": ready with these kernels off: panel_nt_nf4\n");
    train(f, fault, "--quant nf4 --no-double-quant", 0, " instead of panel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_needed), cmocka_unit_test(test_optional),
                                       cmocka_unit_test(test_strategy)};
    return cmocka_run_group_tests_name("wrong kernels", tests, broken_kernel_setup, broken_kernel_teardown);
}
