/* A library for LD_PRELOAD that writes down, in order, what the program does to files below the working directory.
 *
 *   VKFT_RECORD=FILE  is created; its form is in record.h
 *
 * A stream is seen when it is flushed or closed: what its file has grown by until then is one write. Only calls that
 * succeed are written down.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/faults/record.h"

#define DESCRIPTORS 1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[4096];
static int out = -1;
static bool known[DESCRIPTORS];     /* of files below the working directory */
static uint64_t sizes[DESCRIPTORS]; /* what was seen of them */

/* Declares a pointer to the function that the wrapper of this name stands in front of. */
#define NEXT(type, name, parameters)                                                                                   \
    static type(*next) parameters;                                                                                     \
    if (!next)                                                                                                         \
    *(void **)&next = dlsym(RTLD_NEXT, #name)

static void put(const void *data, size_t size)
{
    NEXT(ssize_t, write, (int, const void *, size_t));
    for (const char *p = data; size;) {
        ssize_t n = next(out, p, size);
        if (n <= 0)
            abort();
        p += n;
        size -= (size_t)n;
    }
}

static void note(char call, int fd, uint64_t at, const void *data, size_t size)
{
    vkft_record record;
    memset(&record, 0, sizeof record);
    record.call = call;
    record.fd = fd;
    record.at = at;
    record.size = size;
    put(&record, sizeof record);
    put(data, size);
}

/* The path from the working directory; NULL: it is elsewhere. */
static const char *below(const char *path)
{
    size_t length = strlen(root);
    if (out < 0)
        return NULL;
    if (strncmp(path, root, length) == 0 && (path[length] == '/' || !path[length]))
        return path[length] ? path + length + 1 : ".";
    return path[0] == '/' || strncmp(path, "..", 2) == 0 ? NULL : path;
}

static bool is_known(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS && known[fd];
}

__attribute__((constructor)) static void start(void)
{
    NEXT(int, open64, (const char *, int, ...));
    const char *path = getenv("VKFT_RECORD");
    if (path && getcwd(root, sizeof root))
        out = next(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

static int open_as(const char *path, int flags, mode_t mode)
{
    NEXT(int, open64, (const char *, int, ...));
    pthread_mutex_lock(&lock);
    int fd = next(path, flags, mode), code = errno;
    const char *name = flags & (O_WRONLY | O_RDWR | O_CREAT | O_DIRECTORY) ? below(path) : NULL;
    if (fd >= 0 && fd < DESCRIPTORS) {
        struct stat info;
        known[fd] = name != NULL;
        sizes[fd] = fstat(fd, &info) == 0 ? (uint64_t)info.st_size : 0;
        if (name)
            note(VKFT_RECORD_OPEN, fd, 0, name, strlen(name));
        if (name && flags & O_TRUNC)
            note(VKFT_RECORD_TRUNCATE, fd, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = code;
    return fd;
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    return open_as(path, flags, mode);
}

int __open64_2(const char *path, int flags);
int __open64_2(const char *path, int flags)
{
    return open_as(path, flags, 0);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    NEXT(ssize_t, pwrite64, (int, const void *, size_t, off64_t));
    pthread_mutex_lock(&lock);
    ssize_t n = next(fd, data, size, at);
    if (n > 0 && is_known(fd))
        note(VKFT_RECORD_WRITE, fd, (uint64_t)at, data, (size_t)n);
    pthread_mutex_unlock(&lock);
    return n;
}

/* The program writes to standard streams alone without saying where. */
ssize_t write(int fd, const void *data, size_t size)
{
    NEXT(ssize_t, write, (int, const void *, size_t));
    if (is_known(fd))
        abort();
    return next(fd, data, size);
}

/* The wrapper of a function that returns 0, and what is written down then. */
#define WRAP(name, parameters, arguments, noted)                                                                       \
    int name parameters                                                                                                \
    {                                                                                                                  \
        NEXT(int, name, parameters);                                                                                   \
        pthread_mutex_lock(&lock);                                                                                     \
        int result = next arguments, code = errno;                                                                     \
        if (result == 0)                                                                                               \
            noted;                                                                                                     \
        pthread_mutex_unlock(&lock);                                                                                   \
        errno = code;                                                                                                  \
        return result;                                                                                                 \
    }

static void note_fd(char call, int fd, uint64_t at)
{
    if (is_known(fd))
        note(call, fd, at, NULL, 0);
}

static void note_path(char call, const char *path)
{
    const char *name = below(path);
    if (name)
        note(call, -1, 0, name, strlen(name));
}

static void note_rename(const char *from, const char *to)
{
    const char *a = below(from), *b = below(to);
    if (!a && !b)
        return;
    char both[2 * 4096];
    int length = a && b ? snprintf(both, sizeof both, "%s%c%s", a, 0, b) : -1;
    if (length < 0) /* into the recorded directory, or out of it */
        abort();
    note(VKFT_RECORD_RENAME, -1, 0, both, (size_t)length);
}

WRAP(fsync, (int fd), (fd), note_fd(VKFT_RECORD_SYNC, fd, 0))
WRAP(ftruncate64, (int fd, off64_t size), (fd, size), note_fd(VKFT_RECORD_TRUNCATE, fd, (uint64_t)size))
WRAP(rename, (const char *from, const char *to), (from, to), note_rename(from, to))
WRAP(mkdir, (const char *path, mode_t mode), (path, mode), note_path(VKFT_RECORD_MKDIR, path))
WRAP(unlink, (const char *path), (path), note_path(VKFT_RECORD_UNLINK, path))
WRAP(rmdir, (const char *path), (path), note_path(VKFT_RECORD_RMDIR, path))

/* What a stream's file has grown by. */
static void note_growth(int fd)
{
    char path[64], part[65536];
    if (!is_known(fd))
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int in = open64(path, O_RDONLY | O_CLOEXEC);
    for (ssize_t n; in >= 0 && (n = pread(in, part, sizeof part, (off_t)sizes[fd])) > 0; sizes[fd] += (uint64_t)n)
        note(VKFT_RECORD_WRITE, fd, sizes[fd], part, (size_t)n);
    if (in >= 0)
        close(in);
}

int fflush(FILE *file)
{
    NEXT(int, fflush, (FILE *));
    int result = next(file);
    if (file)
        note_growth(fileno(file));
    return result;
}

static void forget(int fd)
{
    if (is_known(fd))
        known[fd] = false;
}

int close(int fd)
{
    NEXT(int, close, (int));
    forget(fd);
    return next(fd);
}

int fclose(FILE *file)
{
    NEXT(int, fclose, (FILE *));
    int fd = fileno(file);
    fflush(file);
    forget(fd);
    return next(file);
}
