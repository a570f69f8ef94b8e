/* Mapping, whole-file reading and atomic writing on top of os.h. */
#include "runtime/base/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/os/in_use.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

/* Opens and describes; -1 with err filled on failure. regular: nothing else will do. mine: nothing of other users, and
 * nothing by way of a link. */
static int open_described(const char *path, bool regular, bool mine, vkft_os_info *info, vkft_err *err)
{
    int fd = regular ? vkft_os_open_regular(path, !mine) : vkft_os_open_read(path);
    if (fd < 0) {
        vkft_fail_errno(err, "cannot open '%s'", path);
        return -1;
    }
    bool ok = vkft_os_stat_open(fd, info) || vkft_fail_errno(err, "cannot read '%s'", path);
    if (ok && info->is_directory) { /* it opens; say it here instead of in a confusing later step */
        errno = EISDIR;
        ok = vkft_fail_errno(err, "cannot read '%s'", path);
    }
    if (ok && regular && !info->is_regular)
        ok = vkft_fail(err, VKFT_ERR_IO,
                       "cannot read '%s': it is a pipe or a device; expected a file, which can be "
                       "read more than once: write it to one first",
                       path);
    if (ok && mine && !info->is_mine)
        ok = vkft_fail(err, VKFT_ERR_IO, "'%s' belongs to another user", path);
    if (!ok) {
        vkft_os_close(fd);
        return -1;
    }
    return fd;
}

static bool map(const char *path, bool mine, vkft_mapping *mapping, vkft_err *err)
{
    vkft_os_info info;
    *mapping = (vkft_mapping){0};
    int fd = open_described(path, true, mine, &info, err);
    if (fd < 0)
        return false;
    *mapping = (vkft_mapping){.size = info.size, .is_mine = info.is_mine};
    if (mapping->size) /* an empty range cannot be mapped */
        mapping->data = vkft_os_map(fd, mapping->size);
    bool ok = mapping->data || !mapping->size || vkft_fail_errno(err, "cannot map '%s'", path);
    vkft_os_close(fd);
    if (!ok)
        *mapping = (vkft_mapping){0};
    if (mapping->data)
        vkft_in_use_map(mapping->data, mapping->size, path);
    return ok;
}

bool vkft_mapping_open(const char *path, vkft_mapping *mapping, vkft_err *err)
{
    return map(path, false, mapping, err);
}

bool vkft_mapping_open_mine(const char *path, vkft_mapping *mapping, vkft_err *err)
{
    return map(path, true, mapping, err);
}

void vkft_mapping_close(vkft_mapping *mapping)
{
    if (mapping->data) {
        vkft_in_use_unmap(mapping->data);
        vkft_os_unmap((void *)(uintptr_t)mapping->data, mapping->size);
    }
    *mapping = (vkft_mapping){0};
}

void vkft_mapping_drop(const vkft_mapping *mapping, uint64_t offset, uint64_t size)
{
    if (offset < mapping->size && size <= mapping->size - offset)
        vkft_os_drop_pages(mapping->data + offset, size);
}

static bool too_long(const char *path, uint64_t size, uint64_t max_bytes, vkft_err *err)
{
    return vkft_fail(err, VKFT_ERR_INPUT,
                     "'%s' has %s%" PRIu64 " bytes; at most %" PRIu64 " are expected in such a file", path,
                     size > max_bytes ? "" : "more than ", size, max_bytes);
}

/* What the descriptor has until its end, appended to text. */
static bool read_to_end(int fd, const char *path, uint64_t max_bytes, vkft_text *text, vkft_err *err)
{
    char part[1 << 16];
    for (;;) {
        long long n = vkft_os_read_part(fd, part, sizeof part);
        if (n == 0)
            return true;
        if (n < 0)
            return vkft_fail_errno(err, "cannot read '%s'", path);
        if ((uint64_t)n > max_bytes - text->length)
            return too_long(path, max_bytes, max_bytes, err);
        if (!vkft_text_append(text, part, (size_t)n, err))
            return vkft_fail_context(err, "while reading '%s'", path);
    }
}

static bool read_sized(int fd, const char *path, size_t size, vkft_text *text, vkft_err *err)
{
    text->data = malloc(size + 1);
    if (!text->data)
        return vkft_fail_memory(err, "while reading '%s', which has %zu bytes", path, size);
    text->length = size;
    text->data[size] = 0;
    return vkft_os_read(fd, text->data, size) || vkft_fail_errno(err, "cannot read '%s'", path);
}

