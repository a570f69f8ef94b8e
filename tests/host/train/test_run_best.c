/* Writing the best of a run: what fails halfway leaves nothing, and the best before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "host/train/run/run_directory.h"
#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "tests/support/expect.h"
#include "tests/support/program.h"

typedef struct writing {
    bool fails;
} writing;

static bool write_adapter(const void *context, const char *dir, vkft_err *err)
{
    const writing *w = context;
    char *path = vkft_path_join(dir, "adapter_model.safetensors");
    bool ok = vkft_file_write(path, "new", 3, err);
    free(path);
    return ok && (!w->fails || vkft_fail(err, VKFT_ERR_IO, "the disk is full"));
}

static bool exists(const char *dir, const char *name)
{
    char path[700];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return vkft_file_exists(path) || vkft_directory_exists(path);
}

static void test_failed_write(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_run_directory run;
    char *dir = vkft_test_directory();
    const vkft_observer observer = {0};
    const vkft_run_place place = {.path = dir};
    cJSON *history = cJSON_CreateArray();
    expect_ok(vkft_run_directory_open(&run, &place, &observer, &err));
    expect_ok(vkft_run_directory_begin(&run, 0, history, &err));
    expect_ok(vkft_run_directory_write_best(&run, 2, &(vkft_saver){write_adapter, &(writing){false}}, &err));
    assert_true(exists(dir, "best-2/adapter_model.safetensors"));
    expect_failure(vkft_run_directory_write_best(&run, 3, &(vkft_saver){write_adapter, &(writing){true}}, &err),
                   "the disk is full");
    assert_true(exists(dir, "best-2/adapter_model.safetensors"));
    assert_false(exists(dir, "best-3"));
    assert_false(exists(dir, "best-3.tmp"));
    /* A person's file that appeared there is nobody's to remove. */
    char path[700];
    snprintf(path, sizeof path, "%s/best-4.tmp/notes.txt", dir);
    vkft_test_copy(VKFT_PROJECT_DIR "/README.md", path);
    expect_failure(vkft_run_directory_write_best(&run, 4, &(vkft_saver){write_adapter, &(writing){true}}, &err),
                   "the disk is full");
    assert_true(exists(dir, "best-4.tmp/notes.txt"));
    expect_ok(vkft_run_directory_write_best(&run, 5, &(vkft_saver){write_adapter, &(writing){false}}, &err));
    assert_true(exists(dir, "best-5") && !exists(dir, "best-2"));
    vkft_run_directory_close(&run);
    cJSON_Delete(history);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failed_write)};
    return cmocka_run_group_tests_name("run_best", tests, NULL, NULL);
}
