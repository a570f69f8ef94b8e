/* See disk.h. Files and directories are nodes; a directory has the entries that a process sees, and those that would be
 * found after a power cut. A sync of a directory makes its entries durable in the order of the calls. A name that went
 * from one directory to another is never lost between them: who syncs one of the two syncs this in both. */
#include "tests/faults/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <xxhash.h>

#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "tests/faults/record.h"

#define NONE UINT32_MAX
#define DESCRIPTORS 1024

typedef struct content {
    uint8_t *data;
    size_t size;
    uint64_t hash;
} content;

typedef struct entry {
    char *name;
    uint32_t node;
} entry;

typedef struct listing {
    entry *list;
    uint32_t count;
} listing;

typedef struct node {
    bool is_directory;
    content now, synced;
    listing names, durable;
    bool marked;
} node;

/* A change of a directory's entries that is not durable yet: an entry becomes this node, or goes. */
typedef struct change {
    uint32_t dir, node, call;
    char *name;
    bool commits;
} change;

struct vkft_disk {
    node *nodes;
    uint32_t count;
    change *pending;
    uint32_t pending_count, call;
    uint32_t open[DESCRIPTORS];
    char said[600];
};

static void *grown(void *list, uint32_t count, size_t size)
{
    if (count & (count - 1)) /* it has room up to the next power of two */
        return list;
    list = realloc(list, (count ? 2 * (size_t)count : 1) * size);
    assert_non_null(list);
    return list;
}

static uint32_t add_node(vkft_disk *disk, bool is_directory)
{
    disk->nodes = grown(disk->nodes, disk->count, sizeof *disk->nodes);
    disk->nodes[disk->count] = (node){.is_directory = is_directory};
    disk->nodes[disk->count].now.hash = disk->nodes[disk->count].synced.hash = XXH3_64bits("", 0);
    return disk->count++;
}

static uint32_t lookup(const listing *names, const char *name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return names->list[i].node;
    return NONE;
}

static void set_entry(listing *names, const char *name, uint32_t to)
{
    uint32_t i = 0;
    while (i < names->count && strcmp(names->list[i].name, name) != 0)
        i++;
    if (to == NONE && i < names->count) {
        free(names->list[i].name);
        names->list[i] = names->list[--names->count];
    } else if (to != NONE && i == names->count) {
        names->list = realloc(names->list, (i + 1) * sizeof *names->list);
        assert_non_null(names->list);
        names->list[names->count++] = (entry){strdup(name), to};
    } else if (to != NONE) {
        names->list[i].node = to;
    }
}

static void change_entry(vkft_disk *disk, uint32_t dir, const char *name, uint32_t to)
{
    set_entry(&disk->nodes[dir].names, name, to);
    disk->pending = grown(disk->pending, disk->pending_count, sizeof *disk->pending);
    disk->pending[disk->pending_count++] = (change){.dir = dir, .node = to, .call = disk->call, .name = strdup(name)};
}

/* Makes the changes of a directory durable, and those of others that they cannot be without. */
static void commit(vkft_disk *disk, uint32_t dir)
{
    change *p = disk->pending;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < disk->count; i++)
        disk->nodes[i].marked = i == dir;
    for (uint32_t i = disk->pending_count, first; i > 0; i = first) {
        bool wanted = false;
        for (first = i; first > 0 && p[first - 1].call == p[i - 1].call; first--)
            wanted |= disk->nodes[p[first - 1].dir].marked;
        for (uint32_t k = first; wanted && k < i; k++)
            disk->nodes[p[k].dir].marked = p[k].commits = true;
    }
    for (uint32_t i = 0; i < disk->pending_count; i++) {
        if (!p[i].commits) {
            p[kept++] = p[i];
            continue;
        }
        set_entry(&disk->nodes[p[i].dir].durable, p[i].name, p[i].node);
        free(p[i].name);
    }
    disk->pending_count = kept;
}

static void set_content(content *c, const void *data, size_t size)
{
    c->data = realloc(c->data, size + 1);
    assert_non_null(c->data);
    memcpy(c->data, data, size);
    c->size = size;
    c->hash = XXH3_64bits(c->data, size);
}

static void resize(content *c, size_t size)
{
    c->data = realloc(c->data, size + 1);
    assert_non_null(c->data);
    if (size > c->size)
        memset(c->data + c->size, 0, size - c->size);
    c->size = size;
}

