/* The few things of an operating system that vkft needs, one spelling for Linux, macOS and Windows.
 *
 * Paths, names and environment variables are UTF-8 everywhere. Every function reports failure through errno, so that
 * vkft_fail_errno can tell the user. For files and directories as a whole see file.h and directory.h, which are built
 * on this. The terminal and Ctrl-C belong to the program (host/cli), the loader of Vulkan to runtime/vk.c.
 */
#ifndef VKFT_OS_H
#define VKFT_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

/* File descriptors, -1 on failure. */
int vkft_os_open_read(const char *path); /* waits for a pipe's other end */
/* Never waits. A link is followed, or fails with ELOOP. */
int vkft_os_open_regular(const char *path, bool follow);
/* Read-write; fails with EEXIST when there is anything of this name, a link too. only_mine: nobody else may read it. */
int vkft_os_create_new(const char *path, bool only_mine);
bool vkft_os_close(int fd);
/* All of size bytes, repeating after short transfers and interrupts. Reading less than size fails with EIO. */
bool vkft_os_read(int fd, void *data, size_t size);
bool vkft_os_write_at(int fd, uint64_t offset, const void *data, size_t size);
/* What one call transfers, at most size < 2^31 bytes: how many, 0 at the end, -1 on failure. */
long long vkft_os_read_part(int fd, void *data, size_t size);
long long vkft_os_write_part(int fd, uint64_t offset, const void *data, size_t size);
bool vkft_os_sync(int fd);

/* Marks a file that this process just created as in use until it is closed; false when another process was faster and
 * removed it as unused. */
bool vkft_os_hold(int fd);
/* Removes a regular file that no process holds. False: it is held, or something else. */
bool vkft_os_remove_unheld(const char *path);
/* Creates a file that one process at a time has, with this process's number in it. -1 on failure: with errno EBUSY
 * another one has it, whose number is in *owner (0: not known); with ENOTSUP the file system has no locks. */
int vkft_os_lock_file(const char *path, long *owner);
void vkft_os_unlock_file(int fd, const char *path); /* removes it */
/* Whether another process holds it; false where it cannot be told. */
bool vkft_os_is_locked(const char *path);

/* A stream of bytes to write: replaces the file, or appends to it. NULL on failure, also where the path is a link. */
FILE *vkft_os_open_stream(const char *path, bool append);
bool vkft_os_sync_stream(FILE *stream); /* what was flushed */

/* A read-only mapping of the first size bytes (size > 0); NULL on failure. The descriptor may be closed afterwards. */
void *vkft_os_map(int fd, uint64_t size);
void vkft_os_unmap(void *address, uint64_t size);
/* Gives the pages that lie wholly inside the range back; their content is read again when touched. */
void vkft_os_drop_pages(const void *address, uint64_t size);

/* Atomically replaces `to`. */
bool vkft_os_rename(const char *from, const char *to);
bool vkft_os_rename_open(int fd, const char *from, const char *to); /* closes the file, which is `from` */
bool vkft_os_remove(const char *path);                              /* a file, or a link to anything */
/* A symbolic link. Fails with ENOTSUP on Windows, where most users may not make one. */
bool vkft_os_make_link(const char *target, const char *path);
bool vkft_os_sync_directory(const char *path);
bool vkft_os_remove_directory(const char *path); /* an empty one */
/* Succeeds when the directory exists already. only_mine: a new one is for this user alone. */
bool vkft_os_make_directory(const char *path, bool only_mine);
/* Calls visit with each entry's name except . and .., until it returns false; then *complete is false. */
bool vkft_os_list(const char *path, bool (*visit)(void *context, const char *name), void *context, bool *complete);
/* malloc'ed. Links are resolved and the path must exist, but on Windows, which does neither. */
char *vkft_os_absolute_path(const char *path);
/* Whether both paths lead to the same file or directory, be it through links; false where one of them leads nowhere. */
bool vkft_os_is_same(const char *a, const char *b);

typedef struct vkft_os_info {
    bool is_directory, is_regular;
    bool is_link;      /* of vkft_os_stat_entry alone */
    bool is_read_only; /* nobody may write, although root could */
    bool is_mine;      /* belongs to this user, or to root, whom everybody has to trust */
    uint64_t size;
    int64_t modified_ns; /* since 1970 */
    int64_t changed_ns;  /* the same of names, owners and rights too, which no program can set back; 0: not known */
    uint64_t number;     /* of the file in its file system; 0: not known */
} vkft_os_info;
bool vkft_os_stat(const char *path, vkft_os_info *info);
bool vkft_os_stat_open(int fd, vkft_os_info *info);
/* The same of what the directory holds under this name: a link, and not what it leads to. */
bool vkft_os_stat_entry(const char *path, vkft_os_info *info);

/* Opens /dev/null in the place of standard input, output and error where they are closed: the next file that is opened
 * would get their number, and what the program prints. */
void vkft_os_open_standard_streams(void);

/* The value of an environment variable, malloc'ed; NULL when it is not set or empty. */
char *vkft_os_environment(const char *name);
/* The user's cache directory: $XDG_CACHE_HOME if absolute, else ~/.cache, where $HOME is absolute; %LOCALAPPDATA% on
 * Windows. malloc'ed; NULL when there is none. */
char *vkft_os_user_cache_directory(void);

double vkft_os_seconds(void);      /* of a clock that only runs forward */
double vkft_os_wall_seconds(void); /* since 1970, of the clock that people read */
double vkft_os_cpu_seconds(void);  /* CPU time of all threads of this process */
uint64_t
vkft_os_memory_available(void);     /* bytes that a program could get now; UINT64_MAX when the system does not tell */
void vkft_os_sleep(double seconds); /* or less, when a signal comes */
/* Bytes that nobody can guess. */
bool vkft_os_random_bytes(void *bytes, size_t size);
bool vkft_os_is_separator(char c);                   /* of the parts of a path */
bool vkft_os_utc(int64_t seconds, struct tm *parts); /* seconds since 1970 */
long vkft_os_process_id(void);
uint32_t vkft_os_core_count(void); /* at least 1 */
/* "Linux 6.1.0-18-amd64 x86_64": the system and its version, for reports. */
void vkft_os_name(char *text, size_t size);

#endif
