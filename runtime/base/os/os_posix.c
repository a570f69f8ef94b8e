/* os.h on Linux, macOS and other POSIX systems; empty on Windows. */
#ifndef _WIN32

#include "runtime/base/os/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

int vkft_os_open_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

int vkft_os_open_regular(const char *path, bool follow)
{
    return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
}

int vkft_os_create_new(const char *path, bool only_mine)
{
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, only_mine ? 0600 : 0666);
}

bool vkft_os_close(int fd)
{
    return close(fd) == 0;
}

long long vkft_os_read_part(int fd, void *data, size_t size)
{
    return read(fd, data, size);
}

long long vkft_os_write_part(int fd, uint64_t offset, const void *data, size_t size)
{
    return pwrite(fd, data, size, (off_t)offset);
}

bool vkft_os_sync(int fd)
{
    int result;
    do
        result = fsync(fd);
    while (result != 0 && errno == EINTR);
    return result == 0;
}

void *vkft_os_map(int fd, uint64_t size)
{
    if (size > SIZE_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    void *address = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    return address == MAP_FAILED ? NULL : address;
}

void vkft_os_unmap(void *address, uint64_t size)
{
    munmap(address, (size_t)size);
}

void vkft_os_drop_pages(const void *address, uint64_t size)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)address + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)address + (uintptr_t)size) / page * page;
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

bool vkft_os_rename(const char *from, const char *to)
{
    return rename(from, to) == 0;
}

bool vkft_os_rename_open(int fd, const char *from, const char *to)
{
    bool ok = rename(from, to) == 0; /* while it is held, see vkft_os_hold */
    int code = errno;
    close(fd);
    errno = code;
    return ok;
}

bool vkft_os_remove(const char *path)
{
    return unlink(path) == 0;
}

bool vkft_os_make_link(const char *target, const char *path)
{
    return symlink(target, path) == 0;
}

bool vkft_os_sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    /* Some network and FUSE file systems cannot sync a directory; there is nothing better to do then. */
    bool ok = fsync(fd) == 0 || errno == EINVAL || errno == ENOTSUP;
    int code = errno;
    close(fd);
    errno = code;
    return ok;
}

bool vkft_os_make_directory(const char *path, bool only_mine)
{
    return mkdir(path, only_mine ? 0700 : 0777) == 0 || errno == EEXIST;
}

char *vkft_os_absolute_path(const char *path)
{
    return realpath(path, NULL);
}

static void describe(const struct stat *st, vkft_os_info *info)
{
#ifdef __APPLE__
    struct timespec time = st->st_mtimespec, changed = st->st_ctimespec;
#else
    struct timespec time = st->st_mtim, changed = st->st_ctim;
#endif
    *info = (vkft_os_info){0};
    info->is_directory = S_ISDIR(st->st_mode);
    info->is_regular = S_ISREG(st->st_mode);
    info->is_link = S_ISLNK(st->st_mode);
    info->is_read_only = !(st->st_mode & (S_IWUSR | S_IWGRP | S_IWOTH));
    info->size = (uint64_t)st->st_size;
    info->is_mine = st->st_uid == geteuid() || st->st_uid == 0;
    info->modified_ns = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    info->changed_ns = (int64_t)changed.tv_sec * 1000000000 + changed.tv_nsec;
    info->number = (uint64_t)st->st_ino;
}

bool vkft_os_stat_open(int fd, vkft_os_info *info)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    describe(&st, info);
    return true;
}

bool vkft_os_stat(const char *path, vkft_os_info *info)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    describe(&st, info);
    return true;
}

bool vkft_os_is_same(const char *a, const char *b)
{
    struct stat one, two;
    return stat(a, &one) == 0 && stat(b, &two) == 0 && one.st_dev == two.st_dev && one.st_ino == two.st_ino;
}

bool vkft_os_stat_entry(const char *path, vkft_os_info *info)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return false;
    describe(&st, info);
    return true;
}

bool vkft_os_is_separator(char c)
{
    return c == '/';
}

bool vkft_os_utc(int64_t seconds, struct tm *parts)
{
    time_t time = (time_t)seconds;
    return gmtime_r(&time, parts) != NULL;
}

long vkft_os_process_id(void)
{
    return (long)getpid();
}

uint32_t vkft_os_core_count(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (uint32_t)n : 1;
}

void vkft_os_name(char *text, size_t size)
{
    struct utsname name;
    if (uname(&name) != 0)
        snprintf(text, size, "unknown system");
    else
        snprintf(text, size, "%s %s %s", name.sysname, name.release, name.machine);
}

