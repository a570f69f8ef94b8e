#include "tests/fuzz/common/memory_files.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"

static struct {
    const char *name;
    const uint8_t *data;
    size_t size;
} files[4];
static size_t count;

void memory_file(const char *name, const uint8_t *data, size_t size)
{
    files[count].name = name;
    files[count].data = data;
    files[count++].size = size;
}

void memory_files_clear(void)
{
    count = 0;
}

uint8_t *join_file(const uint8_t *prefix, size_t prefix_size, size_t length_at, const uint8_t *text, size_t length,
                   size_t alignment, const uint8_t *data, size_t size, size_t *file_size)
{
    size_t start = (prefix_size + length + alignment - 1) / alignment * alignment;
    uint8_t *file = calloc(1, start + size);
    memcpy(file, prefix, prefix_size);
    for (size_t i = 0; i < 8; i++)
        file[length_at + i] = (uint8_t)((uint64_t)length >> (8 * i));
    if (length)
        memcpy(file + prefix_size, text, length);
    if (size)
        memcpy(file + start, data, size);
    *file_size = start + size;
    return file;
}

/* --- what the linker puts in the place of the functions of file.h ----------------------------------------------------
 */

bool __wrap_vkft_mapping_open(const char *path, vkft_mapping *mapping, vkft_err *err);
void __wrap_vkft_mapping_close(vkft_mapping *mapping);
bool __wrap_vkft_file_read(const char *path, uint64_t max_bytes, char **data, size_t *size, vkft_err *err);
bool __wrap_vkft_file_exists(const char *path);
bool __wrap_vkft_directory_exists(const char *path);
bool __wrap_vkft_file_find(const char *path, bool *found, vkft_err *err);
bool __wrap_vkft_directory_find(const char *path, bool *found, vkft_err *err);

static size_t find(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t i = 0;
    while (i < count && strcmp(files[i].name, name) != 0)
        i++;
    return i;
}

bool __wrap_vkft_mapping_open(const char *path, vkft_mapping *mapping, vkft_err *err)
{
    size_t i = find(path);
    *mapping = (vkft_mapping){0};
    if (i == count)
        return vkft_fail(err, VKFT_ERR_IO, "there is no '%s'", path);
    if (!files[i].size)
        return true;
    void *copy;
    if (posix_memalign(&copy, 4096, files[i].size)) /* mappings begin at a page */
        abort();
    memcpy(copy, files[i].data, files[i].size);
    *mapping = (vkft_mapping){.data = copy, .size = files[i].size, .is_mine = true};
    return true;
}

void __wrap_vkft_mapping_close(vkft_mapping *mapping)
{
    free((void *)(uintptr_t)mapping->data);
    *mapping = (vkft_mapping){0};
}

bool __wrap_vkft_file_read(const char *path, uint64_t max_bytes, char **data, size_t *size, vkft_err *err)
{
    size_t i = find(path);
    if (i == count || files[i].size > max_bytes)
        return vkft_fail(err, VKFT_ERR_IO, "there is no '%s', or it is too large", path);
    *data = malloc(files[i].size + 1);
    if (files[i].size)
        memcpy(*data, files[i].data, files[i].size);
    (*data)[ *size = files[i].size] = 0;
    return true;
}

bool __wrap_vkft_file_exists(const char *path)
{
    return find(path) < count;
}

bool __wrap_vkft_directory_exists(const char *path)
{
    return find(path) == count;
}

bool __wrap_vkft_file_find(const char *path, bool *found, vkft_err *err)
{
    (void)err;
    *found = __wrap_vkft_file_exists(path);
    return true;
}

bool __wrap_vkft_directory_find(const char *path, bool *found, vkft_err *err)
{
    (void)err;
    *found = __wrap_vkft_directory_exists(path);
    return true;
}
