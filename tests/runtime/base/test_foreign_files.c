/* Files of others: links that are not followed, what killed writers left, and a file that one process owns. */
#include "tests/support/expect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "tests/support/program.h"

static char *linked(const char *dir, const char *name, const char *target)
{
    char *path = vkft_path_join(dir, name);
    assert_int_equal(symlink(target, path), 0);
    return path;
}

/* A link goes, in any depth; what it leads to stays, be it a directory, a file, or missing. */
static void removal_does_not_follow_links(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *kept = vkft_path_join(dir, "kept"), *file = vkft_path_join(kept, "file"),
         *run = vkft_path_join(dir, "run"), *deep = vkft_path_join(run, "a/b");
    expect_ok(vkft_directory_create(kept, &err) && vkft_directory_create(deep, &err) &&
              vkft_file_write(file, "x", 1, &err));
    char *links[] = {linked(deep, "directory", kept), linked(deep, "file", file), linked(run, "missing", "nowhere"),
                     linked(run, "circle", run)};
    expect_ok(vkft_directory_remove(run, &err));
    assert_false(vkft_directory_exists(run));
    char *itself = linked(dir, "itself", kept);
    expect_ok(vkft_directory_remove(itself, &err));
    assert_true(access(itself, F_OK) != 0);
    assert_true(vkft_file_exists(file));
    for (size_t i = 0; i < sizeof links / sizeof *links; i++)
        free(links[i]);
    free(itself);
    free(deep);
    free(run);
    free(file);
    free(kept);
    vkft_test_remove_directory(dir);
}

/* A stream is never written through a link. */
static void streams_do_not_follow_links(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *kept = vkft_path_join(dir, "kept"), *link;
    size_t size;
    expect_ok(vkft_file_write(kept, "mine", 4, &err));
    link = linked(dir, "log", kept);
    assert_null(vkft_os_open_stream(link, false));
    assert_null(vkft_os_open_stream(link, true));
    free(vkft_test_read(kept, &size));
    assert_int_equal(size, 4);
    free(link);
    free(kept);
    vkft_test_remove_directory(dir);
}

/* What a killed writer left goes when its file is written again; what another one writes now stays, and so do files of
 * other names. */
static void leftovers_are_swept(void **state)
{
    (void)state;
    static const char *const gone[] = {"f.1-0.tmp", "f.999999-17.tmp"};
    static const char *const kept[] = {"f.tmp",     "f.1-.tmp",  "f.-1.tmp", "f.1-0.tmp2",
                                       "g.1-0.tmp", "f.a-0.tmp", "f1-0.tmp", "f.d.1-0.tmp"};
    vkft_err err = {0};
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "f");
    vkft_writer *other = vkft_writer_open(path, &err);
    expect_ok(other && vkft_writer_append(other, "other", 5, &err));
    for (size_t i = 0; i < sizeof gone / sizeof *gone + sizeof kept / sizeof *kept; i++) {
        size_t n = sizeof gone / sizeof *gone;
        char *name = vkft_path_join(dir, i < n ? gone[i] : kept[i - n]);
        FILE *file = fopen(name, "wb");
        assert_non_null(file);
        fclose(file);
        free(name);
    }
    expect_ok(vkft_file_write(path, "x", 1, &err));
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++) {
        char *name = vkft_path_join(dir, gone[i]);
        assert_false(vkft_file_exists(name));
        free(name);
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        char *name = vkft_path_join(dir, kept[i]);
        assert_true(vkft_file_exists(name));
        free(name);
    }
    expect_ok(vkft_writer_commit(other, &err));
    size_t size;
    free(vkft_test_read(path, &size));
    assert_int_equal(size, 5);
    free(path);
    vkft_test_remove_directory(dir);
}

/* One process at a time; another learns its number. */
static void one_owner(void **state)
{
    (void)state;
    char *dir = vkft_test_directory(), *path = vkft_path_join(dir, "lock");
    long owner = -1;
    for (int i = 0; i < 2; i++) { /* taken again after it was given back */
        int fd = vkft_os_lock_file(path, &owner);
        assert_true(fd >= 0);
        assert_int_equal(vkft_os_lock_file(path, &owner), -1);
        assert_int_equal(errno, EBUSY);
        assert_int_equal(owner, vkft_os_process_id());
        vkft_os_unlock_file(fd, path);
        assert_false(vkft_file_exists(path));
    }
    free(path);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(removal_does_not_follow_links),
        cmocka_unit_test(streams_do_not_follow_links),
        cmocka_unit_test(leftovers_are_swept),
        cmocka_unit_test(one_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
