/* Running the built program in a temporary directory. */
#ifndef VKFT_TEST_PROGRAM_H
#define VKFT_TEST_PROGRAM_H

#include <cjson/cJSON.h>

#include "runtime/base/error.h"

typedef struct vkft_test_result {
    int exit_code;   /* 128 + signal when killed */
    char *out, *err; /* what it printed; zero-terminated */
} vkft_test_result;

/* Runs the program with these arguments (a shell command line without the program's name). */
vkft_test_result vkft_test_program(const char *format, ...) VKFT_PRINTF(1, 2);
void vkft_test_result_free(vkft_test_result *result);
/* The same; fails the test unless the exit code is 0. */
void vkft_test_program_ok(const char *format, ...) VKFT_PRINTF(1, 2);

/* A new directory that vkft_test_remove_directory removes; malloc'ed path. */
char *vkft_test_directory(void);
void vkft_test_remove_directory(char *path);

/* One that the tests of a group share: to make and to remove it. */
int vkft_test_folder_set_up(void **state);
int vkft_test_folder_tear_down(void **state);
/* Its path, and that of what it has under this name; the latter is good for the next three calls. */
const char *vkft_test_folder(void);
const char *vkft_test_in(const char *name);

/* Copies a file, or its first max_bytes; creates the directory that `to` lies in. Fails the test when it cannot. */
void vkft_test_copy(const char *from, const char *to);
void vkft_test_copy_part(const char *from, const char *to, size_t max_bytes);

/* A whole file, zero-terminated; fails the test when it cannot be read. */
char *vkft_test_read(const char *path, size_t *size);
/* Fails the test where DIR/A/NAME and DIR/B/NAME, or without name DIR/A and DIR/B, are not the same bytes, or empty. */
void vkft_test_same_file(const char *dir, const char *a, const char *b, const char *name);
/* Rows of a .jsonl file as an array. */
cJSON *vkft_test_read_jsonl(const char *path);
cJSON *vkft_test_read_json(const char *path);

/* Sets the environment variable, or removes it where value is NULL; returns what it was, to be freed, or NULL. */
char *vkft_test_swap_environment(const char *name, const char *value);

/* The directory of shared real-world data, or NULL with a printed reason for a skip. */
const char *vkft_test_shared_data(void);

#endif
