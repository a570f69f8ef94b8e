/* See local_copy.h. */
#include "host/hub/cache/local_copy.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/size.h"

enum { BLOCK_BYTES = 8 << 20 };

typedef struct local_copy {
    const vkft_observer *observer;
    uint64_t done_bytes, total_bytes;
} local_copy;

static bool interrupted(const local_copy *c, vkft_err *err)
{
    return vkft_observer_interrupted(c->observer) && !vkft_fail(err, VKFT_ERR_INTERRUPTED, "interrupted");
}

static uint64_t block_size(const vkft_mapping *file, uint64_t offset)
{
    return min_u64(file->size - offset, BLOCK_BYTES);
}

/* *missing: there is nothing at this path. */
static bool find_missing(const char *path, bool *missing, vkft_err *err)
{
    bool is_file, is_directory;
    if (!vkft_file_find(path, &is_file, err) || !vkft_directory_find(path, &is_directory, err))
        return false;
    *missing = !is_file && !is_directory;
    return true;
}

/* Error: what is at `to` is not the same as the file. */
static bool compare(const local_copy *c, const vkft_mapping *file, const char *to, vkft_err *err)
{
    vkft_mapping there;
    if (!vkft_mapping_open(to, &there, err))
        return false;
    bool same = there.size == file->size, stopped = false;
    for (uint64_t at = 0; same && !stopped && at < file->size; at += BLOCK_BYTES) {
        uint64_t size = block_size(file, at);
        same = memcmp(there.data + at, file->data + at, (size_t)size) == 0;
        vkft_mapping_drop(&there, at, size);
        vkft_mapping_drop(file, at, size);
        stopped = interrupted(c, err);
    }
    vkft_mapping_close(&there);
    if (!same)
        vkft_fail(err, VKFT_ERR_INPUT,
                  "'%s' is there with another content than the hub's; move it away, or choose another directory", to);
    return same && !stopped;
}

static bool copy(local_copy *c, const vkft_mapping *file, const char *to, vkft_err *err)
{
    char *parent = vkft_path_parent(to);
    bool ok = parent ? vkft_directory_create(parent, err) : vkft_fail_memory(err, "for a path");
    free(parent);
    vkft_writer *writer = ok ? vkft_writer_open(to, err) : NULL;
    ok = writer != NULL;
    for (uint64_t at = 0; ok && at < file->size; at += BLOCK_BYTES) {
        uint64_t size = block_size(file, at);
        ok = !interrupted(c, err) && vkft_writer_append(writer, file->data + at, (size_t)size, err);
        vkft_mapping_drop(file, at, size);
        c->done_bytes += size;
        vkft_observer_work(c->observer, "copying", c->done_bytes, c->total_bytes);
    }
    if (ok)
        return vkft_writer_commit(writer, err);
    vkft_writer_abandon(writer);
    return false;
}

/* first: nothing is written yet; what is there is compared, and what is not is counted. */
static bool visit(local_copy *c, const char *from, const char *to, bool first, vkft_err *err)
{
    vkft_mapping file;
    bool missing;
    if (!find_missing(to, &missing, err))
        return false;
    if (!missing && !first)
        return true;
    if (!vkft_mapping_open(from, &file, err))
        return false;
    bool ok = true;
    if (!missing)
        ok = compare(c, &file, to, err);
    else if (first)
        c->total_bytes += file.size;
    else
        ok = copy(c, &file, to, err);
    vkft_mapping_close(&file);
    return ok;
}

bool vkft_hub_copy_wanted(const vkft_hub_listing *listing, const char *snapshot, const char *dir,
                          const vkft_observer *observer, vkft_err *err)
{
    local_copy c = {.observer = observer};
    bool ok = true;
    for (uint32_t i = 0; ok && i < 2 * listing->count; i++) {
        const vkft_hub_file *file = &listing->files[i % listing->count];
        if (!file->wanted)
            continue;
        char *from = vkft_path_join(snapshot, file->path), *to = vkft_path_join(dir, file->path);
        ok = from && to ? visit(&c, from, to, i < listing->count, err) : vkft_fail_memory(err, "for a path");
        free(from);
        free(to);
    }
    return ok && vkft_directory_create(dir, err);
}
