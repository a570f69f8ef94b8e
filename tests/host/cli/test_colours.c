/* Colours are for terminals that have them: not for "dumb" ones, not where NO_COLOR is set, and not for files. */
#include "tests/support/expect.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define MODEL VKFT_PROJECT_DIR "/tools/bundled/model"

/* What `vkft data` shows on a terminal of this kind. */
static char *shown(const char *data, const char *term, const char *no_color)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
        print_message("skipped: there are no pseudo terminals\n");
        skip();
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
        setenv("TERM", term, 1);
        setenv("NO_COLOR", no_color, 1);
        if (slave < 0 || dup2(slave, STDOUT_FILENO) < 0)
            _exit(99);
        execl(VKFT_PROGRAM, VKFT_PROGRAM, "data", data, "--model", MODEL, NULL);
        _exit(98);
    }
    static char text[20000];
    size_t length = 0;
    int status = 0;
    bool ended = false;
    fcntl(master, F_SETFL, O_NONBLOCK);
    for (int wait = 0; wait < 3000; wait++) {
        ssize_t n = read(master, text + length, sizeof text - 1 - length);
        length += n > 0 ? (size_t)n : 0;
        if (n <= 0 && ended)
            break;
        ended = ended || waitpid(child, &status, WNOHANG) == child;
        if (n <= 0)
            usleep(10000);
    }
    close(master);
    text[length] = 0;
    assert_int_equal(status, 0);
    assert_non_null(strstr(text, "samples"));
    return text;
}

static void colours(void **state)
{
    (void)state;
    if (vkft_test_program_is_foreign())
        skip();
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *data = vkft_path_join(dir, "d.jsonl");
    static const char rows[] = "{\"prompt\": \"a\", \"completion\": \" b\\u001b[5m\\u007f\"}\n";
    expect_ok(vkft_file_write(data, rows, sizeof rows - 1, &err));
    assert_non_null(strstr(shown(data, "xterm", ""), "\x1b[32m"));
    assert_non_null(strstr(shown(data, "xterm", ""), " b^[[5m^?")); /* what the terminal would obey */
    assert_null(strstr(shown(data, "dumb", ""), "\x1b["));
    assert_null(strstr(shown(data, "xterm", "1"), "\x1b["));
    free(data);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(colours)};
    return cmocka_run_group_tests_name("colours", tests, NULL, NULL);
}
