/* os.h on Windows; empty elsewhere.
 *
 * It goes through the C runtime's descriptors wherever it can, because those set errno; only mapping, renaming and file
 * times need the native interface, whose errors are translated.
 */
#ifdef _WIN32

#define _CRT_RAND_S /* declares rand_s */
#include "runtime/base/os/os.h"

#include <direct.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <process.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <wchar.h>
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

/* A path of a file. Windows takes more than 260 characters only after \\?\, and then a whole path. */
static wchar_t *wide_path(const char *path)
{
    enum { SHORT = 240 };
    wchar_t *name = wide(path);
    DWORD size = name ? GetFullPathNameW(name, 0, NULL, NULL) : 0;
    if (size <= SHORT)
        return name;
    wchar_t *whole = malloc((size + 4) * sizeof *whole);
    if (whole)
        GetFullPathNameW(name, size, whole + 4, NULL);
    else
        errno = ENOMEM;
    if (whole && wcsncmp(whole + 4, L"\\\\", 2) == 0) { /* of another machine, or prefixed already */
        free(whole);
        return name;
    }
    free(name);
    return whole ? wmemcpy(whole, L"\\\\?\\", 4) : NULL;
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
    case ERROR_INVALID_NAME: /* of a pattern, such as a*.jsonl, which no file can be called */
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
    wchar_t *name = wide_path(path);
    if (!name)
        return -1;
    int fd = _wopen(name, flags | _O_BINARY, _S_IREAD | _S_IWRITE);
    free(name);
    return fd;
}

int vkft_os_open_read(const char *path)
{
    vkft_os_info info;
    if (vkft_os_stat(path, &info) && info.is_directory) { /* Windows would call this a lack of permission */
        errno = EISDIR;
        return -1;
    }
    return open_wide(path, _O_RDONLY);
}

int vkft_os_open_regular(const char *path, bool follow)
{
    vkft_os_info info;
    if (!follow && vkft_os_stat_entry(path, &info) && info.is_link) {
        errno = EACCES;
        return -1;
    }
    return vkft_os_open_read(path);
}

int vkft_os_create_new(const char *path, bool only_mine)
{
    (void)only_mine; /* files get the rights of their directory, which is the user's */
    return open_wide(path, _O_RDWR | _O_CREAT | _O_EXCL);
}

bool vkft_os_close(int fd)
{
    return _close(fd) == 0;
}

long long vkft_os_read_part(int fd, void *data, size_t size)
{
    return _read(fd, data, (unsigned)size);
}

long long vkft_os_write_part(int fd, uint64_t offset, const void *data, size_t size)
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
    wchar_t *wide_from = wide_path(from), *wide_to = wide_path(to);
    bool ok = wide_from && wide_to;
    if (ok && !MoveFileExW(wide_from, wide_to, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH))
        ok = fail_native();
    free(wide_from);
    free(wide_to);
    return ok;
}

bool vkft_os_rename_open(int fd, const char *from, const char *to)
{
    return _close(fd) == 0 && vkft_os_rename(from, to);
}

bool vkft_os_make_link(const char *target, const char *path)
{
    (void)target, (void)path;
    errno = ENOTSUP;
    return false;
}

bool vkft_os_remove(const char *path)
{
    vkft_os_info info;
    wchar_t *name = wide_path(path);
    bool linked_directory = vkft_os_stat_entry(path, &info) && info.is_link && info.is_directory;
    bool ok = name && (linked_directory ? _wrmdir(name) == 0 : _wunlink(name) == 0);
    free(name);
    return ok;
}

bool vkft_os_hold(int fd)
{
    (void)fd; /* an open file cannot be removed */
    return true;
}

/* A file is open until just before it gets its name; an hour is far more than the time between the two. */
bool vkft_os_remove_unheld(const char *path)
{
    vkft_os_info info;
    const int64_t now = (int64_t)time(NULL) * 1000000000, hour = 3600ll * 1000000000;
    return vkft_os_stat_entry(path, &info) && info.is_regular && !info.is_link && now - info.modified_ns > hour &&
           vkft_os_remove(path);
}

static long read_owner(const wchar_t *name)
{
    HANDLE file = CreateFileW(name, GENERIC_READ, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                              OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, NULL);
    char text[32] = "";
    DWORD length = 0;
    if (file == INVALID_HANDLE_VALUE)
        return 0;
    bool ok = ReadFile(file, text, sizeof text - 1, &length, NULL);
    CloseHandle(file);
    return ok ? strtol(text, NULL, 10) : 0;
}

