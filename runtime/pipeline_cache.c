/* The pipeline cache on disk: one file per device and driver, $VKFT_CACHE_DIR or the user's cache directory.
 *
 * It only saves time, so every failure is silent: a file that is missing, foreign or damaged is as good as none. A
 * checksum stands before the driver's data, because drivers are known to trust what they are given.
 */
#include "runtime/pipeline_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <direct.h>
#include <io.h>
#include <process.h>
#include <windows.h>
#define make_directory(path) _mkdir(path)
#define process_id() _getpid()
#define sync_file(file) _commit(_fileno(file))
#define replace_file(from, to) (MoveFileExA(from, to, MOVEFILE_REPLACE_EXISTING) ? 0 : -1)
#else
#include <sys/stat.h>
#include <unistd.h>
#define make_directory(path) mkdir(path, 0755)
#define process_id() getpid()
#define sync_file(file) fsync(fileno(file))
#define replace_file(from, to) rename(from, to)
#endif

#define CACHE_LIMIT (256u << 20)

typedef struct cache_header {
    char magic[8]; /* "VKFTPC1" */
    uint64_t size;
    uint64_t checksum;
} cache_header;

/* FNV-1a, 64 bits. */
static uint64_t checksum(const void *data, size_t size)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 0x100000001b3u;
    return hash;
}

/* The directory, made when missing; false: there is none. */
static bool cache_directory(char *path, size_t size)
{
    const char *own = getenv("VKFT_CACHE_DIR"), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
#ifdef _WIN32
    base = getenv("LOCALAPPDATA");
#endif
    int n;
    if (own && *own)
        n = snprintf(path, size, "%s", own);
    else if (base && *base)
        n = snprintf(path, size, "%s/vkft", base);
    else if (home && *home) {
        snprintf(path, size, "%s/.cache", home);
        make_directory(path);
        n = snprintf(path, size, "%s/.cache/vkft", home);
    } else
        return false;
    make_directory(path);
    return n > 0 && (size_t)n < size;
}

static bool cache_path(const vkft_device *dev, char *path, size_t size)
{
    char dir[800], key[640];
    if (!cache_directory(dir, sizeof dir))
        return false;
    const vkft_device_info *info = vkft_device_get_info(dev);
    snprintf(key, sizeof key, "%s|%s|%x", info->name, info->driver, info->vendor_id);
    uint64_t id = checksum(key, strlen(key)) ^ checksum(info->uuid, sizeof info->uuid);
    int n = snprintf(path, size, "%s/pipelines-%016llx.bin", dir, (unsigned long long)id);
    return n > 0 && (size_t)n < size;
}

void *vkft_pipeline_cache_read(const vkft_device *dev, size_t *size)
{
    char path[1024];
    cache_header header;
    void *data = NULL;
    *size = 0;
    FILE *file = cache_path(dev, path, sizeof path) ? fopen(path, "rb") : NULL;
    if (!file)
        return NULL;
    if (fread(&header, sizeof header, 1, file) == 1 && memcmp(header.magic, "VKFTPC1", 8) == 0 && header.size > 0 &&
        header.size <= CACHE_LIMIT)
        data = malloc(header.size);
    if (data && (fread(data, header.size, 1, file) != 1 || checksum(data, header.size) != header.checksum)) {
        free(data);
        data = NULL;
    }
    fclose(file);
    if (data)
        *size = header.size;
    return data;
}

void vkft_pipeline_cache_write(const vkft_device *dev, const void *data, size_t size)
{
    char path[1024], temporary[1100];
    if (size == 0 || size > CACHE_LIMIT || !cache_path(dev, path, sizeof path))
        return;
    snprintf(temporary, sizeof temporary, "%s.%d.tmp", path, (int)process_id());
    FILE *file = fopen(temporary, "wb");
    if (!file)
        return;
    cache_header header = {.magic = "VKFTPC1", .size = size, .checksum = checksum(data, size)};
    bool ok = fwrite(&header, sizeof header, 1, file) == 1 && fwrite(data, size, 1, file) == 1 && fflush(file) == 0 &&
              sync_file(file) == 0;
    ok = fclose(file) == 0 && ok;
    if (!ok || replace_file(temporary, path) != 0)
        remove(temporary);
}
