/* tools/survey: its own parts (check_survey.py), and the kernels of this tree through the compilers of real GPUs, where
 * those are installed: a few chips, or with VKFT_SURVEY=all every chip and head size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#define NO_PYTHON 127 /* of the shell: there is no such program */
#define NOTHING_HERE 77

static int run(const char *command)
{
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_parts(void **state)
{
    (void)state;
    int code = run("python3 '" VKFT_PROJECT_DIR "/tests/tools/check_survey.py'");
    if (code == NO_PYTHON) {
        print_message("skipped: python3 is not installed\n");
        skip();
    }
    assert_int_equal(code, 0);
}

static void test_chips(void **state)
{
    (void)state;
    const char *wanted = getenv("VKFT_SURVEY");
    bool all = wanted && strcmp(wanted, "all") == 0;
    static const char *const sample[] = {
        "--heads 64,128 navi31",
        "--heads 64 --kernels attention,matmul_tile_nt_nf4,grouped_tile_nt_nf4,coop_nt_nf4,grouped_coop_nt_nf4 dg2"};
    for (size_t i = 0; i < (all ? 1 : sizeof sample / sizeof *sample); i++) {
        char line[4096];
        snprintf(line, sizeof line, "'%s/tools/survey' --check --program '%s' %s", VKFT_PROJECT_DIR,
                 VKFT_SURVEY_KERNELS, all ? "" : sample[i]);
        int code = run(line);
        if (code == NO_PYTHON || code == NOTHING_HERE) {
            print_message("skipped: tools/survey has said what is missing\n");
            skip();
        }
        assert_int_equal(code, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts), cmocka_unit_test(test_chips)};
    return cmocka_run_group_tests_name("survey", tests, NULL, NULL);
}
