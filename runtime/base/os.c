/* Operating system calls of os.h.
 *
 * Windows goes through the C runtime's descriptors wherever it can, because those set errno; only mapping, renaming and
 * file times need the native interface, whose errors are translated.
 */
#include "runtime/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One call transfers at most this much: Linux stops at 2 GiB, Windows takes an unsigned int. */
#define MAX_TRANSFER ((size_t)1 << 30)

#ifdef _WIN32

#include <direct.h>
#include <io.h>
#include <process.h>
#include <windows.h>

static wchar_t *wide(const char *text)
{
    int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
    wchar_t *result = n > 0 ? malloc((size_t)n * sizeof *result) : NULL;
    if (!result) {
        errno = n > 0 ? ENOMEM : EINVAL;
        return NULL;
    }
    MultiByteToWideChar(CP_UTF8, 0, text, -1, result, n);
    return result;
}

static char *narrow(const wchar_t *text)
{
    int n = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *result = n > 0 ? malloc((size_t)n) : NULL;
    if (!result) {
        errno = ENOMEM;
        return NULL;
    }
    WideCharToMultiByte(CP_UTF8, 0, text, -1, result, n, NULL, NULL);
    return result;
}

static bool fail_native(void)
{
    switch (GetLastError()) {
    case ERROR_FILE_NOT_FOUND:
    case ERROR_PATH_NOT_FOUND: errno = ENOENT; break;
    case ERROR_ACCESS_DENIED:
    case ERROR_SHARING_VIOLATION: errno = EACCES; break;
    case ERROR_DISK_FULL:
    case ERROR_HANDLE_DISK_FULL: errno = ENOSPC; break;
    case ERROR_NOT_ENOUGH_MEMORY:
    case ERROR_COMMITMENT_LIMIT: errno = ENOMEM; break;
    default: errno = EIO; break;
    }
    return false;
}

static int open_wide(const char *path, int flags)
{
    wchar_t *name = wide(path);
    if (!name)
        return -1;
    int fd = _wopen(name, flags | _O_BINARY, _S_IREAD | _S_IWRITE);
    free(name);
    return fd;
}

int vkft_os_open_read(const char *path)
{
    return open_wide(path, _O_RDONLY);
}

int vkft_os_create_new(const char *path)
{
    return open_wide(path, _O_RDWR | _O_CREAT | _O_EXCL);
}

bool vkft_os_close(int fd)
{
    return _close(fd) == 0;
}

static long long transfer_in(int fd, void *data, size_t size)
{
    return _read(fd, data, (unsigned)size);
}

static long long transfer_out(int fd, uint64_t offset, const void *data, size_t size)
{
    if (_lseeki64(fd, (long long)offset, SEEK_SET) < 0)
        return -1;
    return _write(fd, data, (unsigned)size);
}

bool vkft_os_sync(int fd)
{
    return _commit(fd) == 0;
}

void *vkft_os_map(int fd, uint64_t size)
{
    if (size > SIZE_MAX) {
        errno = ENOMEM;
        return NULL;
    }
    HANDLE mapping = CreateFileMappingW((HANDLE)_get_osfhandle(fd), NULL, PAGE_READONLY, 0, 0, NULL);
    if (!mapping) {
        fail_native();
        return NULL;
    }
    void *address = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, (size_t)size);
    if (!address)
        fail_native();
    CloseHandle(mapping);
    return address;
}

void vkft_os_unmap(void *address, uint64_t size)
{
    (void)size;
    UnmapViewOfFile(address);
}

void vkft_os_drop_pages(const void *address, uint64_t size)
{
    /* Unlocking pages that are not locked removes them from the working set; the result is an error by design. */
    VirtualUnlock((void *)(uintptr_t)address, (size_t)size);
}

