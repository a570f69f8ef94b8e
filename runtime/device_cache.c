/* See device_cache.h. A checksum stands before the data, because drivers are known to trust what they are given. */
#include "runtime/device_cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/device_private.h"

#define CACHE_LIMIT (256u << 20)
#define CACHE_MAGIC "VKFTPC2"

typedef struct cache_header {
    char magic[8];
    uint64_t size;
    uint64_t checksum;
} cache_header;

/* The file's path, malloc'ed, its directory created; NULL: there is no place for it. */
static char *cache_path(const vkft_device *dev, const char *kind)
{
    const vkft_device_info *info = &dev->info;
    char key[640], name[80];
    int length = snprintf(key, sizeof key, "%s|%s|%x", info->name, info->driver, info->vendor_id);
    uint64_t id = XXH3_64bits(key, (size_t)length) ^ XXH3_64bits(info->uuid, sizeof info->uuid);
    snprintf(name, sizeof name, "%.48s-%016" PRIx64 ".bin", kind, id);
    char *dir = vkft_cache_directory(NULL, NULL);
    char *path = dir ? vkft_path_join(dir, name) : NULL;
    free(dir);
    return path;
}

static bool is_valid(const cache_header *header, const void *data, size_t size)
{
    return memcmp(header->magic, CACHE_MAGIC, sizeof header->magic) == 0 && header->size == size &&
           XXH3_64bits(data, size) == header->checksum;
}

void *vkft_device_cache_read(const vkft_device *dev, const char *kind, size_t *size)
{
    char *path = cache_path(dev, kind), *file = NULL;
    cache_header header;
    size_t length;
    *size = 0;
    bool ok = path && vkft_file_read_mine(path, CACHE_LIMIT + sizeof header, &file, &length, NULL);
    free(path);
    if (!ok)
        return NULL;
    if (length > sizeof header) {
        memcpy(&header, file, sizeof header);
        if (is_valid(&header, file + sizeof header, length - sizeof header)) {
            *size = length - sizeof header;
            memmove(file, file + sizeof header, *size + 1); /* and the zero byte after it */
            return file;
        }
    }
    free(file);
    return NULL;
}

void vkft_device_cache_write(const vkft_device *dev, const char *kind, const void *data, size_t size)
{
    char *path = size > 0 && size <= CACHE_LIMIT ? cache_path(dev, kind) : NULL;
    vkft_writer *writer = path ? vkft_writer_open_mine(path, NULL) : NULL;
    const cache_header header = {.magic = CACHE_MAGIC, .size = size, .checksum = XXH3_64bits(data, size)};
    free(path);
    if (!writer)
        return;
    if (vkft_writer_append(writer, &header, sizeof header, NULL) && vkft_writer_append(writer, data, size, NULL))
        vkft_writer_commit(writer, NULL);
    else
        vkft_writer_abandon(writer);
}
