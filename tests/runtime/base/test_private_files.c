/* What an earlier run of the same user made, and what somebody else put in its place: links, files of other users,
 * pipes. And a listing that fails in its middle. */
#include "tests/support/expect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "tests/support/program.h"

#define NOBODY 65534

/* readdir, which has two names, fails after this many entries; negative: never. */
static int entries_left = -1;

struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);
struct dirent64 *__real_readdir64(DIR *dir);
struct dirent64 *__wrap_readdir64(DIR *dir);

static bool entry_fails(void)
{
    if (entries_left < 0 || entries_left-- > 0)
        return false;
    errno = EIO;
    return true;
}

struct dirent *__wrap_readdir(DIR *dir)
{
    return entry_fails() ? NULL : __real_readdir(dir);
}

struct dirent64 *__wrap_readdir64(DIR *dir)
{
    return entry_fails() ? NULL : __real_readdir64(dir);
}

static bool take_entry(void *context, const char *name)
{
    (void)name;
    ++*(int *)context;
    errno = ENOENT; /* what a visitor leaves there is no error of the listing */
    return true;
}

static void failing_listing(void **state)
{
    (void)state;
    vkft_err err = {0};
    char *dir = vkft_test_directory(), name[8];
    for (int i = 0; i < 5; i++) {
        snprintf(name, sizeof name, "f%d", i);
        char *path = vkft_path_join(dir, name);
        expect_ok(vkft_file_write(path, "x", 1, &err));
        free(path);
    }
    int count = 0;
    expect_ok(vkft_directory_list(dir, take_entry, &count, &err));
    assert_int_equal(count, 5);
    entries_left = 3;
    expect_failure(vkft_directory_list(dir, take_entry, &count, &err), "cannot list the directory");
    assert_non_null(strstr(err.message, strerror(EIO)));
    entries_left = -1;
    vkft_test_remove_directory(dir);
}

/* What a child writes into a pipe arrives whole, also when it is more than the pipe holds. */
static void pipes(void **state)
{
    (void)state;
    vkft_err err = {0};
    char path[64], *data, *dir = vkft_test_directory(), *fifo = vkft_path_join(dir, "fifo");
    size_t size;
    for (uint64_t max = 300000; max >= 299999; max--) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            char *part = malloc(300000);
            memset(part, 'p', 300000);
            for (size_t at = 0; at < 300000;) {
                ssize_t n = write(ends[1], part + at, 300000 - at);
                if (n <= 0)
                    _exit(1);
                at += (size_t)n;
            }
            _exit(0);
        }
        close(ends[1]);
        snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
        if (max == 300000) {
            expect_ok(vkft_file_read(path, max, &data, &size, &err));
            assert_int_equal(size, 300000);
            assert_int_equal(data[299999], 'p');
            assert_int_equal(data[size], 0);
            free(data);
        } else {
            expect_failure(vkft_file_read(path, max, &data, &size, &err), "more than 299999 bytes");
            assert_null(data);
        }
        close(ends[0]);
        waitpid(child, NULL, 0);
    }
    vkft_mapping mapping;
    assert_int_equal(mkfifo(fifo, 0600), 0);
    expect_failure(vkft_mapping_open(fifo, &mapping, &err), "a pipe or a device"); /* at once: nobody writes */
    expect_failure(vkft_mapping_open("/dev/zero", &mapping, &err), "a pipe or a device");
    expect_failure(vkft_file_read("/dev/zero", 100000, &data, &size, &err), "more than 100000 bytes");
    expect_ok(vkft_file_read("/dev/null", 10, &data, &size, &err));
    assert_int_equal(size, 0);
    free(data);
    if (access("/proc/self/status", R_OK) == 0) { /* says it has no bytes */
        expect_ok(vkft_file_read("/proc/self/status", 1 << 20, &data, &size, &err));
        assert_non_null(strstr(data, "Name:"));
        free(data);
    }
    free(fifo);
    vkft_test_remove_directory(dir);
}

