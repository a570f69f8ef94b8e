/* See cache.h. */
#include "host/hub/cache/cache.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

/* Joins names up to a NULL. */
static char *join(vkft_err *err, const char *first, ...)
{
    va_list parts;
    char *path = vkft_string_copy(first);
    va_start(parts, first);
    for (const char *part; path && (part = va_arg(parts, const char *));) {
        char *longer = vkft_path_join(path, part);
        free(path);
        path = longer;
    }
    va_end(parts);
    if (!path)
        vkft_fail_memory(err, "for a path in the cache");
    return path;
}

bool vkft_hub_cache_open(const char *root, const vkft_hub_name *name, vkft_hub_cache *cache, vkft_err *err)
{
    char folder[240];
    const char *slash = strchr(name->repository, '/');
    snprintf(folder, sizeof folder, "%s--%.*s--%s", vkft_hub_type_name(name->type), (int)(slash - name->repository),
             name->repository, slash + 1);
    *cache = (vkft_hub_cache){.root = join(err, root, NULL),
                              .repository = join(err, root, folder, NULL),
                              .locks = join(err, root, ".locks", folder, NULL)};
    bool ok = cache->root && cache->repository && cache->locks;
    if (!ok)
        vkft_hub_cache_close(cache);
    return ok;
}

void vkft_hub_cache_close(vkft_hub_cache *cache)
{
    free(cache->root);
    free(cache->repository);
    free(cache->locks);
    *cache = (vkft_hub_cache){0};
}

char *vkft_hub_cache_blob(const vkft_hub_cache *cache, const char *hash, vkft_err *err)
{
    return join(err, cache->repository, "blobs", hash, NULL);
}

char *vkft_hub_cache_lock(const vkft_hub_cache *cache, const char *hash, vkft_err *err)
{
    char name[VKFT_HUB_HASH_SIZE + 8];
    snprintf(name, sizeof name, "%s.lock", hash);
    return join(err, cache->locks, name, NULL);
}

char *vkft_hub_cache_snapshot(const vkft_hub_cache *cache, const char *commit, vkft_err *err)
{
    return join(err, cache->repository, "snapshots", commit, NULL);
}

/* The commit that refs/REVISION holds; "" for none. */
static bool read_reference(const char *path, char commit[VKFT_HUB_SHA1_DIGITS + 1], vkft_err *err)
{
    char *text = NULL;
    size_t size;
    bool found;
    commit[0] = 0;
    if (!vkft_file_find(path, &found, err))
        return false;
    if (!found)
        return true;
    if (!vkft_file_read(path, 1000, &text, &size, err))
        return false;
    text[strcspn(text, " \r\n")] = 0;
    if (vkft_hub_is_hash(text, VKFT_HUB_SHA1_DIGITS))
        snprintf(commit, VKFT_HUB_SHA1_DIGITS + 1, "%s", text);
    free(text);
    return true;
}

bool vkft_hub_cache_find(const vkft_hub_cache *cache, const char *revision, char **dir, vkft_err *err)
{
    char commit[VKFT_HUB_SHA1_DIGITS + 1];
    char *reference = join(err, cache->repository, "refs", revision, NULL);
    *dir = NULL;
    bool ok = reference && read_reference(reference, commit, err), found = false;
    free(reference);
    if (ok && !commit[0] && vkft_hub_is_hash(revision, VKFT_HUB_SHA1_DIGITS))
        snprintf(commit, sizeof commit, "%s", revision);
    if (!ok || !commit[0])
        return ok;
    char *path = vkft_hub_cache_snapshot(cache, commit, err);
    ok = path && vkft_directory_find(path, &found, err);
    if (ok && found)
        *dir = path;
    else
        free(path);
    return ok;
}

/* Creates the directory that a path lies in. */
static bool make_parent(const char *path, vkft_err *err)
{
    char *parent = vkft_path_parent(path);
    bool ok = parent ? vkft_directory_create(parent, err) : vkft_fail_memory(err, "for a path in the cache");
    free(parent);
    return ok;
}

