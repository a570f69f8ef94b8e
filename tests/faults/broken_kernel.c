/* See broken_kernel.h. */
#include "tests/faults/broken_kernel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

#include "runtime/base/file.h"
#include "tests/support/program.h"
#include "tests/support/tiny_model.h"

/* With pipelines that other runs have built, because to build all of them takes long; nothing else of their cache. */
int broken_kernel_setup(void **state)
{
    static const char rows[] = "{\"input_ids\": [1, 2, 3, 4]}\n{\"input_ids\": [1, 5, 6]}\n"
                               "{\"input_ids\": [1, 7, 8, 9, 2]}\n{\"input_ids\": [1, 3, 5, 7]}\n";
    broken_kernel *f = calloc(1, sizeof *f);
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

int broken_kernel_teardown(void **state)
{
    broken_kernel *f = *state;
    vkft_test_remove_directory(f->dir);
    free(f);
    return 0;
}

/* Runs the program with a fault, "wrong:none/rmsnorm.comp", or "" for none. Its output and errors are in out and err.
 */
int broken_kernel_run(const broken_kernel *f, const char *fault, const char *arguments)
{
    char command[3000], environment[1200] = "";
    const char *kernel = strchr(fault, ':');
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: AddressSanitizer has to be loaded before the library that injects faults\n");
    skip();
#endif
    if (kernel)
        snprintf(environment, sizeof environment, "LD_PRELOAD=%s VKFT_FAULT_KERNEL=%.*s:%s/%s.spv", VKFT_INJECT,
                 (int)(kernel - fault), fault, VKFT_SPIRV_DIR, kernel + 1);
    snprintf(command, sizeof command, "cd %s && env VKFT_CACHE_DIR=$PWD/cache %s %s %s > out 2> err < /dev/null",
             f->dir, environment, VKFT_PROGRAM, arguments);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void broken_kernel_expect(const broken_kernel *f, const char *file, const char *part)
{
    char path[600];
    snprintf(path, sizeof path, "%s/%s", f->dir, file);
    char *text = vkft_test_read(path, NULL);
    if (!strstr(text, part))
        fail_msg("%s is not in:\n%s", part, text);
    free(text);
}

void broken_kernel_shell(const broken_kernel *f, const char *what)
{
    char command[1000];
    snprintf(command, sizeof command, "cd %s && %s", f->dir, what);
    if (system(command) != 0)
        fail_msg("%s", what);
}
