/* What tests of drivers that break one kernel share: the program run with such a fault (VKFT_FAULT_KERNEL of
 * inject_vulkan.c), in a directory with a model and data. */
#ifndef VKFT_BROKEN_KERNEL_H
#define VKFT_BROKEN_KERNEL_H

typedef struct broken_kernel {
    char *dir; /* cache/, model/, train.jsonl; out and err of the last run */
} broken_kernel;

/* cmocka group setup and teardown. */
int broken_kernel_setup(void **state);
int broken_kernel_teardown(void **state);

/* Runs the program with a fault, "wrong:none/rmsnorm.comp", or "" for none; returns its exit code. */
int broken_kernel_run(const broken_kernel *f, const char *fault, const char *arguments);
void broken_kernel_expect(const broken_kernel *f, const char *file, const char *part);
/* A command of the shell in the directory, which must succeed. */
void broken_kernel_shell(const broken_kernel *f, const char *what);

#endif