/* "No" is an answer, and that it cannot be told is another one. */
static void three_answers(void **state)
{
    (void)state;
    vkft_err err = {0};
    bool found;
    char *dir = vkft_test_directory(), *file = vkft_path_join(dir, "file"), *loop = vkft_path_join(dir, "loop"),
         *none = vkft_path_join(dir, "none"), *below = vkft_path_join(file, "below"),
         *dangling = vkft_path_join(dir, "dangling");
    expect_ok(vkft_file_write(file, "x", 1, &err));
    assert_int_equal(symlink("loop", loop) + symlink("nowhere", dangling), 0);
    const struct {
        const char *path;
        bool is_file, is_directory;
    } cases[] = {
        {file, true, false}, {dir, false, true}, {none, false, false}, {below, false, false}, {dangling, false, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        expect_ok(vkft_file_find(cases[i].path, &found, &err));
        assert_int_equal(found, cases[i].is_file);
        expect_ok(vkft_directory_find(cases[i].path, &found, &err));
        assert_int_equal(found, cases[i].is_directory);
    }
    expect_failure(vkft_file_find(loop, &found, &err), "cannot look at");
    assert_false(found);
    expect_failure(vkft_directory_find(loop, &found, &err), "cannot look at");
    assert_false(found);
    free(file), free(loop), free(none), free(below), free(dangling);
    vkft_test_remove_directory(dir);
}

static void plant(const char *target, const char *at)
{
    if (symlink(target, at) != 0)
        fail_msg("cannot plant %s", at);
}

static void expect_victim(const char *victim)
{
    size_t size;
    char *data = vkft_test_read(victim, &size);
    assert_string_equal(data, "precious");
    free(data);
}

/* Links in the place of a cached file and of every temporary name. */
static void planted_links(void **state)
{
    (void)state;
    vkft_err err = {0};
    vkft_mapping mapping;
    struct stat st;
    char *dir = vkft_test_directory(), *victim = vkft_path_join(dir, "victim"), *cache = vkft_path_join(dir, "c.bin"),
         *data, name[512];
    size_t size;
    expect_ok(vkft_file_write(victim, "precious", 8, &err));
    plant(victim, cache);
    for (int i = 0; i < 400; i++) {
        snprintf(name, sizeof name, "%s.%ld-%d.tmp", cache, (long)getpid(), i);
        plant(victim, name);
    }
    expect_failure(vkft_mapping_open_mine(cache, &mapping, &err), "cannot open");
    expect_failure(vkft_file_read_mine(cache, 100, &data, &size, &err), "cannot open");
    vkft_writer *writer = vkft_writer_open_mine(cache, &err);
    expect_ok(writer != NULL);
    expect_ok(vkft_writer_append(writer, "made again", 10, &err));
    expect_ok(vkft_writer_commit(writer, &err));
    expect_victim(victim);
    assert_int_equal(lstat(cache, &st), 0);
    assert_true(S_ISREG(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0600);
    expect_ok(vkft_file_read_mine(cache, 100, &data, &size, &err));
    assert_string_equal(data, "made again");
    free(data);

    char *own = vkft_path_join(dir, "own"), *inside = vkft_path_join(own, "m"), *before = getenv("VKFT_CACHE_DIR");
    before = before ? strdup(before) : NULL;
    setenv("VKFT_CACHE_DIR", own, 1);
    char *made = vkft_cache_directory(NULL, &err);
    expect_ok(made != NULL);
    assert_int_equal(stat(made, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    plant(dir, inside);
    assert_null(vkft_cache_directory("m", &err));
    assert_non_null(strstr(err.message, "is a link"));
    if (before)
        setenv("VKFT_CACHE_DIR", before, 1);
    else
        unsetenv("VKFT_CACHE_DIR");
    free(before);
    free(made);
    free(own);
    free(inside);
    free(victim);
    free(cache);
    vkft_test_remove_directory(dir);
}

/* Another user in a directory that everybody may write. */
static void other_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("skipped: only root can act as another user\n");
        skip();
    }
    vkft_err err = {0};
    vkft_mapping mapping;
    char *dir = vkft_test_directory(), *victim = vkft_path_join(dir, "victim"), *shared = vkft_path_join(dir, "shared"),
         *cache = vkft_path_join(shared, "c.bin"), *theirs = vkft_path_join(shared, "theirs"), *data;
    size_t size;
    expect_ok(vkft_file_write(victim, "precious", 8, &err));
    expect_ok(vkft_directory_create(shared, &err));
    assert_int_equal(chmod(dir, 0711) + chmod(shared, 0777), 0);
    pid_t root = getpid(), child = fork();
    if (child == 0) {
        char name[512];
        if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
            _exit(1);
        vkft_err ignored;
        if (!vkft_file_write(cache, "poison", 6, &ignored) || mkdir(theirs, 0777) != 0)
            _exit(2);
        for (int i = 0; i < 50; i++) {
            snprintf(name, sizeof name, "%s.%ld-%d.tmp", cache, (long)root, i);
            if (symlink(victim, name) != 0)
                _exit(3);
        }
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    expect_failure(vkft_mapping_open_mine(cache, &mapping, &err), "belongs to another user");
    expect_failure(vkft_file_read_mine(cache, 100, &data, &size, &err), "belongs to another user");
    expect_ok(vkft_mapping_open(cache, &mapping, &err)); /* what the user names may be anybody's */
    assert_false(mapping.is_mine);
    vkft_mapping_close(&mapping);
    expect_ok(vkft_file_write(cache, "mine", 4, &err));
    expect_victim(victim);
    expect_ok(vkft_file_read_mine(cache, 100, &data, &size, &err));
    assert_string_equal(data, "mine");
    free(data);

    char *before = getenv("VKFT_CACHE_DIR");
    before = before ? strdup(before) : NULL;
    setenv("VKFT_CACHE_DIR", theirs, 1);
    assert_null(vkft_cache_directory(NULL, &err));
    assert_non_null(strstr(err.message, "belongs to another user"));
    if (before)
        setenv("VKFT_CACHE_DIR", before, 1);
    else
        unsetenv("VKFT_CACHE_DIR");
    free(before);
    free(theirs);
    free(cache);
    free(shared);
    free(victim);
    vkft_test_remove_directory(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(failing_listing), cmocka_unit_test(pipes),
                                       cmocka_unit_test(three_answers), cmocka_unit_test(planted_links),
                                       cmocka_unit_test(other_user)};
    return cmocka_run_group_tests_name("private files", tests, NULL, NULL);
}
