/* Holds the order of the tree: who may include whom, how large files and folders may be, and that comments point to
 * tests that exist. */
#ifndef VKFT_CHECK_LAYERS_H
#define VKFT_CHECK_LAYERS_H

#include <stddef.h>

/* A room: a folder with what is below it, or a module (a path without its extension). Its files may include each other
 * and whatever lies in the places that `may_include` names, separated by spaces. A file belongs to the longest room
 * that fits. */
typedef struct check_room {
    const char *path, *may_include;
} check_room;

/* A breach that is known and shall go: `from` includes `to`, or `from` alone breaks another rule (`to` is NULL). */
typedef struct check_exception {
    const char *from, *to;
} check_exception;

/* Checks the tree at root. Returns malloc'ed text, one line "file:line: what is wrong" for each breach and each
 * exception that is not needed any more; empty when all is well. Both tables end with an entry whose first member is
 * NULL. */
char *check_layers(const char *root, const check_room *rooms, const check_exception *exceptions);

#endif
