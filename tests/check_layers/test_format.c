/* Every C file is as clang-format writes it, by .clang-format. Other versions format differently: only version 14 is
 * asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

/* What the command prints, cut to the size; its exit code. */
static int run(const char *command, char *text, size_t size)
{
    FILE *out = popen(command, "r");
    assert_non_null(out);
    size_t n = fread(text, 1, size - 1, out);
    text[n] = 0;
    while (fgetc(out) != EOF)
        ;
    int status = pclose(out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void test_format(void **state)
{
    (void)state;
    static const char *const names[] = {"clang-format-14", "clang-format"};
    char text[900], command[900];
    size_t i = 0;
    for (; i < 2; i++) {
        snprintf(command, sizeof command, "%s --version 2>&1", names[i]);
        if (run(command, text, sizeof text) == 0 && strstr(text, "version 14."))
            break;
    }
    if (i == 2) {
        print_message("skipped: clang-format 14 is not installed\n");
        skip();
    }
    snprintf(command, sizeof command,
             "cd '%s' && find runtime formats shaders host tests tools -name '*.[ch]' -print0 | "
             "xargs -0 %s --dry-run -Werror 2>&1",
             VKFT_PROJECT_DIR, names[i]);
    if (run(command, text, sizeof text) != 0)
        fail_msg("run %s -i:\n%s", names[i], text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_format)};
    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
