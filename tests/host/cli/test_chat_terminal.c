/* vkft chat at a terminal, which a pseudo-terminal plays: Korean input, lines of 100 kB, another size of the window,
 * Ctrl-C, Ctrl-D, a terminal that goes away; and a pipe that nobody reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"
#include "tests/support/expect.h"
#include "tests/support/generate/loud_adapter.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define DEADLINE_S 60
#define LONG_LINE 100000
#define CTRL_C "\x03"
#define CTRL_D "\x04"
#define BACKSPACE "\x7f"

typedef struct terminal {
    pid_t pid;
    int master;
    vkft_text screen; /* all that was written to it */
    size_t seen;      /* up to where it was waited for */
} terminal;

static void skip_elsewhere(void)
{
    if (!vkft_test_program_is_foreign())
        return;
    print_message("skipped: the program of another system has another terminal\n");
    skip();
}

/* The program with these flags in a terminal of 24 rows and 80 columns of its own. */
static terminal start(const char *flags)
{
    char command[4096];
    const struct winsize size = {.ws_row = 24, .ws_col = 80};
    terminal t = {.master = posix_openpt(O_RDWR | O_NOCTTY)};
    assert_true(t.master >= 0 && grantpt(t.master) == 0 && unlockpt(t.master) == 0);
    assert_int_equal(ioctl(t.master, TIOCSWINSZ, &size), 0);
    snprintf(command, sizeof command,
             "exec '%s' chat --model " VKFT_TEST_BUNDLED " --chat-template " VKFT_TEST_TEMPLATE " %s",
             vkft_test_program_path(), flags);
    t.pid = fork();
    if (t.pid == 0) {
        vkft_test_end_with_parent();
        int slave = -1;
        if (setsid() >= 0)
            slave = open(ptsname(t.master), O_RDWR); /* becomes the terminal of the session */
#ifdef TIOCSCTTY
        ioctl(slave, TIOCSCTTY, 0);
#endif
        close(t.master);
        for (int fd = 0; fd < 3; fd++)
            if (dup2(slave, fd) < 0)
                _exit(126);
        if (slave > 2)
            close(slave);
        signal(SIGINT, SIG_DFL); /* a script starts background programs with SIGINT ignored */
        setenv("TERM", "xterm", 1);
        setenv("HOME", vkft_test_folder(), 1);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    assert_true(t.pid > 0);
    return t;
}

/* Reads what is written to the terminal, for so many ms at most. false: the other side is closed. */
static bool pump(terminal *t, int ms)
{
    char block[4096];
    struct pollfd p = {.fd = t->master, .events = POLLIN};
    if (poll(&p, 1, ms) <= 0)
        return true;
    ssize_t n = read(t->master, block, sizeof block);
    for (ssize_t i = 0; i < n; i++) /* libedit also writes zeros, which no terminal shows */
        assert_true(!block[i] || vkft_text_append(&t->screen, block + i, 1, NULL));
    return n > 0;
}

/* Until the text is on the screen, after what was waited for before. */
static void wait_for(terminal *t, const char *text)
{
    for (double begun = vkft_os_seconds(); vkft_os_seconds() < begun + DEADLINE_S;) {
        const char *at = t->screen.data ? strstr(t->screen.data + t->seen, text) : NULL;
        if (at) {
            t->seen = (size_t)(at - t->screen.data) + strlen(text);
            return;
        }
        if (!pump(t, 100))
            break;
    }
    size_t length = t->screen.length, shown = length < 700 ? length : 700; /* cmocka cuts off at 1024 */
    fail_msg("'%s' did not come; the end of the screen: '%s'", text, length ? t->screen.data + length - shown : "");
}

/* The first prompt; what is typed before is at the terminal's mercy. */
static void wait_for_start(terminal *t)
{
    wait_for(t, "/help lists commands");
    wait_for(t, "> ");
}

/* As a person types or pastes: what the program shows meanwhile is read, or both would wait for each other. */
static void type(terminal *t, const char *text)
{
    fcntl(t->master, F_SETFL, fcntl(t->master, F_GETFL) | O_NONBLOCK);
    for (size_t at = 0, length = strlen(text); at < length;) {
        ssize_t n = write(t->master, text + at, length - at);
        if (n < 0 && errno != EAGAIN)
            fail_msg("cannot type: %s", strerror(errno));
        at += n > 0 ? (size_t)n : 0;
        pump(t, n > 0 ? 0 : 10);
    }
}

static void resize(terminal *t, unsigned short rows, unsigned short columns)
{
    const struct winsize size = {.ws_row = rows, .ws_col = columns};
    assert_int_equal(ioctl(t->master, TIOCSWINSZ, &size), 0); /* the kernel sends SIGWINCH */
}

static int wait_for_exit(terminal *t)
{
    int status = -1;
    double begun = vkft_os_seconds();
    while (waitpid(t->pid, &status, WNOHANG) == 0) {
        if (vkft_os_seconds() > begun + DEADLINE_S)
            kill(t->pid, SIGKILL);
        if (t->master < 0 || !pump(t, 50))
            usleep(10000);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void end(terminal *t)
{
    if (t->master >= 0)
        close(t->master);
    vkft_text_free(&t->screen);
}

/* What the question number `row` of the conversation was, by what /save writes; malloc'ed. */
static char *saved(terminal *t, const char *name, int message)
{
    char path[600], line[700];
    snprintf(path, sizeof path, "%s/%s", vkft_test_folder(), name);
    snprintf(line, sizeof line, "/save %s\r", path);
    type(t, line);
    wait_for(t, "saved, as a row");
    cJSON *rows = vkft_test_read_jsonl(path);
    const cJSON *messages = cJSON_GetObjectItem(cJSON_GetArrayItem(rows, 0), "messages");
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItem(cJSON_GetArrayItem(messages, message), "content"));
    assert_non_null(found);
    char *copy = vkft_string_copy(found);
    cJSON_Delete(rows);
    return copy;
}

/* Whole characters are typed, shown and removed, in a locale that is UTF-8 and in one that is not; a backslash joins
 * lines; the answer is streamed; Ctrl-D ends, and the terminal is as it was. */
static void test_korean(void **state)
{
    (void)state;
    static const char *const locales[] = {"C.UTF-8", "C"};
    skip_elsewhere();
    for (int i = 0; i < 2; i++) {
        char *before = vkft_test_swap_environment("LC_ALL", locales[i]), name[32];
        struct termios first, last;
        terminal t = start("--max-new-tokens 3 --temperature 0");
        assert_int_equal(tcgetattr(t.master, &first), 0);
        wait_for_start(&t);
        type(&t, "안녕하세요");
        wait_for(&t, "안녕하세요");
        type(&t, "세계" BACKSPACE BACKSPACE ", 세상\\\r");
        wait_for(&t, ". ");
        type(&t, "둘째 줄\r");
        wait_for(&t, "[the answer ends here: --max-new-tokens 3]");
        wait_for(&t, "> ");
        snprintf(name, sizeof name, "korean%d.jsonl", i);
        char *question = saved(&t, name, 0);
        assert_string_equal(question, "안녕하세요, 세상\n둘째 줄");
        free(question);
        wait_for(&t, "> ");
        type(&t, CTRL_D);
        assert_int_equal(wait_for_exit(&t), 0);
        assert_int_equal(tcgetattr(t.master, &last), 0);
        assert_int_equal(first.c_lflag, last.c_lflag);
        assert_int_equal(first.c_iflag, last.c_iflag);
        end(&t);
        free(vkft_test_swap_environment("LC_ALL", before));
        free(before);
    }
}

/* What is pasted is one message, whatever lines and keys are in it, and is not sent before Enter. */
static void test_paste(void **state)
{
    (void)state;
    skip_elsewhere();
    terminal t = start("--max-new-tokens 3 --temperature 0");
    wait_for_start(&t);
    type(&t, "앞 \x1b[200~first\r\tsecond \x7f\r/exit\x1b[201~ 뒤\r");
    wait_for(&t, "[the answer ends here");
    wait_for(&t, "> ");
    char *question = saved(&t, "pasted.jsonl", 0);
    assert_string_equal(question, "앞 first\n\tsecond \x7f\n/exit 뒤");
    free(question);
    wait_for(&t, "> ");
    type(&t, CTRL_D);
    assert_int_equal(wait_for_exit(&t), 0);
    end(&t);
}

/* A line far longer than the screen, and than the 4095 bytes of the terminal's own editing, comes whole; so does one
 * during which the window gets other sizes. */
static void test_long_lines_and_resizing(void **state)
{
    (void)state;
    skip_elsewhere();
    terminal t = start("--max-new-tokens 3 --temperature 0");
    char *line = calloc(1, LONG_LINE + 1);
    wait_for_start(&t);
    type(&t, "/system ");
    for (int i = 0; i < LONG_LINE; i++)
        line[i] = (char)('a' + i % 26);
    type(&t, line);
    type(&t, "\r");
    wait_for(&t, "the system prompt is another one");
    wait_for(&t, "> ");
    char *system = saved(&t, "long.jsonl", 0);
    assert_string_equal(system, line);
    free(system);
    free(line);
    wait_for(&t, "> ");
    type(&t, "/system narrow ");
    resize(&t, 10, 20);
    type(&t, "window, 좁은 창, ");
    usleep(50000);
    resize(&t, 50, 200);
    type(&t, "wide window");
    resize(&t, 2, 1); /* as small as it gets */
    type(&t, "!\r");
    wait_for(&t, "the system prompt is");
    resize(&t, 24, 80);
    wait_for(&t, "> ");
    system = saved(&t, "resized.jsonl", 0);
    assert_string_equal(system, "narrow window, 좁은 창, wide window!");
    free(system);
    wait_for(&t, "> ");
    type(&t, "/exit\r");
    assert_int_equal(wait_for_exit(&t), 0);
    end(&t);
}

/* Once stops the answer, whatever size the window gets meanwhile; the conversation goes on; at the prompt it ends the
 * program. */
static void test_ctrl_c(void **state)
{
    (void)state;
    skip_elsewhere();
    terminal t = start("--ignore-eos --no-repeat-ngram-size 3");
    wait_for_start(&t);
    type(&t, "Tell me of the sea.\r");
    wait_for(&t, "sea.\r\n");
    for (size_t before = t.screen.length; t.screen.length < before + 30;) /* an answer is on its way */
        assert_true(pump(&t, 1000));
    resize(&t, 30, 100);
    type(&t, CTRL_C);
    wait_for(&t, "[stopped]");
    wait_for(&t, "> ");
    char *answer = saved(&t, "stopped.jsonl", 1);
    assert_true(strlen(answer) > 10);
    free(answer);
    wait_for(&t, "> ");
    type(&t, "half a line");
    wait_for(&t, "half a line");
    type(&t, CTRL_C);
    assert_int_equal(wait_for_exit(&t), 130);
    end(&t);
}

/* Twice ends the program, whether the answer has stopped by then or not. */
static void test_ctrl_c_twice(void **state)
{
    (void)state;
    skip_elsewhere();
    terminal t = start("--ignore-eos --no-repeat-ngram-size 3");
    wait_for_start(&t);
    type(&t, "Tell me of the sea.\r");
    wait_for(&t, "sea.\r\n");
    type(&t, CTRL_C);
    for (double begun = vkft_os_seconds(); vkft_os_seconds() < begun + 0.4;) /* two that come at once are one */
        pump(&t, 50);
    type(&t, CTRL_C);
    assert_int_equal(wait_for_exit(&t), 130);
    end(&t);
}

/* The window is closed. */
static void test_hang_up(void **state)
{
    (void)state;
    skip_elsewhere();
    terminal t = start("");
    wait_for_start(&t);
    close(t.master);
    t.master = -1;
    assert_int_equal(wait_for_exit(&t), 130);
    end(&t);
}

/* Silently, with the code that a shell shows for SIGPIPE: by the signal, or where that is ignored by the program. */
static void test_closed_pipe(void **state)
{
    (void)state;
    skip_elsewhere();
    for (int ignored = 0; ignored < 2; ignored++) {
        int in[2], out[2];
        char path[600];
        snprintf(path, sizeof path, "%s/said", vkft_test_folder());
        assert_true(pipe(in) == 0 && pipe(out) == 0);
        pid_t pid = fork();
        if (pid == 0) {
            vkft_test_end_with_parent();
            int said = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
            if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || dup2(said, 2) < 0)
                _exit(126);
            close(in[1]);
            close(out[0]);
            signal(SIGPIPE, ignored ? SIG_IGN : SIG_DFL);
            execl(vkft_test_program_path(), "vkft", "chat", "--model", VKFT_TEST_BUNDLED, "--chat-template",
                  VKFT_TEST_TEMPLATE, "--ignore-eos", (char *)NULL);
            _exit(127);
        }
        close(in[0]);
        close(out[1]);
        assert_int_equal(write(in[1], "Hello\nHello\n", 12), 12);
        char block[16];
        assert_true(read(out[0], block, sizeof block) > 0); /* as head does */
        close(out[0]);
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), 141);
        close(in[1]);
        char *said = vkft_test_read(path, NULL);
        assert_null(strstr(said, "error"));
        free(said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_korean),
        cmocka_unit_test(test_paste),
        cmocka_unit_test(test_long_lines_and_resizing),
        cmocka_unit_test(test_ctrl_c),
        cmocka_unit_test(test_ctrl_c_twice),
        cmocka_unit_test(test_hang_up),
        cmocka_unit_test(test_closed_pipe),
    };
    return cmocka_run_group_tests_name("chat_terminal", tests, vkft_test_folder_set_up, vkft_test_folder_tear_down);
}
