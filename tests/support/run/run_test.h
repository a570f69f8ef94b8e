/* Small runs of the program over a tiny model with four rows to train on and two to validate with, all below one
 * directory; names are relative to it. */
#ifndef VKFT_TEST_RUN_TEST_H
#define VKFT_TEST_RUN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/types.h>

#define VKFT_TEST_RUN_FLAGS "--batch-size 2 --gradient-accumulation-steps 1 --max-seq-length 16 --quant fp32 --lora-r 2"

typedef struct vkft_test_run_fixture {
    char *dir;
    char model[512], data[512]; /* the model, and d/train.jsonl beside d/valid.jsonl */
} vkft_test_run_fixture;

/* Of a group: *state becomes the fixture. */
int vkft_test_run_set_up(void **state);
int vkft_test_run_tear_down(void **state);

/* Trains into `out`; fails the test unless the exit code is `code`. Returns what was said; to free. */
char *vkft_test_train(const vkft_test_run_fixture *f, const char *out, int code, const char *more);
void vkft_test_train_ok(const vkft_test_run_fixture *f, const char *out, const char *more);
/* Fails the test unless what was said, which it frees, has this part. */
void vkft_test_run_says(char *err, const char *part);

/* Starts a run with these flags. */
pid_t vkft_test_run_start(const vkft_test_run_fixture *f, const char *out, const char *more);
/* Sends the run a signal (0: none) and waits for its end; returns its exit code, 128 + signal when killed. Fails the
 * test unless it has said this. */
int vkft_test_run_end(const vkft_test_run_fixture *f, pid_t pid, int number, const char *message);
void vkft_test_run_wait_for(const vkft_test_run_fixture *f, const char *name);

/* The whole path; good for the next three calls. */
const char *vkft_test_run_at(const vkft_test_run_fixture *f, const char *name);
bool vkft_test_run_is_there(const vkft_test_run_fixture *f, const char *name);
void vkft_test_run_present(const vkft_test_run_fixture *f, const char *name);
void vkft_test_run_absent(const vkft_test_run_fixture *f, const char *name);
void vkft_test_run_put(const vkft_test_run_fixture *f, const char *name, const char *text);
void vkft_test_run_holds(const vkft_test_run_fixture *f, const char *name, const char *text);
void vkft_test_run_drop(const vkft_test_run_fixture *f, const char *name);

#endif
