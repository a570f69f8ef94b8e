/* A child process whose output its parent reads: this program once more, for work in which a driver may crash or hang,
 * or another one. Test: test_child */
#ifndef VKFT_OS_CHILD_H
#define VKFT_OS_CHILD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct vkft_os_child vkft_os_child;

/* arguments: after the program's name; environment: additions, "NAME=VALUE"; both end with NULL. Its output and errors
 * go to the parent, its input is empty. NULL on failure, with errno. */
vkft_os_child *vkft_os_child_start(const char *const *arguments, const char *const *environment);
/* The same of the program at this path, which is not looked for anywhere else. */
vkft_os_child *vkft_os_program_start(const char *path, const char *const *arguments, const char *const *environment);

/* The path of a program in a directory, or in the first of PATH that has it where directory is NULL; `name` is without
 * Windows' ending. malloc'ed; NULL: there is none. */
char *vkft_os_find_program(const char *directory, const char *name);

/* What it prints, at most size bytes: how many; 0 at the end; -1: nothing came within so many seconds. */
long long vkft_os_child_read(vkft_os_child *child, void *data, size_t size, double seconds);

typedef struct vkft_os_ending {
    bool crashed; /* ended by the system, or never ended */
    int code;     /* of its exit, unless crashed */
    char how[96]; /* when crashed: "signal 11 (Segmentation fault)" */
} vkft_os_ending;

/* Waits until it has ended, a few seconds at most; kill: ends it first. NULL is fine. */
void vkft_os_child_end(vkft_os_child *child, bool kill, vkft_os_ending *ending);

#endif