bool vkft_hub_cache_refer(const vkft_hub_cache *cache, const char *revision, const char *commit, vkft_err *err)
{
    if (strcmp(revision, commit) == 0)
        return true;
    char written[VKFT_HUB_SHA1_DIGITS + 1];
    char *path = join(err, cache->repository, "refs", revision, NULL);
    bool ok = path && read_reference(path, written, err);
    if (ok && strcmp(written, commit) != 0)
        ok = make_parent(path, err) && vkft_file_write(path, commit, strlen(commit), err);
    free(path);
    return ok;
}

bool vkft_hub_cache_has(const vkft_hub_cache *cache, const vkft_hub_file *file, const char *commit, bool *has,
                        vkft_err *err)
{
    char *paths[] = {vkft_hub_cache_blob(cache, file->hash, err),
                     join(err, cache->repository, "snapshots", commit, file->path, NULL)};
    bool ok = paths[0] && paths[1];
    *has = false;
    for (int i = 0; ok && !*has && i < 2; i++) {
        vkft_os_info info;
        *has = vkft_os_stat(paths[i], &info) && info.is_regular && info.size == file->size;
        if (!*has && vkft_os_stat_entry(paths[i], &info) && !info.is_directory)
            ok = vkft_file_remove(paths[i], err);
    }
    free(paths[0]);
    free(paths[1]);
    return ok;
}

/* "../../blobs/HASH" from the place of a file in its snapshot. */
static char *link_target(const vkft_hub_file *file, vkft_err *err)
{
    vkft_text text = {0};
    bool ok = vkft_text_append(&text, "../../", 6, err);
    for (const char *p = file->path; ok && *p; p++)
        ok = *p != '/' || vkft_text_append(&text, "../", 3, err);
    ok =
        ok && vkft_text_append(&text, "blobs/", 6, err) && vkft_text_append(&text, file->hash, strlen(file->hash), err);
    if (!ok)
        vkft_text_free(&text);
    return text.data;
}

/* *made: false where there are no links. */
static bool make_link(const char *target, const char *path, bool *made, vkft_err *err)
{
    *made = vkft_os_make_link(target, path) || errno == EEXIST;
    return *made || errno == ENOTSUP || errno == EPERM || errno == EOPNOTSUPP ||
           vkft_fail_errno(err, "cannot create '%s'", path);
}

/* Whether a wanted file further down the list has the same content. */
static bool comes_again(const vkft_hub_listing *listing, uint32_t i)
{
    for (uint32_t j = i + 1; j < listing->count; j++)
        if (listing->files[j].wanted && strcmp(listing->files[j].hash, listing->files[i].hash) == 0)
            return true;
    return false;
}

static bool copy(const char *from, const char *to, vkft_err *err)
{
    vkft_mapping file;
    if (!vkft_mapping_open(from, &file, err))
        return false;
    bool ok = vkft_file_write(to, file.data, (size_t)file.size, err);
    vkft_mapping_close(&file);
    return ok;
}

/* The blob itself moves there, as huggingface_hub does it. */
static bool move(const char *blob, const char *path, vkft_err *err)
{
    return vkft_os_rename(blob, path) || vkft_fail_errno(err, "cannot rename '%s' to '%s'", blob, path);
}

bool vkft_hub_cache_link(const vkft_hub_cache *cache, const vkft_hub_listing *listing, uint32_t i, vkft_err *err)
{
    const vkft_hub_file *file = &listing->files[i];
    char *blob = vkft_hub_cache_blob(cache, file->hash, err), *target = link_target(file, err),
         *path = join(err, cache->repository, "snapshots", listing->commit, file->path, NULL);
    bool ok = blob && target && path, linked = true;
    if (ok && !vkft_file_exists(path))
        ok = make_parent(path, err) && make_link(target, path, &linked, err);
    if (ok && !linked)
        ok = comes_again(listing, i) ? copy(blob, path, err) : move(blob, path, err);
    free(blob);
    free(target);
    free(path);
    return ok;
}