bool vkft_os_rename(const char *from, const char *to)
{
    wchar_t *wide_from = wide(from), *wide_to = wide(to);
    bool ok = wide_from && wide_to;
    if (ok && !MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        ok = fail_native();
    free(wide_from);
    free(wide_to);
    return ok;
}

bool vkft_os_remove(const char *path)
{
    wchar_t *name = wide(path);
    bool ok = name && _wunlink(name) == 0;
    free(name);
    return ok;
}

bool vkft_os_sync_directory(const char *path)
{
    (void)path; /* MOVEFILE_WRITE_THROUGH has done it */
    return true;
}

bool vkft_os_make_directory(const char *path)
{
    wchar_t *name = wide(path);
    bool ok = name && (_wmkdir(name) == 0 || errno == EEXIST);
    free(name);
    return ok;
}

char *vkft_os_absolute_path(const char *path)
{
    wchar_t *name = wide(path);
    wchar_t *full = name ? _wfullpath(NULL, name, 0) : NULL;
    char *result = full ? narrow(full) : NULL;
    free(full);
    free(name);
    return result;
}

bool vkft_os_stat(const char *path, vkft_os_info *info)
{
    wchar_t *name = wide(path);
    if (!name)
        return false;
    WIN32_FILE_ATTRIBUTE_DATA data;
    bool ok = GetFileAttributesExW(name, GetFileExInfoStandard, &data) || fail_native();
    free(name);
    if (ok) {
        int64_t ticks =
            (int64_t)((uint64_t)data.ftLastWriteTime.dwHighDateTime << 32 | data.ftLastWriteTime.dwLowDateTime);
        info->is_directory = (data.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
        info->is_regular = !(data.dwFileAttributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE));
        info->is_read_only = !info->is_directory && (data.dwFileAttributes & FILE_ATTRIBUTE_READONLY);
        info->size = (uint64_t)data.nFileSizeHigh << 32 | data.nFileSizeLow;
        info->modified_ns = (ticks - 116444736000000000) * 100; /* ticks of 100 ns since 1601 */
    }
    return ok;
}

char *vkft_os_cache_directory(void)
{
    const wchar_t *local = _wgetenv(L"LOCALAPPDATA");
    return local && *local ? narrow(local) : NULL;
}

long vkft_os_process_id(void)
{
    return _getpid();
}

uint32_t vkft_os_core_count(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwNumberOfProcessors ? info.dwNumberOfProcessors : 1;
}

bool vkft_os_size(int fd, uint64_t *size)
{
    long long n = _filelengthi64(fd);
    *size = n < 0 ? 0 : (uint64_t)n;
    return n >= 0;
}

#else

#include <sys/mman.h>
#include <unistd.h>

int vkft_os_open_read(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

int vkft_os_create_new(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
}

bool vkft_os_close(int fd)
{
    return close(fd) == 0;
}

static long long transfer_in(int fd, void *data, size_t size)
{
    return read(fd, data, size);
}

static long long transfer_out(int fd, uint64_t offset, const void *data, size_t size)
{
    return pwrite(fd, data, size, (off_t)offset);
}

bool vkft_os_sync(int fd)
{
    return fsync(fd) == 0;
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

bool vkft_os_remove(const char *path)
{
    return unlink(path) == 0;
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

bool vkft_os_make_directory(const char *path)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST;
}

char *vkft_os_absolute_path(const char *path)
{
    return realpath(path, NULL);
}

bool vkft_os_stat(const char *path, vkft_os_info *info)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
#ifdef __APPLE__
    struct timespec time = st.st_mtimespec;
#else
    struct timespec time = st.st_mtim;
#endif
    info->is_directory = S_ISDIR(st.st_mode);
    info->is_regular = S_ISREG(st.st_mode);
    info->is_read_only = !(st.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH));
    info->size = (uint64_t)st.st_size;
    info->modified_ns = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
    return true;
}

char *vkft_os_cache_directory(void)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (xdg && *xdg == '/') /* the specification ignores relative values */
        return strdup(xdg);
    if (!home || !*home)
        return NULL;
    size_t size = strlen(home) + sizeof "/.cache";
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/.cache", home);
    return path;
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

bool vkft_os_size(int fd, uint64_t *size)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if (S_ISDIR(st.st_mode)) { /* open succeeds on a directory; say it here instead of in a confusing later step */
        errno = EISDIR;
        return false;
    }
    *size = (uint64_t)st.st_size;
    return true;
}

#endif

bool vkft_os_read(int fd, void *data, size_t size)
{
    uint8_t *p = data;
    while (size) {
        long long n = transfer_in(fd, p, size < MAX_TRANSFER ? size : MAX_TRANSFER);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = EIO;
        if (n <= 0)
            return false;
        p += n;
        size -= (size_t)n;
    }
    return true;
}

bool vkft_os_write_at(int fd, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size) {
        long long n = transfer_out(fd, offset, p, size < MAX_TRANSFER ? size : MAX_TRANSFER);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            return false;
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}