/* The directory that a path lies in, and its name there. */
static uint32_t parent_of(const vkft_disk *disk, const char *path, const char **name)
{
    uint32_t dir = 0;
    for (const char *end; (end = strchr(path, '/')); path = end + 1) {
        char part[256];
        snprintf(part, sizeof part, "%.*s", (int)(end - path), path);
        if (*part && strcmp(part, ".") != 0)
            dir = lookup(&disk->nodes[dir].names, part);
        assert_int_not_equal(dir, NONE);
    }
    *name = path;
    return dir;
}

static uint32_t open_node(vkft_disk *disk, const char *path)
{
    const char *name;
    uint32_t dir = parent_of(disk, path, &name), found = lookup(&disk->nodes[dir].names, name);
    if (!*name || strcmp(name, ".") == 0)
        return dir;
    if (found == NONE) {
        found = add_node(disk, false);
        change_entry(disk, dir, name, found);
    }
    return found;
}

static void rename_entry(vkft_disk *disk, const char *from, const char *to)
{
    const char *old_name, *new_name;
    uint32_t a = parent_of(disk, from, &old_name), b = parent_of(disk, to, &new_name);
    uint32_t moved = lookup(&disk->nodes[a].names, old_name);
    assert_int_not_equal(moved, NONE);
    change_entry(disk, a, old_name, NONE);
    change_entry(disk, b, new_name, moved);
}

static void apply(vkft_disk *disk, const vkft_record *r, const char *data)
{
    const char *name;
    uint32_t dir;
    node *n = r->fd >= 0 && r->call != VKFT_RECORD_OPEN ? &disk->nodes[disk->open[r->fd]] : NULL;
    switch (r->call) {
    case VKFT_RECORD_OPEN: disk->open[r->fd] = open_node(disk, data); break;
    case VKFT_RECORD_WRITE:
        if (r->at + r->size > n->now.size)
            resize(&n->now, (size_t)(r->at + r->size));
        memcpy(n->now.data + r->at, data, (size_t)r->size);
        n->now.hash = XXH3_64bits(n->now.data, n->now.size);
        break;
    case VKFT_RECORD_TRUNCATE:
        resize(&n->now, (size_t)r->at);
        n->now.hash = XXH3_64bits(n->now.data, n->now.size);
        break;
    case VKFT_RECORD_SYNC:
        if (n->is_directory)
            commit(disk, disk->open[r->fd]);
        else
            set_content(&n->synced, n->now.data ? n->now.data : (const uint8_t *)"", n->now.size);
        break;
    case VKFT_RECORD_RENAME: rename_entry(disk, data, data + strlen(data) + 1); break;
    case VKFT_RECORD_MKDIR:
        dir = parent_of(disk, data, &name);
        change_entry(disk, dir, name, add_node(disk, true));
        break;
    case VKFT_RECORD_UNLINK:
    case VKFT_RECORD_RMDIR:
        dir = parent_of(disk, data, &name);
        change_entry(disk, dir, name, NONE);
        break;
    default: fail_msg("an unknown call, %d", r->call);
    }
}

const char *vkft_disk_step(vkft_disk *disk, FILE *record)
{
    static const char *const names[128] = {
        [VKFT_RECORD_OPEN] = "open",   [VKFT_RECORD_WRITE] = "write",   [VKFT_RECORD_TRUNCATE] = "truncate",
        [VKFT_RECORD_SYNC] = "sync",   [VKFT_RECORD_RENAME] = "rename", [VKFT_RECORD_UNLINK] = "unlink",
        [VKFT_RECORD_MKDIR] = "mkdir", [VKFT_RECORD_RMDIR] = "rmdir",
    };
    vkft_record r;
    if (fread(&r, sizeof r, 1, record) != 1)
        return NULL;
    char *data = calloc(1, (size_t)r.size + 1);
    assert_non_null(data);
    assert_true(fread(data, 1, (size_t)r.size, record) == r.size);
    bool path = r.call != VKFT_RECORD_WRITE && r.size;
    disk->call++;
    apply(disk, &r, data);
    snprintf(disk->said, sizeof disk->said, "%s %.250s%s%.250s", names[(unsigned char)r.call], path ? data : "",
             r.call == VKFT_RECORD_RENAME ? " " : "", r.call == VKFT_RECORD_RENAME ? data + strlen(data) + 1 : "");
    free(data);
    return disk->said;
}

typedef struct loading {
    vkft_disk *disk;
    const char *path;
    uint32_t dir;
} loading;

