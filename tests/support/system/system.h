/* What tests need of one operating system alone. */
#ifndef VKFT_TEST_SYSTEM_H
#define VKFT_TEST_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

/* The program under test: the one that was built, or the one that VKFT_TEST_PROGRAM names. */
const char *vkft_test_program_path(void);

/* Whether it is the program of another system, run by an emulator: without this one's signals, links and process ids.
 */
bool vkft_test_program_is_foreign(void);

/* A child ends when the test that started it has failed, where the system can do that. */
void vkft_test_end_with_parent(void);

/* Runs the program with these arguments, a command line of the shell, its output in two files; returns its exit code,
 * 128 + signal when killed. Where there is no such shell it skips the test. */
int vkft_test_run(const char *arguments, const char *out, const char *err);

/* Whether there are device files, permissions of directories and a home directory as POSIX has them. */
extern const bool vkft_test_has_posix;

/* No file of this process may become longer; 0 lifts the limit. Returns false where the system has none. */
bool vkft_test_limit_file_size(uint64_t bytes);

/* NULL removes the variable. */
void vkft_test_environment(const char *name, const char *value);

/* Whether files can be made in the directory. */
void vkft_test_set_writable(const char *dir, bool writable);

/* The file's time of modification, in ns since 1970; false where a test cannot set it. */
bool vkft_test_set_modified(const char *path, int64_t ns);

/* Makes the user `nobody` the file's owner; false where this user may not. */
bool vkft_test_give_away(const char *path);

/* Makes a link that leads to itself, of which it cannot be told what is there; false where a test cannot make one. */
bool vkft_test_make_loop(const char *path);

#endif
