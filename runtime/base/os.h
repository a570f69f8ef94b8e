/* The few things of an operating system that the formats need, one spelling for Linux, macOS and Windows.
 *
 * Paths are UTF-8 everywhere. Every function reports failure through errno, so that vkft_fail_errno can tell the user.
 * Internal to formats; others use file_io.h.
 */
#ifndef VKFT_OS_H
#define VKFT_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* File descriptors, -1 on failure. */
int vkft_os_open_read(const char *path);
int vkft_os_create_new(const char *path); /* read-write; fails with EEXIST when the file exists */
bool vkft_os_close(int fd);
bool vkft_os_size(int fd, uint64_t *size);
/* All of size bytes, repeating after short transfers and interrupts. Reading less than size fails with EIO. */
bool vkft_os_read(int fd, void *data, size_t size);
bool vkft_os_write_at(int fd, uint64_t offset, const void *data, size_t size);
bool vkft_os_sync(int fd);

/* A read-only mapping of the first size bytes (size > 0); NULL on failure. The descriptor may be closed afterwards. */
void *vkft_os_map(int fd, uint64_t size);
void vkft_os_unmap(void *address, uint64_t size);
/* Gives the pages that lie wholly inside the range back; their content is read again when touched. */
void vkft_os_drop_pages(const void *address, uint64_t size);

/* Atomically replaces `to`. */
bool vkft_os_rename(const char *from, const char *to);
bool vkft_os_remove(const char *path);
bool vkft_os_sync_directory(const char *path);
bool vkft_os_make_directory(const char *path); /* succeeds when the directory exists already */
char *vkft_os_absolute_path(const char *path); /* malloc'ed, links resolved; the path must exist */

typedef struct vkft_os_info {
    bool is_directory, is_regular;
    bool is_read_only; /* nobody may write, although root could */
    uint64_t size;
    int64_t modified_ns; /* since 1970 */
} vkft_os_info;
bool vkft_os_stat(const char *path, vkft_os_info *info);

/* The user's cache directory ("$XDG_CACHE_HOME", "~/.cache", "%LOCALAPPDATA%"), malloc'ed; NULL when there is none. */
char *vkft_os_cache_directory(void);
long vkft_os_process_id(void);
uint32_t vkft_os_core_count(void); /* at least 1 */

#endif