static bool load_entry(void *context, const char *name)
{
    const loading *l = context;
    vkft_os_info info;
    vkft_err err;
    char path[800], *data;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", l->path, name);
    assert_true(vkft_os_stat_entry(path, &info));
    uint32_t made = add_node(l->disk, info.is_directory);
    set_entry(&l->disk->nodes[l->dir].names, name, made);
    set_entry(&l->disk->nodes[l->dir].durable, name, made);
    if (info.is_directory) {
        loading below = {l->disk, path, made};
        bool complete;
        return vkft_os_list(path, load_entry, &below, &complete);
    }
    if (!vkft_file_read(path, 1u << 30, &data, &size, &err))
        fail_msg("%s", err.message);
    set_content(&l->disk->nodes[made].now, data, size);
    set_content(&l->disk->nodes[made].synced, data, size);
    free(data);
    return true;
}

vkft_disk *vkft_disk_load(const char *dir)
{
    vkft_disk *disk = calloc(1, sizeof *disk);
    bool complete;
    assert_non_null(disk);
    loading l = {disk, dir, add_node(disk, true)};
    assert_true(vkft_os_list(dir, load_entry, &l, &complete));
    return disk;
}

void vkft_disk_free(vkft_disk *disk)
{
    for (uint32_t i = 0; i < disk->count; i++) {
        node *n = &disk->nodes[i];
        const listing both[] = {n->names, n->durable};
        for (int k = 0; k < 2; k++) {
            for (uint32_t j = 0; j < both[k].count; j++)
                free(both[k].list[j].name);
            free(both[k].list);
        }
        free(n->now.data);
        free(n->synced.data);
    }
    for (uint32_t i = 0; i < disk->pending_count; i++)
        free(disk->pending[i].name);
    free(disk->pending);
    free(disk->nodes);
    free(disk);
}

uint32_t vkft_disk_nodes(const vkft_disk *disk)
{
    return disk->count;
}

uint64_t vkft_disk_hash(const vkft_disk *disk, uint32_t number)
{
    return disk->nodes[number].now.hash;
}

static void look(const vkft_disk *disk, vkft_loss loss, uint32_t dir, const char *path, vkft_disk_view *view)
{
    const listing *names = loss == VKFT_LOSS_NAMES ? &disk->nodes[dir].durable : &disk->nodes[dir].names;
    for (uint32_t i = 0; i < names->count; i++) {
        uint32_t number = names->list[i].node;
        const node *n = &disk->nodes[number];
        const content *c = loss == VKFT_LOSS_NOTHING ? &n->now : &n->synced;
        vkft_disk_entry e = {.node = number, .is_directory = n->is_directory, .data = c->data, .size = c->size};
        snprintf(e.path, sizeof e.path, "%s%s%s", path, *path ? "/" : "", names->list[i].name);
        if (loss == VKFT_LOSS_ZEROS && c->size < n->now.size)
            e.zeros = n->now.size - c->size;
        e.hash = c->hash + e.zeros;
        view->entries = grown(view->entries, (uint32_t)view->count, sizeof *view->entries);
        view->entries[view->count++] = e;
        if (n->is_directory)
            look(disk, loss, number, e.path, view);
    }
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const vkft_disk_entry *)a)->path, ((const vkft_disk_entry *)b)->path);
}

vkft_disk_view vkft_disk_left(vkft_disk *disk, vkft_loss loss)
{
    vkft_disk_view view = {0};
    look(disk, loss, 0, "", &view);
    qsort(view.entries, view.count, sizeof *view.entries, by_path);
    return view;
}

void vkft_disk_view_free(vkft_disk_view *view)
{
    free(view->entries);
    *view = (vkft_disk_view){0};
}

const vkft_disk_entry *vkft_disk_find(const vkft_disk_view *view, const char *path)
{
    for (size_t i = 0; i < view->count; i++)
        if (strcmp(view->entries[i].path, path) == 0)
            return &view->entries[i];
    return NULL;
}

void vkft_disk_write(const vkft_disk_view *view, const char *dir)
{
    char path[1000];
    for (size_t i = 0; i < view->count; i++) { /* a directory comes before what is in it */
        const vkft_disk_entry *e = &view->entries[i];
        snprintf(path, sizeof path, "%s/%s", dir, e->path);
        if (e->is_directory) {
            assert_int_equal(mkdir(path, 0777), 0);
            continue;
        }
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_true(fwrite(e->data ? e->data : (const uint8_t *)"", 1, e->size, file) == e->size && fflush(file) == 0);
        assert_int_equal(ftruncate(fileno(file), (off_t)(e->size + e->zeros)), 0);
        fclose(file);
    }
}
