/* An input that is cut off while it is mapped ends the program with its name and without a temporary file; closed
 * standard streams are not given to other files; and waiting for a pipe can be interrupted. */
#include "tests/support/expect.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/cli/truncation.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/system/system.h"

#define MODEL VKFT_PROJECT_DIR "/tools/bundled/model"

static bool count_entry(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    return true;
}

static void truncated_mapping(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *input = vkft_path_join(dir, "input"), *output = vkft_path_join(dir, "output"),
         *said = vkft_path_join(dir, "said"), *text = calloc(1, 100000);
    expect_ok(vkft_file_write(input, text, 100000, &err));
    free(text);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        vkft_mapping other, mapping;
        if (dup2(open(said, O_WRONLY | O_CREAT, 0600), STDERR_FILENO) < 0)
            _exit(10);
        truncation_install();
        vkft_writer *writer = vkft_writer_open(output, &err);
        if (!writer || !vkft_mapping_open(MODEL "/config.json", &other, &err) ||
            !vkft_mapping_open(input, &mapping, &err) || truncate(input, 10) != 0)
            _exit(11);
        _exit(((const volatile uint8_t *)mapping.data)[50000] ? 12 : 13);
    }
    int status, count = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    size_t size;
    char *message = vkft_test_read(said, &size);
    assert_non_null(strstr(message, "vkft: error: "));
    assert_non_null(strstr(message, input));
    assert_non_null(strstr(message, "was cut off while it was read"));
    free(message);
    expect_ok(vkft_directory_list(dir, count_entry, &count, &err));
    assert_int_equal(count, 2); /* no temporary file */
    free(input), free(output), free(said);
    vkft_test_remove_directory(dir);
}

/* With closed streams the new file would be the standard output, and get what is printed. */
static void closed_streams(void **state)
{
    (void)state;
    if (vkft_test_program_is_foreign())
        skip();
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *open_one = vkft_path_join(dir, "open.vkft"),
         *closed = vkft_path_join(dir, "closed.vkft");
    size_t open_size, closed_size;
    vkft_test_program_ok("convert %s -o %s --quant nf4", MODEL, open_one);
    static const char *const streams[] = {"<&-", ">&-", "2>&-", "<&- >&- 2>&-"};
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        vkft_test_result r =
            vkft_test_program("convert %s -o %s --quant nf4 --overwrite %s", MODEL, closed, streams[i]);
        assert_int_equal(r.exit_code, 0);
        vkft_test_result_free(&r);
        char *a = vkft_test_read(open_one, &open_size), *b = vkft_test_read(closed, &closed_size);
        assert_int_equal(open_size, closed_size);
        assert_memory_equal(a, b, open_size);
        free(a), free(b);
        expect_ok(vkft_file_remove(closed, &err));
    }
    free(open_one), free(closed);
    vkft_test_remove_directory(dir);
}

/* The program waits for the other end of a pipe; one signal ends that. As data a pipe is refused at once. */
static void waiting_for_a_pipe(void **state)
{
    (void)state;
    if (vkft_test_program_is_foreign())
        skip();
    char *dir = vkft_test_directory(), *fifo = vkft_path_join(dir, "fifo.jsonl");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    vkft_test_result r = vkft_test_program("data %s --model %s", fifo, MODEL);
    assert_int_equal(r.exit_code, 1);
    assert_non_null(strstr(r.err, "pipe"));
    vkft_test_result_free(&r);
    r = vkft_test_program("data %s/none --model %s --chat-template %s & pid=$!; sleep 1; kill $pid; wait $pid", dir,
                          MODEL, fifo);
    assert_true(r.exit_code != 0);
    vkft_test_result_free(&r);
    free(fifo);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(truncated_mapping), cmocka_unit_test(closed_streams),
                                       cmocka_unit_test(waiting_for_a_pipe)};
    return cmocka_run_group_tests_name("truncation", tests, NULL, NULL);
}
