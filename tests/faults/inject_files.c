/* Calls of the operating system that fail, or transfer less than was asked. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/inject.h"

#define CALLER __builtin_return_address(0)

/* The wrapper of a function: fails with errno, else does what it does. */
#define WRAP(kind, type, failure, name, parameters, arguments)                                                         \
    type name parameters                                                                                               \
    {                                                                                                                  \
        static type(*next) parameters;                                                                                 \
        if (!next)                                                                                                     \
            *(void **)&next = vkft_fault_next(#name);                                                                  \
        if (vkft_fault_hits(kind, #name, CALLER)) {                                                                    \
            errno = vkft_fault_error();                                                                                \
            return failure;                                                                                            \
        }                                                                                                              \
        return next arguments;                                                                                         \
    }

/* The same for a transfer, which may also be short. */
#define WRAP_TRANSFER(kind, name, parameters, arguments, size)                                                         \
    ssize_t name parameters                                                                                            \
    {                                                                                                                  \
        static ssize_t(*next) parameters;                                                                              \
        if (!next)                                                                                                     \
            *(void **)&next = vkft_fault_next(#name);                                                                  \
        if (vkft_fault_hits(kind, #name, CALLER)) {                                                                    \
            if (!vkft_fault_is_short()) {                                                                              \
                errno = vkft_fault_error();                                                                            \
                return -1;                                                                                             \
            }                                                                                                          \
            if (size > 1)                                                                                              \
                size /= 2;                                                                                             \
        }                                                                                                              \
        return next arguments;                                                                                         \
    }

int __open64_2(const char *path, int flags);

static int open_as(const char *path, int flags, mode_t mode, const void *caller)
{
    static int (*next)(const char *, int, ...);
    if (!next)
        *(void **)&next = vkft_fault_next("open64");
    if (vkft_fault_hits((flags & O_ACCMODE) == O_RDONLY ? FAULT_READ : FAULT_WRITE, "open", caller)) {
        errno = vkft_fault_error();
        return -1;
    }
    return next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_as(path, flags, mode, CALLER);
}

int __open64_2(const char *path, int flags)
{
    return open_as(path, flags, 0, CALLER);
}

WRAP_TRANSFER(FAULT_READ, read, (int fd, void *data, size_t size), (fd, data, size), size)
WRAP_TRANSFER(FAULT_READ, pread64, (int fd, void *data, size_t size, off64_t at), (fd, data, size, at), size)
WRAP_TRANSFER(FAULT_WRITE, write, (int fd, const void *data, size_t size), (fd, data, size), size)
WRAP_TRANSFER(FAULT_WRITE, pwrite64, (int fd, const void *data, size_t size, off64_t at), (fd, data, size, at), size)

WRAP(FAULT_WRITE, FILE *, NULL, fopen64, (const char *path, const char *mode), (path, mode))
WRAP(FAULT_WRITE, FILE *, NULL, fdopen, (int fd, const char *mode), (fd, mode))
WRAP(FAULT_WRITE, int, EOF, fflush, (FILE * file), (file))
WRAP(FAULT_WRITE, int, -1, fsync, (int fd), (fd))
WRAP(FAULT_WRITE, int, -1, ftruncate64, (int fd, off64_t size), (fd, size))
WRAP(FAULT_WRITE, int, -1, rename, (const char *from, const char *to), (from, to))
WRAP(FAULT_WRITE, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
WRAP(FAULT_WRITE, int, -1, unlink, (const char *path), (path))
WRAP(FAULT_WRITE, int, -1, rmdir, (const char *path), (path))
WRAP(FAULT_WRITE, int, -1, flock, (int fd, int operation), (fd, operation))

WRAP(FAULT_READ, DIR *, NULL, opendir, (const char *path), (path))
WRAP(FAULT_READ, struct dirent64 *, NULL, readdir64, (DIR * dir), (dir))
WRAP(FAULT_READ, int, -1, stat64, (const char *path, struct stat64 *info), (path, info))
WRAP(FAULT_READ, int, -1, lstat64, (const char *path, struct stat64 *info), (path, info))
WRAP(FAULT_READ, int, -1, fstat64, (int fd, struct stat64 *info), (fd, info))
WRAP(FAULT_READ, void *, MAP_FAILED, mmap64, (void *at, size_t size, int access, int flags, int fd, off64_t offset),
     (at, size, access, flags, fd, offset))

/* These close what they were given, failing or not. */
int close(int fd)
{
    static int (*next)(int);
    if (!next)
        *(void **)&next = vkft_fault_next("close");
    bool hit = vkft_fault_hits(FAULT_WRITE, "close", CALLER);
    int result = next(fd);
    if (hit)
        errno = vkft_fault_error();
    return hit ? -1 : result;
}

int fclose(FILE *file)
{
    static int (*next)(FILE *);
    if (!next)
        *(void **)&next = vkft_fault_next("fclose");
    bool hit = vkft_fault_hits(FAULT_WRITE, "fclose", CALLER);
    int result = next(file);
    if (hit)
        errno = vkft_fault_error();
    return hit ? EOF : result;
}