/* Pipes, and the files of /proc, do not say how much they hold: what says 0 is read until it ends. */
static bool read_file(const char *path, bool mine, uint64_t max_bytes, char **data, size_t *size, vkft_err *err)
{
    vkft_os_info info;
    vkft_text text = {0};
    *data = NULL;
    *size = 0;
    int fd = open_described(path, mine, mine, &info, err);
    if (fd < 0)
        return false;
    bool sized = info.is_regular && info.size > 0;
    bool ok = !sized || (info.size <= max_bytes && info.size < SIZE_MAX) || too_long(path, info.size, max_bytes, err);
    if (ok && sized)
        ok = read_sized(fd, path, (size_t)info.size, &text, err);
    else if (ok)
        ok = vkft_text_append(&text, "", 0, err) && read_to_end(fd, path, max_bytes, &text, err);
    vkft_os_close(fd);
    if (!ok) {
        vkft_text_free(&text);
        return false;
    }
    *data = text.data;
    *size = text.length;
    return true;
}

bool vkft_file_read(const char *path, uint64_t max_bytes, char **data, size_t *size, vkft_err *err)
{
    return read_file(path, false, max_bytes, data, size, err);
}

bool vkft_file_read_mine(const char *path, uint64_t max_bytes, char **data, size_t *size, vkft_err *err)
{
    return read_file(path, true, max_bytes, data, size, err);
}

struct vkft_writer {
    int fd;
    uint64_t end; /* where append continues */
    char *path, *temporary;
};

static void writer_free(vkft_writer *writer)
{
    if (writer->temporary)
        vkft_in_use_written(writer->temporary);
    free(writer->path);
    free(writer->temporary);
    free(writer);
}

/* Where names are looked for that a process left which was killed while it wrote `base`:
 * "<base>.<digits>-<digits>.tmp".
 */
typedef struct leftovers {
    const char *parent, *base;
} leftovers;

static bool remove_leftover(void *context, const char *name)
{
    static const char digits[] = "0123456789";
    const leftovers *l = context;
    size_t length = strlen(l->base);
    if (strncmp(name, l->base, length) != 0 || name[length] != '.')
        return true;
    const char *at = name + length + 1;
    size_t process = strspn(at, digits), counter = at[process] == '-' ? strspn(at + process + 1, digits) : 0;
    if (process && counter && strcmp(at + process + 1 + counter, ".tmp") == 0) {
        char *path = vkft_path_join(l->parent, name);
        if (path)
            vkft_os_remove_unheld(path);
        free(path);
    }
    return true;
}

static void sweep(const char *path)
{
    char *parent = vkft_path_parent(path);
    leftovers l = {parent, vkft_path_base(path)};
    bool complete;
    if (parent)
        vkft_os_list(parent, remove_leftover, &l, &complete);
    free(parent);
}

static vkft_writer *open_writer(const char *path, bool only_mine, vkft_err *err)
{
    vkft_os_info info;
    if (vkft_os_stat(path, &info) && !info.is_regular) { /* renaming over a device or a pipe would remove it */
        vkft_fail(err, VKFT_ERR_INPUT, "cannot write '%s': it is not a regular file", path);
        return NULL;
    }
    vkft_writer *writer = calloc(1, sizeof *writer);
    size_t size = strlen(path) + 48;
    if (!writer || !(writer->path = vkft_string_copy(path)) || !(writer->temporary = malloc(size))) {
        vkft_fail_memory(err, "while writing '%s'", path);
        goto fail;
    }
    sweep(path);
    /* The process id keeps two programs apart; the counter only matters after a crash with the same id. */
    for (unsigned attempt = 0;; attempt++) {
        snprintf(writer->temporary, size, "%s.%ld-%u.tmp", path, vkft_os_process_id(), attempt);
        writer->fd = vkft_os_create_new(writer->temporary, only_mine);
        if (writer->fd >= 0 && vkft_os_hold(writer->fd)) {
            vkft_in_use_write(writer->temporary);
            return writer;
        }
        if (writer->fd >= 0)
            vkft_os_close(writer->fd); /* swept by another process before it was held */
        else if (errno != EEXIST || attempt == 1000) {
            vkft_fail_errno(err, "cannot create '%s'", writer->temporary);
            goto fail;
        }
    }
fail:
    if (writer)
        writer_free(writer);
    return NULL;
}

vkft_writer *vkft_writer_open(const char *path, vkft_err *err)
{
    return open_writer(path, false, err);
}

vkft_writer *vkft_writer_open_mine(const char *path, vkft_err *err)
{
    return open_writer(path, true, err);
}

bool vkft_writer_write_at(vkft_writer *writer, uint64_t offset, const void *data, size_t size, vkft_err *err)
{
    if (!vkft_os_write_at(writer->fd, offset, data, size))
        return vkft_fail_errno(err, "cannot write '%s'", writer->path);
    return true;
}

bool vkft_writer_append(vkft_writer *writer, const void *data, size_t size, vkft_err *err)
{
    bool ok = vkft_writer_write_at(writer, writer->end, data, size, err);
    writer->end += ok ? size : 0;
    return ok;
}

