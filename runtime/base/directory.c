/* Directory listing, durable renaming and removal on top of os.h. */
#include "runtime/base/directory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/file.h"
#include "runtime/base/os/os.h"

bool vkft_directory_list(const char *path, bool (*visit)(void *context, const char *name), void *context, vkft_err *err)
{
    bool complete;
    return vkft_os_list(path, visit, context, &complete) ? complete
                                                         : vkft_fail_errno(err, "cannot list the directory %s", path);
}

/* A directory that stands here itself; a link to one is an entry like a file. */
static bool is_directory_entry(const char *path)
{
    vkft_os_info info;
    return vkft_os_stat_entry(path, &info) && info.is_directory && !info.is_link;
}

bool vkft_directory_rename(const char *from, const char *to, vkft_err *err)
{
    char *parent = vkft_path_parent(to);
    if (!parent)
        return vkft_fail_memory(err, "while renaming %s", from);
    bool ok = ((!is_directory_entry(from) || vkft_os_sync_directory(from)) && vkft_os_rename(from, to) &&
               vkft_os_sync_directory(parent)) ||
              vkft_fail_errno(err, "cannot rename %s to %s", from, to);
    free(parent);
    return ok;
}

typedef struct removal {
    const char *dir;
    vkft_err *err;
} removal;

static bool remove_entry(void *context, const char *name)
{
    const removal *r = context;
    char *path = vkft_path_join(r->dir, name);
    if (!path)
        return vkft_fail_memory(r->err, "while removing %s", r->dir);
    bool ok = vkft_directory_remove(path, r->err);
    free(path);
    return ok;
}

bool vkft_directory_remove(const char *path, vkft_err *err)
{
    if (!is_directory_entry(path))
        return vkft_file_remove(path, err);
    removal r = {path, err};
    if (!vkft_directory_list(path, remove_entry, &r, err))
        return false;
    return vkft_os_remove_directory(path) || vkft_fail_errno(err, "cannot remove the directory %s", path);
}

static char *cache_root(vkft_err *err)
{
    char *path = vkft_os_environment("VKFT_CACHE_DIR");
    char *user = path ? NULL : vkft_os_user_cache_directory();
    if (user)
        path = vkft_path_join(user, "vkft");
    free(user);
    if (!path)
        vkft_fail(err, VKFT_ERR_IO, "there is no cache directory; set VKFT_CACHE_DIR");
    return path;
}

/* A link that the user made to a directory of his is one. */
static bool is_mine(const char *path, bool link_allowed, vkft_err *err)
{
    vkft_os_info info;
    if (!(link_allowed ? vkft_os_stat(path, &info) : vkft_os_stat_entry(path, &info)))
        return vkft_fail_errno(err, "cannot use the cache directory '%s'", path);
    return (info.is_mine && info.is_directory && !info.is_link) ||
           vkft_fail(err, VKFT_ERR_IO,
                     "the cache directory '%s' belongs to another user, or is a link; set VKFT_CACHE_DIR to one of "
                     "your own",
                     path);
}

char *vkft_cache_directory(const char *name, vkft_err *err)
{
    char *root = cache_root(err);
    char *path = root && name ? vkft_path_join(root, name) : NULL;
    bool ok = root && (path || !name || vkft_fail_memory(err, "for the cache directory"));
    ok = ok && vkft_directory_create_mine(root, err) && is_mine(root, true, err) &&
         (!name || (vkft_directory_create_mine(path, err) && is_mine(path, false, err)));
    char *result = ok ? name ? path : root : NULL;
    if (result != root)
        free(root);
    if (result != path)
        free(path);
    return result;
}