/* Nobody else may open it for writing while it is open, and closing removes it, however the process ends. */
int vkft_os_lock_file(const char *path, long *owner)
{
    *owner = 0;
    wchar_t *name = wide_path(path);
    if (!name)
        return -1;
    HANDLE file = CreateFileW(name, GENERIC_READ | GENERIC_WRITE | DELETE, FILE_SHARE_READ, NULL, OPEN_ALWAYS,
                              FILE_ATTRIBUTE_NORMAL | FILE_FLAG_DELETE_ON_CLOSE | FILE_FLAG_OPEN_REPARSE_POINT, NULL);
    if (file == INVALID_HANDLE_VALUE && GetLastError() == ERROR_SHARING_VIOLATION) {
        *owner = read_owner(name);
        free(name);
        errno = EBUSY;
        return -1;
    }
    free(name);
    if (file == INVALID_HANDLE_VALUE) {
        fail_native();
        return -1;
    }
    char text[32];
    DWORD written;
    int length = snprintf(text, sizeof text, "%d\n", _getpid());
    WriteFile(file, text, (DWORD)length, &written, NULL);
    return _open_osfhandle((intptr_t)file, _O_RDWR | _O_BINARY);
}

void vkft_os_unlock_file(int fd, const char *path)
{
    (void)path;
    _close(fd);
}

bool vkft_os_is_locked(const char *path)
{
    wchar_t *name = wide_path(path);
    HANDLE file = name ? CreateFileW(name, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                     OPEN_EXISTING, FILE_FLAG_OPEN_REPARSE_POINT, NULL)
                       : INVALID_HANDLE_VALUE;
    bool locked = name && file == INVALID_HANDLE_VALUE && GetLastError() == ERROR_SHARING_VIOLATION;
    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    free(name);
    return locked;
}

bool vkft_os_sync_directory(const char *path)
{
    (void)path; /* MOVEFILE_WRITE_THROUGH has done it */
    return true;
}

