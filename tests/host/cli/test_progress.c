/* What the progress display writes to stderr, as plain lines and on a terminal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "host/cli/progress.h"

static int saved;
static FILE *file;
static char text[4096];

static void capture(void)
{
    fflush(stderr);
    saved = dup(2);
    file = tmpfile();
    dup2(fileno(file), 2);
}

/* stderr is itself again, also before anything can fail. */
static void captured(void)
{
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
}

static vkft_train_event event(uint64_t step, double loss, double eval_loss)
{
    vkft_train_event e = {.step = step,
                          .total_steps = 10,
                          .loss = loss,
                          .grad_norm = 0.5,
                          .learning_rate = 2e-4,
                          .tokens_per_second = 123,
                          .memory_bytes = 3u << 20,
                          .evaluation = !isnan(eval_loss),
                          .eval_loss = eval_loss};
    for (int i = 0; i < VKFT_METRICS; i++)
        e.metrics[i] = NAN; /* those of preferences */
    return e;
}

/* One line for each logged step; an evaluation has its own. */
static void test_lines(void **state)
{
    (void)state;
    capture();
    progress p = progress_new(NULL);
    p.terminal = false;
    static const uint64_t logged[] = {4, 8, 10};
    for (size_t i = 0; i < 3; i++) {
        vkft_train_event e = event(logged[i], 2.5, NAN);
        progress_step(&p, &e);
    }
    vkft_train_event e = event(10, NAN, 1.0);
    progress_step(&p, &e);
    progress_work(&p, "loading", 1, 2); /* short work leaves no trace */
    progress_work(&p, "loading", 2, 2);
    progress_close(&p);
    captured();
    static const char *const starts[] = {"step 4/10  loss 2.5000  grad norm 0.500  lr 0.0002  123 tokens/s  3.0 MiB",
                                         "step 8/10  loss 2.5000", "step 10/10  loss 2.5000",
                                         "step 10: validation loss 1.0000, perplexity 2.72"};
    char *line = text;
    for (size_t i = 0; i < 4; i++) {
        if (!line || strncmp(line, starts[i], strlen(starts[i])) != 0)
            fail_msg("line %zu of '%s', expected '%s'", i, text, starts[i]);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    assert_string_equal(line, "");
}

/* A drawn line begins with a carriage return and erases what is left of the one before; a message is put above it. */
static void test_terminal(void **state)
{
    (void)state;
    capture();
    progress p = progress_new(NULL);
    p.terminal = true;
    vkft_train_event e = event(5, 2.5, NAN);
    progress_step(&p, &e);
    progress_message(&p, "a message");
    e.step = 10;
    progress_step(&p, &e);
    progress_close(&p);
    progress_close(&p); /* once */
    captured();
    assert_int_equal(text[0], '\r');
    const char *first = strstr(text, "5/10  loss 2.500"), *message = strstr(text, "\r\x1b[Ka message\n"),
               *second = strstr(text, "10/10  loss 2.500");
    if (!first || !message || !second || !(first < message && message < second))
        fail_msg("'%s'", text);
    assert_non_null(strstr(text, "=] 10/10"));
    assert_string_equal(strchr(second, '\n'), "\n");
}

/* Long work: a bar on a terminal that leaves its time, lines with the time that is left elsewhere. */
static void test_work(void **state)
{
    (void)state;
    capture();
    progress p = progress_new(NULL);
    p.terminal = true;
    progress_work(&p, "converting", 0, 100);
    p.work_started -= 10;
    p.work_drawn -= 1;
    progress_work(&p, "converting", 25, 100);
    progress_work(&p, "converting", 26, 100); /* too soon */
    progress_work(&p, "converting", 100, 100);
    progress_work(&p, "tokenizing", 0, 100);
    progress_work(&p, "tokenizing", 100, 100); /* short work is wiped out */
    p.terminal = false;
    progress_work(&p, "loading", 1, 100);
    p.work_started -= 60;
    p.work_drawn -= 60;
    progress_work(&p, "loading", 50, 100);
    progress_close(&p);
    captured();
    assert_non_null(strstr(text, "  0 %  converting\x1b[K"));
    assert_non_null(strstr(text, " 25 %  converting  0:30 left"));
    assert_null(strstr(text, " 26 %"));
    assert_non_null(strstr(text, "\r\x1b[Kconverting: 10.0 s\n"));
    assert_null(strstr(text, "tokenizing: "));
    assert_non_null(strstr(text, " 50 %  loading  1:00 left\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_terminal),
        cmocka_unit_test(test_work),
    };
    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
