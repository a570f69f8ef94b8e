/* Directories that appear and disappear as a whole: what checkpoints need. Paths are UTF-8. */
#ifndef VKFT_DIRECTORY_H
#define VKFT_DIRECTORY_H

#include <stdbool.h>

#include "runtime/base/error.h"

/* Calls visit with each entry's name except . and .., in no particular order; stops when it returns false (which is the
 * result). */
bool vkft_directory_list(const char *path, bool (*visit)(void *context, const char *name), void *context,
                         vkft_err *err);

/* Syncs `from` where it is a directory, renames it and syncs the parent: after a crash either name exists, whole. `to`
 * must not exist. */
bool vkft_directory_rename(const char *from, const char *to, vkft_err *err);

/* Removes a file, or a directory with the files in it and the directories below it. A link is removed, and what it
 * leads to is left alone. A missing path is fine. */
bool vkft_directory_remove(const char *path, vkft_err *err);

/* Where vkft keeps what it can make again (models, tokens, pipelines): $VKFT_CACHE_DIR, else vkft/ in the user's cache
 * directory; or the directory `name` in there, unless it is NULL. Created, for this user alone. The path is malloc'ed.
 * NULL: there is no such place, it cannot be made, or it belongs to another user, who could exchange what is in it. */
char *vkft_cache_directory(const char *name, vkft_err *err);

#endif