FILE *vkft_os_open_stream(const char *path, bool append)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0666);
    FILE *stream = fd < 0 ? NULL : fdopen(fd, append ? "ab" : "wb");
    if (fd >= 0 && !stream)
        close(fd);
    return stream;
}

bool vkft_os_sync_stream(FILE *stream)
{
    return vkft_os_sync(fileno(stream));
}

/* As flock says it; sets errno to ENOTSUP where the file system has no locks. */
static bool try_lock(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno != EWOULDBLOCK && errno != EINTR)
        errno = ENOTSUP;
    return false;
}

/* Whether the path still leads to this open file. */
static bool is_at(int fd, const char *path)
{
    struct stat open_file, named;
    return fstat(fd, &open_file) == 0 && lstat(path, &named) == 0 && open_file.st_dev == named.st_dev &&
           open_file.st_ino == named.st_ino;
}

bool vkft_os_hold(int fd)
{
    struct stat st;
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) {
    }
    return fstat(fd, &st) != 0 || st.st_nlink > 0;
}

bool vkft_os_remove_unheld(const char *path)
{
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    bool removed =
        fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && try_lock(fd) && is_at(fd, path) && unlink(path) == 0;
    if (fd >= 0)
        close(fd);
    return removed;
}

static long read_owner(int fd)
{
    char text[32] = "";
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    return length > 0 ? strtol(text, NULL, 10) : 0;
}

int vkft_os_lock_file(const char *path, long *owner)
{
    *owner = 0;
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0)
            return -1;
        if (!try_lock(fd)) {
            int code = errno;
            *owner = read_owner(fd);
            close(fd);
            errno = code == ENOTSUP ? ENOTSUP : EBUSY;
            return -1;
        }
        char text[32];
        int length = snprintf(text, sizeof text, "%ld\n", (long)getpid());
        /* The number is for a message alone: a full disk must not stop what needs the lock. */
        if (is_at(fd, path)) {
            bool said = ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)length, 0) == length;
            (void)said;
            return fd;
        }
        close(fd); /* its owner removed it between the two calls */
    }
}

void vkft_os_unlock_file(int fd, const char *path)
{
    if (is_at(fd, path))
        unlink(path);
    close(fd);
}

bool vkft_os_is_locked(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (fd >= 0)
        close(fd);
    return locked;
}

bool vkft_os_list(const char *path, bool (*visit)(void *context, const char *name), void *context, bool *complete)
{
    DIR *dir = opendir(path);
    *complete = true;
    if (!dir)
        return false;
    errno = 0; /* what tells the end from an error, and what visit may change */
    for (struct dirent *entry; *complete && (entry = readdir(dir)); errno = 0)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            *complete = visit(context, entry->d_name);
    int code = *complete ? errno : 0;
    closedir(dir);
    errno = code;
    return code == 0;
}

void vkft_os_open_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            return; /* there is nothing better to do; the numbers below are open, so it is this one that open returns */
}

bool vkft_os_remove_directory(const char *path)
{
    return rmdir(path) == 0;
}

char *vkft_os_environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? strdup(value) : NULL;
}

char *vkft_os_user_cache_directory(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/') /* the specification ignores relative values */
        return strdup(xdg);
    if (!home || *home != '/')
        return NULL;
    size_t size = strlen(home) + sizeof "/.cache";
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/.cache", home);
    return path;
}

double vkft_os_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

double vkft_os_wall_seconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

void vkft_os_sleep(double seconds)
{
    nanosleep(&(struct timespec){(time_t)seconds, (long)(1e9 * (seconds - (double)(time_t)seconds))}, NULL);
}

bool vkft_os_random_bytes(void *bytes, size_t size)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read(fd, bytes, size) == (ssize_t)size;
    if (fd >= 0)
        close(fd);
    return ok;
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

double vkft_os_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
}

uint64_t vkft_os_memory_available(void)
{
#ifdef __linux__ /* free pages alone would leave out the page cache, which the kernel gives up on demand */
    FILE *file = fopen("/proc/meminfo", "r");
    unsigned long long kib = 0;
    char line[128];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "MemAvailable: %llu kB", &kib) == 1;
    if (file)
        fclose(file);
    return found ? (uint64_t)kib * 1024 : UINT64_MAX;
#elif defined(_SC_AVPHYS_PAGES)
    return (uint64_t)sysconf(_SC_AVPHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
#else
    return UINT64_MAX;
#endif
}

#endif