bool vkft_writer_commit(vkft_writer *writer, vkft_err *err)
{
    bool ok = vkft_os_sync(writer->fd) || vkft_fail_errno(err, "cannot write '%s'", writer->path);
    if (!ok)
        vkft_os_close(writer->fd);
    else if (!vkft_os_rename_open(writer->fd, writer->temporary, writer->path))
        ok = vkft_fail_errno(err, "cannot rename '%s' to '%s'", writer->temporary, writer->path);
    if (!ok)
        vkft_os_remove(writer->temporary);
    char *parent = ok ? vkft_path_parent(writer->path) : NULL;
    if (ok && !parent)
        ok = vkft_fail_memory(err, "while writing '%s'", writer->path);
    if (ok && !vkft_os_sync_directory(parent))
        ok = vkft_fail_errno(err, "cannot sync directory '%s'", parent);
    free(parent);
    writer_free(writer);
    return ok;
}

void vkft_writer_abandon(vkft_writer *writer)
{
    if (!writer)
        return;
    vkft_os_close(writer->fd);
    vkft_os_remove(writer->temporary);
    writer_free(writer);
}

bool vkft_file_write(const char *path, const void *data, size_t size, vkft_err *err)
{
    vkft_writer *writer = vkft_writer_open(path, err);
    if (!writer)
        return false;
    if (!vkft_writer_append(writer, data, size, err)) {
        vkft_writer_abandon(writer);
        return false;
    }
    return vkft_writer_commit(writer, err);
}

bool vkft_file_remove(const char *path, vkft_err *err)
{
    return vkft_os_remove(path) || errno == ENOENT || vkft_fail_errno(err, "cannot remove %s", path);
}

static bool look(const char *path, bool *found, vkft_os_info *info, vkft_err *err)
{
    *found = vkft_os_stat(path, info);
    return *found || errno == ENOENT || errno == ENOTDIR || vkft_fail_errno(err, "cannot look at '%s'", path);
}

bool vkft_file_find(const char *path, bool *found, vkft_err *err)
{
    vkft_os_info info;
    bool ok = look(path, found, &info, err);
    *found = *found && !info.is_directory;
    return ok;
}

bool vkft_directory_find(const char *path, bool *found, vkft_err *err)
{
    vkft_os_info info;
    bool ok = look(path, found, &info, err);
    *found = *found && info.is_directory;
    return ok;
}

bool vkft_file_exists(const char *path)
{
    vkft_os_info info;
    return vkft_os_stat(path, &info) && !info.is_directory;
}

bool vkft_directory_exists(const char *path)
{
    vkft_os_info info;
    return vkft_os_stat(path, &info) && info.is_directory;
}

static bool create_directory(const char *path, bool only_mine, vkft_err *err)
{
    if (vkft_directory_exists(path))
        return true;
    char *parent = vkft_path_parent(path);
    if (!parent)
        return vkft_fail_memory(err, "while creating '%s'", path);
    /* A parent as long as the path itself is the end of the recursion: a root. */
    bool ok = strlen(parent) >= strlen(path) || create_directory(parent, only_mine, err);
    if (ok && (!vkft_os_make_directory(path, only_mine) || !vkft_directory_exists(path)))
        ok = vkft_fail_errno(err, "cannot create directory '%s'", path);
    if (ok && !vkft_os_sync_directory(parent)) /* what is made durable in it must be found */
        ok = vkft_fail_errno(err, "cannot sync directory '%s'", parent);
    free(parent);
    return ok;
}

bool vkft_directory_create(const char *path, vkft_err *err)
{
    return create_directory(path, false, err);
}

bool vkft_directory_create_mine(const char *path, vkft_err *err)
{
    return create_directory(path, true, err);
}

char *vkft_path_join(const char *dir, const char *name)
{
    size_t length = strlen(dir), size = length + strlen(name) + 2;
    char *path = malloc(size);
    bool separated = length && vkft_os_is_separator(dir[length - 1]);
    if (path)
        snprintf(path, size, "%s%s%s", dir, separated ? "" : "/", name);
    return path;
}

const char *vkft_path_base(const char *path)
{
    const char *base = path;
    for (const char *p = path; *p; p++)
        if (vkft_os_is_separator(*p))
            base = p + 1;
    return base;
}

char *vkft_path_parent(const char *path)
{
    size_t length = (size_t)(vkft_path_base(path) - path);
    if (!length)
        return vkft_string_copy(".");
    while (length > 1 && vkft_os_is_separator(path[length - 1]))
        length--;
    char *parent = malloc(length + 1);
    if (parent) {
        memcpy(parent, path, length);
        parent[length] = 0;
    }
    return parent;
}
