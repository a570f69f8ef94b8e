/* Directory listing, durable renaming and removal over os.h and dirent. */
#include "runtime/base/directory.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/file.h"
#include "runtime/base/os.h"

bool vkft_directory_list(const char *path, bool (*visit)(void *context, const char *name), void *context, vkft_err *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return vkft_fail_errno(err, "cannot list the directory %s", path);
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            ok = visit(context, entry->d_name);
    closedir(dir);
    return ok;
}

static char *parent_of(const char *path)
{
    size_t length = (size_t)(vkft_path_base(path) - path);
    while (length > 1 && (path[length - 1] == '/' || path[length - 1] == '\\'))
        length--;
    char *parent = malloc(length + 2);
    if (!parent)
        return NULL;
    memcpy(parent, path, length);
    parent[length] = 0;
    if (length == 0)
        memcpy(parent, ".", 2);
    return parent;
}

bool vkft_directory_rename(const char *from, const char *to, vkft_err *err)
{
    char *parent = parent_of(to);
    if (!parent)
        return vkft_fail_memory(err, "while renaming %s", from);
    bool ok = (vkft_os_sync_directory(from) && rename(from, to) == 0 && vkft_os_sync_directory(parent)) ||
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
    bool ok = vkft_directory_exists(path)
                  ? vkft_directory_remove(path, r->err)
                  : vkft_os_remove(path) || errno == ENOENT || vkft_fail_errno(r->err, "cannot remove %s", path);
    free(path);
    return ok;
}

bool vkft_directory_remove(const char *path, vkft_err *err)
{
    if (!vkft_directory_exists(path))
        return true;
    removal r = {path, err};
    if (!vkft_directory_list(path, remove_entry, &r, err))
        return false;
    return rmdir(path) == 0 || vkft_fail_errno(err, "cannot remove the directory %s", path);
}