bool vkft_os_make_directory(const char *path, bool only_mine)
{
    (void)only_mine;
    wchar_t *name = wide_path(path);
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

/* The volume, the number and the size of what the path leads to. */
static bool identify(const char *path, BY_HANDLE_FILE_INFORMATION *info)
{
    wchar_t *name = wide_path(path);
    HANDLE file = name ? CreateFileW(name, 0, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
                                     OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL) /* directories too */
                       : INVALID_HANDLE_VALUE;
    bool ok = file != INVALID_HANDLE_VALUE && GetFileInformationByHandle(file, info);
    if (file != INVALID_HANDLE_VALUE)
        CloseHandle(file);
    free(name);
    return ok;
}

bool vkft_os_is_same(const char *a, const char *b)
{
    BY_HANDLE_FILE_INFORMATION one, two;
    return identify(a, &one) && identify(b, &two) && one.dwVolumeSerialNumber == two.dwVolumeSerialNumber &&
           one.nFileIndexHigh == two.nFileIndexHigh && one.nFileIndexLow == two.nFileIndexLow;
}

static void describe(DWORD attributes, FILETIME written, DWORD size_high, DWORD size_low, vkft_os_info *info)
{
    int64_t ticks = (int64_t)((uint64_t)written.dwHighDateTime << 32 | written.dwLowDateTime);
    *info = (vkft_os_info){.is_mine = true}; /* the user's directories are closed to others */
    info->is_directory = (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
    info->is_regular = !(attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_DEVICE));
    info->is_link = (attributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0;
    info->is_read_only = !info->is_directory && (attributes & FILE_ATTRIBUTE_READONLY);
    info->size = (uint64_t)size_high << 32 | size_low;
    info->modified_ns = (ticks - 116444736000000000) * 100; /* ticks of 100 ns since 1601 */
}

/* Attributes are those of the entry; a link to a directory has the one of a directory, too. */
static bool stat_entry(const char *path, vkft_os_info *info)
{
    wchar_t *name = wide_path(path);
    if (!name)
        return false;
    WIN32_FILE_ATTRIBUTE_DATA data;
    *info = (vkft_os_info){.is_mine = true};
    bool ok = GetFileAttributesExW(name, GetFileExInfoStandard, &data) || fail_native();
    free(name);
    if (ok)
        describe(data.dwFileAttributes, data.ftLastWriteTime, data.nFileSizeHigh, data.nFileSizeLow, info);
    return ok;
}

bool vkft_os_stat_entry(const char *path, vkft_os_info *info)
{
    return stat_entry(path, info);
}

/* What a link leads to, which has a size of its own. */
static bool stat_target(const char *path, vkft_os_info *info)
{
    BY_HANDLE_FILE_INFORMATION data;
    bool ok = identify(path, &data) || fail_native();
    if (ok)
        describe(data.dwFileAttributes, data.ftLastWriteTime, data.nFileSizeHigh, data.nFileSizeLow, info);
    return ok;
}

bool vkft_os_stat(const char *path, vkft_os_info *info)
{
    bool ok = stat_entry(path, info) && (!info->is_link || stat_target(path, info));
    info->is_link = false;
    return ok;
}

bool vkft_os_is_separator(char c)
{
    return c == '/' || c == '\\';
}

bool vkft_os_utc(int64_t seconds, struct tm *parts)
{
    time_t time = (time_t)seconds;
    return gmtime_s(parts, &time) == 0;
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

/* GetVersionEx tells programs without a manifest an old version. */
void vkft_os_name(char *text, size_t size)
{
    typedef LONG(WINAPI * get_version)(OSVERSIONINFOW *);
    HMODULE library = GetModuleHandleW(L"ntdll.dll");
    get_version get = library ? (get_version)(void *)GetProcAddress(library, "RtlGetVersion") : NULL;
    OSVERSIONINFOW v = {.dwOSVersionInfoSize = sizeof v};
    if (get && get(&v) == 0)
        snprintf(text, size, "Windows %lu.%lu.%lu", v.dwMajorVersion, v.dwMinorVersion, v.dwBuildNumber);
    else
        snprintf(text, size, "Windows");
}

bool vkft_os_stat_open(int fd, vkft_os_info *info)
{
    *info = (vkft_os_info){.is_mine = true, .is_regular = GetFileType((HANDLE)_get_osfhandle(fd)) == FILE_TYPE_DISK};
    long long n = info->is_regular ? _filelengthi64(fd) : 0;
    info->size = n < 0 ? 0 : (uint64_t)n;
    return n >= 0;
}

FILE *vkft_os_open_stream(const char *path, bool append)
{
    wchar_t *name = wide_path(path);
    vkft_os_info info;
    bool link = vkft_os_stat_entry(path, &info) && info.is_link;
    FILE *stream = name && !link ? _wfopen(name, append ? L"ab" : L"wb") : NULL;
    if (link)
        errno = EACCES;
    free(name);
    return stream;
}

bool vkft_os_sync_stream(FILE *stream)
{
    return vkft_os_sync(_fileno(stream));
}

bool vkft_os_list(const char *path, bool (*visit)(void *context, const char *name), void *context, bool *complete)
{
    wchar_t *name = wide(path);
    _WDIR *dir = name ? _wopendir(name) : NULL;
    free(name);
    *complete = true;
    if (!dir)
        return false;
    errno = 0; /* what tells the end from an error, and what visit may change */
    for (struct _wdirent *entry; *complete && (entry = _wreaddir(dir)); errno = 0) {
        if (wcscmp(entry->d_name, L".") == 0 || wcscmp(entry->d_name, L"..") == 0)
            continue;
        char *text = narrow(entry->d_name);
        if (!text) {
            _wclosedir(dir);
            errno = ENOMEM;
            return false;
        }
        *complete = visit(context, text);
        free(text);
    }
    int code = *complete ? errno : 0;
    _wclosedir(dir);
    errno = code;
    return code == 0;
}

void vkft_os_open_standard_streams(void)
{
    /* The C runtime never gives these numbers to other files. */
}

bool vkft_os_remove_directory(const char *path)
{
    wchar_t *name = wide_path(path);
    bool ok = name && _wrmdir(name) == 0;
    free(name);
    return ok;
}

char *vkft_os_environment(const char *name)
{
    wchar_t *key = wide(name);
    const wchar_t *value = key ? _wgetenv(key) : NULL;
    free(key);
    return value && *value ? narrow(value) : NULL;
}

char *vkft_os_user_cache_directory(void)
{
    return vkft_os_environment("LOCALAPPDATA");
}

double vkft_os_seconds(void)
{
    LARGE_INTEGER now, frequency;
    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&now);
    return (double)now.QuadPart / (double)frequency.QuadPart;
}

static double seconds_of(FILETIME t)
{
    return (double)((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) * 1e-7;
}

/* FILETIME counts from 1601. */
void vkft_os_sleep(double seconds)
{
    Sleep((DWORD)(1e3 * seconds));
}

bool vkft_os_random_bytes(void *bytes, size_t size)
{
    unsigned char *at = bytes;
    unsigned int value = 0;
    for (size_t i = 0; i < size; i++) {
        if (i % sizeof value == 0 && rand_s(&value) != 0)
            return false;
        at[i] = (unsigned char)(value >> 8 * (i % sizeof value));
    }
    return true;
}

double vkft_os_wall_seconds(void)
{
    FILETIME now;
    GetSystemTimeAsFileTime(&now);
    return seconds_of(now) - 11644473600.0;
}

double vkft_os_cpu_seconds(void)
{
    FILETIME created, ended, kernel, user;
    if (!GetProcessTimes(GetCurrentProcess(), &created, &ended, &kernel, &user))
        return 0;
    return seconds_of(kernel) + seconds_of(user);
}

uint64_t vkft_os_memory_available(void)
{
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullAvailPhys : UINT64_MAX;
}

#endif
