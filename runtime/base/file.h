/* Files as the formats use them: mapped, read whole, or written so that a reader sees the old content or the new one,
 * never a part.
 *
 * Paths are UTF-8 and may use '/' on every system.
 */
#ifndef VKFT_FILE_H
#define VKFT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* A file mapped read-only. data is NULL when the file is empty. */
typedef struct vkft_mapping {
    const uint8_t *data;
    uint64_t size;
    bool is_mine; /* it belongs to this user, or to root */
} vkft_mapping;

/* Error: there is no such file, or it is no regular file, which is said at once. */
bool vkft_mapping_open(const char *path, vkft_mapping *mapping, vkft_err *err);
/* A file that an earlier run of this user made, for use as it is: links and files of other users are refused. */
bool vkft_mapping_open_mine(const char *path, vkft_mapping *mapping, vkft_err *err);
void vkft_mapping_close(vkft_mapping *mapping); /* zeroes it */
/* Says that these bytes are not needed for now, so that reading a large file once does not fill the memory. */
void vkft_mapping_drop(const vkft_mapping *mapping, uint64_t offset, uint64_t size);

/* Reads a whole file of at most max_bytes, or a pipe to its end. *data is malloc'ed and has a zero byte after the last
 * one. */
bool vkft_file_read(const char *path, uint64_t max_bytes, char **data, size_t *size, vkft_err *err);
/* As vkft_mapping_open_mine. */
bool vkft_file_read_mine(const char *path, uint64_t max_bytes, char **data, size_t *size, vkft_err *err);

/* Atomic replacement of a file: everything goes to a new file beside it ("<path>.<process id>.tmp"), which commit syncs
 * and renames. Any failure and abandon remove the temporary file; those of this path that a killed process left are
 * removed by the next writer. One thread at a time. */
typedef struct vkft_writer vkft_writer;
vkft_writer *vkft_writer_open(const char *path, vkft_err *err);
vkft_writer *vkft_writer_open_mine(const char *path, vkft_err *err); /* nobody else may read the file */
bool vkft_writer_append(vkft_writer *writer, const void *data, size_t size, vkft_err *err);
/* Writes anywhere; bytes never written are zero. Does not move where append continues. */
bool vkft_writer_write_at(vkft_writer *writer, uint64_t offset, const void *data, size_t size, vkft_err *err);
/* Makes the file durable and visible under its name. The writer is gone afterwards, also on failure. */
bool vkft_writer_commit(vkft_writer *writer, vkft_err *err);
void vkft_writer_abandon(vkft_writer *writer); /* NULL is fine */

/* The writer's three steps in one. */
bool vkft_file_write(const char *path, const void *data, size_t size, vkft_err *err);

/* A missing file is fine. */
bool vkft_file_remove(const char *path, vkft_err *err);
/* *found: whether there is a file or anything else that is not a directory; or a directory. Error: that cannot be told
 * (rights, a failing disk), which is not "no". */
bool vkft_file_find(const char *path, bool *found, vkft_err *err);
bool vkft_directory_find(const char *path, bool *found, vkft_err *err);
/* The same with "no" for what cannot be told: where the next step says what is wrong, or only a hint depends on it. */
bool vkft_file_exists(const char *path);
bool vkft_directory_exists(const char *path);
/* Creates the directory and those above it where they are missing, durably; _mine: for this user alone. */
bool vkft_directory_create(const char *path, vkft_err *err);
bool vkft_directory_create_mine(const char *path, vkft_err *err);
/* "<dir>/<name>", malloc'ed; NULL when out of memory. */
char *vkft_path_join(const char *dir, const char *name);
/* The directory that holds path ("." when path has none), malloc'ed; NULL when out of memory. */
char *vkft_path_parent(const char *path);
/* The part after the last separator, inside path. */
const char *vkft_path_base(const char *path);

#endif
