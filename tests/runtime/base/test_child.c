/* A child's output reaches its parent, and how it ended. The child is this program again. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "runtime/base/os/child.h"
#include "runtime/base/os/os.h"

/* All that it prints; -1: it says nothing for so long. */
static long long read_all(vkft_os_child *child, char *text, size_t size, double seconds)
{
    size_t length = 0;
    long long n;
    while ((n = vkft_os_child_read(child, text + length, size - 1 - length, seconds)) > 0)
        length += (size_t)n;
    text[length] = 0;
    return n < 0 ? -1 : (long long)length;
}

static vkft_os_ending end_of(const char *what, const char *argument, const char *expected, bool silent)
{
    const char *const arguments[] = {"--child", what, argument, NULL}, *const environment[] = {"VKFT_CHILD=a b", NULL};
    char text[300];
    vkft_os_child *child = vkft_os_child_start(arguments, environment);
    vkft_os_ending ending;
    assert_non_null(child);
    assert_int_equal(read_all(child, text, sizeof text, silent ? 0.3 : 20) < 0, silent);
    assert_non_null(strstr(text, expected));
    vkft_os_child_end(child, silent, &ending);
    return ending;
}

static void test_endings(void **state)
{
    (void)state;
    vkft_os_ending e = end_of("echo", "it's \"quoted\\\" \\", "a b, it's \"quoted\\\" \\, and an error", false);
    assert_false(e.crashed);
    assert_int_equal(e.code, 7);
    e = end_of("crash", NULL, "before", false);
    assert_true(e.crashed);
    assert_true(strlen(e.how) > 0);
    e = end_of("hang", NULL, "before", true);
    assert_true(e.crashed);
    vkft_os_child_end(NULL, true, &e);
}

static int act(const char *what, const char *argument)
{
    if (strcmp(what, "echo") == 0) {
        char *value = vkft_os_environment("VKFT_CHILD");
        printf("%s, %s", value, argument);
        fflush(stdout);
        fprintf(stderr, ", and an error\n");
        free(value);
        return getchar() == EOF ? 7 : 8; /* there is no input */
    }
    printf("before\n");
    fflush(stdout);
    if (strcmp(what, "crash") == 0) {
        signal(SIGSEGV, SIG_DFL); /* AddressSanitizer would catch it and exit with 1 */
        raise(SIGSEGV);
    }
    for (double end = vkft_os_seconds() + 30; vkft_os_seconds() < end;) {
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--child") == 0)
        return act(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_endings)};
    return cmocka_run_group_tests_name("children", tests, NULL, NULL);
}
