/* See transfer.h.
 *
 * A file grows as blobs/HASH.incomplete, under the lock that huggingface_hub takes, too, and is renamed when its size
 * and hash are right. Its address names the commit and its name is its hash, so that a part of it stays right however
 * long ago it was fetched; the tag of the answer is compared all the same, before a byte is taken. (An If-Range would
 * not do: the server with the content has tags of its own.) */
#include "host/hub/transfer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

enum { LISTING_FAILURES = 3, FILE_FAILURES = 6, MAX_LISTING_BYTES = 256 << 20, READ_BYTES = 1 << 20 };

/* --- the list ----------------------------------------------------------------------------------------------------- */

static vkft_hub_start start_listing(void *context, uint64_t *from, vkft_err *err)
{
    vkft_text *text = context;
    (void)err;
    text->length = 0;
    *from = 0;
    return VKFT_HUB_SEND;
}

static bool take_listing(void *context, const char *data, size_t size, vkft_err *err)
{
    return vkft_text_append_within(context, MAX_LISTING_BYTES, data, size, err);
}

static bool end_listing(void *context, bool *whole, vkft_err *err)
{
    (void)context, (void)err;
    *whole = true;
    return true;
}

bool vkft_hub_fetch_listing(const vkft_hub_source *source, vkft_hub_listing *listing, bool *unreachable, vkft_err *err)
{
    vkft_text text = {0};
    *unreachable = false;
    *listing = (vkft_hub_listing){0};
    char *url = vkft_hub_listing_url(source->settings, source->name, err);
    const vkft_hub_get get = {.url = url,
                              .what = source->name->repository,
                              .context = &text,
                              .start = start_listing,
                              .take = take_listing,
                              .end = end_listing};
    bool ok = url && vkft_hub_run(source->settings, &get, 1, LISTING_FAILURES, source->observer, unreachable, err) &&
              vkft_hub_listing_parse(text.data ? text.data : "", text.length, source->name, listing, err);
    vkft_text_free(&text);
    free(url);
    return ok;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

#ifdef VKFT_HAVE_HUB

typedef struct transfer {
    struct transfers *all;
    const vkft_hub_file *file;
    char *url, *what, *blob, *part, *lock;
    int lock_fd; /* -1: not held */
    FILE *out;   /* the part, open while it grows */
    uint64_t size;
    uint64_t had; /* bytes of it that are from an earlier run */
    vkft_hub_digest *digest;
} transfer;

typedef struct transfers {
    const vkft_hub_source *source;
    const char *commit;
    transfer *list;
    vkft_hub_get *gets;
    uint32_t count;
    uint64_t done_bytes, total_bytes;
    bool said_busy;
} transfers;

static void report(const transfers *all)
{
    vkft_observer_work(all->source->observer, "downloading", all->done_bytes, all->total_bytes);
}

static void close_part(transfer *t)
{
    if (t->out)
        fclose(t->out);
    t->out = NULL;
    vkft_hub_digest_free(t->digest);
    t->digest = NULL;
}

static void release(transfer *t)
{
    close_part(t);
    if (t->lock_fd >= 0)
        vkft_os_close(t->lock_fd);
    t->lock_fd = -1;
}

/* Git hashes a file with a head of its own. */
static bool begin_digest(transfer *t, vkft_err *err)
{
    char head[40];
    unsigned digits = (unsigned)strlen(t->file->hash);
    int length = snprintf(head, sizeof head, "blob %" PRIu64, t->file->size) + 1; /* with its zero */
    t->size = 0;
    t->digest = vkft_hub_digest_new(digits, err);
    return t->digest && (digits != VKFT_HUB_SHA1_DIGITS || vkft_hub_digest_add(t->digest, head, (size_t)length, err));
}

/* Hashes what is there of an earlier attempt. */
static bool read_part(transfer *t, vkft_err *err)
{
    vkft_os_info info;
    if (!vkft_os_stat_entry(t->part, &info))
        return true;
    if (!info.is_regular || info.size > t->file->size)
        return vkft_file_remove(t->part, err);
    int fd = vkft_os_open_regular(t->part, false);
    char *block = malloc(READ_BYTES);
    bool ok = fd >= 0 ? block || vkft_fail_memory(err, "while reading '%s'", t->part)
                      : vkft_fail_errno(err, "cannot open '%s'", t->part);
    for (long long n = 1; ok && n > 0 && t->size < t->file->size;) {
        n = vkft_os_read_part(fd, block, READ_BYTES);
        if (n < 0)
            ok = vkft_fail_errno(err, "cannot read '%s'", t->part);
        else if (n > 0)
            ok = vkft_hub_digest_add(t->digest, block, (size_t)n, err);
        t->size += n > 0 ? (uint64_t)n : 0;
    }
    if (fd >= 0)
        vkft_os_close(fd);
    free(block);
    t->had = t->size;
    return ok;
}

static bool open_part(transfer *t, vkft_err *err)
{
    t->had = 0;
    if (!begin_digest(t, err) || !read_part(t, err))
        return false;
    t->all->total_bytes -= t->had;
    t->out = vkft_os_open_stream(t->part, true);
    return t->out || vkft_fail_errno(err, "cannot write '%s'", t->part);
}

/* *wrong: the content is not what its name says; it was removed. Else the blob has its name now. */
static bool check_and_name(transfer *t, bool *wrong, vkft_err *err)
{
    char hash[VKFT_HUB_HASH_SIZE];
    *wrong = false;
    if (!vkft_hub_digest_end(t->digest, hash, err))
        return false;
    bool synced = fflush(t->out) == 0 && vkft_os_sync_stream(t->out);
    if (!synced)
        vkft_fail_errno(err, "cannot write '%s'", t->part);
    close_part(t);
    if (!synced)
        return false;
    if (strcmp(hash, t->file->hash) != 0) {
        *wrong = true;
        t->all->done_bytes -= t->size - t->had;
        t->all->total_bytes += t->had;
        return vkft_file_remove(t->part, err);
    }
    return vkft_os_rename(t->part, t->blob) || vkft_fail_errno(err, "cannot rename '%s' to '%s'", t->part, t->blob);
}

/* Waits for no other process. Where the file system has no locks, the hash alone tells what two have mixed up. */
static bool take_lock(transfer *t, bool *busy, vkft_err *err)
{
    long owner;
    *busy = false;
    if (t->lock_fd >= 0)
        return true;
    t->lock_fd = vkft_os_lock_file(t->lock, &owner);
    if (t->lock_fd >= 0 || errno == ENOTSUP)
        return true;
    if (errno != EBUSY)
        return vkft_fail_errno(err, "cannot create '%s'", t->lock);
    if (!t->all->said_busy)
        vkft_observer_say(t->all->source->observer, "%s: another process downloads it; waiting", t->what);
    t->all->said_busy = true;
    *busy = true;
    return true;
}

static vkft_hub_start start(void *context, uint64_t *from, vkft_err *err)
{
    transfer *t = context;
    bool busy, has = false, wrong = false;
    if (!take_lock(t, &busy, err))
        return VKFT_HUB_FAILED;
    if (busy)
        return VKFT_HUB_BUSY;
    if (!t->out) {
        if (!vkft_hub_cache_has(t->all->source->cache, t->file, t->all->commit, &has, err) ||
            (!has && !open_part(t, err)))
            return VKFT_HUB_FAILED;
        if (!has && t->size == t->file->size) {
            if (!check_and_name(t, &wrong, err) || (wrong && !open_part(t, err)))
                return VKFT_HUB_FAILED;
            has = !wrong;
        } else if (has) {
            t->all->total_bytes -= t->file->size;
        }
    }
    *from = t->size;
    if (!has)
        return VKFT_HUB_SEND;
    release(t);
    report(t->all);
    return VKFT_HUB_THERE;
}

static bool head(void *context, const vkft_hub_answer *answer, vkft_err *err)
{
    const transfer *t = context;
    const char *tag = answer->tag;
    if (answer->whole != UINT64_MAX && answer->whole != t->file->size)
        return vkft_fail(err, VKFT_ERR_IO,
                         "%s: the server has %" PRIu64 " bytes of it, and the hub's list says %" PRIu64, t->what,
                         answer->whole, t->file->size);
    if (vkft_hub_is_hash(tag, (unsigned)strlen(t->file->hash)) && strcmp(tag, t->file->hash) != 0)
        return vkft_fail(err, VKFT_ERR_IO, "%s: the server has another content (%.12s...) than the hub's list says",
                         t->what, tag);
    return true;
}

static bool take(void *context, const char *data, size_t size, vkft_err *err)
{
    transfer *t = context;
    if (size > t->file->size - t->size)
        return vkft_fail(err, VKFT_ERR_IO,
                         "%s: the server sends more than the %" PRIu64 " bytes that the hub's list says", t->what,
                         t->file->size);
    if (fwrite(data, 1, size, t->out) != size)
        return vkft_fail_errno(err, "cannot write '%s'", t->part);
    t->size += size;
    t->all->done_bytes += size;
    report(t->all);
    return vkft_hub_digest_add(t->digest, data, size, err);
}

static bool end(void *context, bool *whole, vkft_err *err)
{
    transfer *t = context;
    bool wrong;
    *whole = false;
    if (t->size < t->file->size)
        return true;
    if (!check_and_name(t, &wrong, err))
        return false;
    if (wrong && t->had) /* the part of an earlier run may have been damaged: all of it, once */
        return true;
    if (wrong)
        return vkft_fail(err, VKFT_ERR_IO,
                         "%s: its content does not have the hash that the hub's list says (%.12s...); it was removed, "
                         "try again",
                         t->what, t->file->hash);
    release(t);
    *whole = true;
    return true;
}

static bool set_up(transfers *all, uint32_t i, const vkft_hub_file *file, vkft_err *err)
{
    const vkft_hub_source *source = all->source;
    transfer *t = &all->list[i];
    char part[VKFT_HUB_HASH_SIZE + 16];
    vkft_text what = {0};
    snprintf(part, sizeof part, "%s.incomplete", file->hash);
    *t = (transfer){.all = all, .file = file, .lock_fd = -1};
    t->url = vkft_hub_file_url(source->settings, source->name, all->commit, file->path, err);
    t->blob = vkft_hub_cache_blob(source->cache, file->hash, err);
    t->part = vkft_hub_cache_blob(source->cache, part, err);
    t->lock = vkft_hub_cache_lock(source->cache, file->hash, err);
    bool ok = vkft_text_append(&what, source->name->repository, strlen(source->name->repository), err) &&
              vkft_text_append(&what, ": ", 2, err) && vkft_text_append(&what, file->path, strlen(file->path), err);
    t->what = what.data;
    all->gets[i] = (vkft_hub_get){
        .url = t->url, .what = t->what, .context = t, .start = start, .head = head, .take = take, .end = end};
    return ok && t->url && t->blob && t->part && t->lock;
}

/* Whether an earlier one of the files has the same content. */
static bool is_repeated(const transfers *all, const vkft_hub_file *file)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (strcmp(all->list[i].file->hash, file->hash) == 0)
            return true;
    return false;
}

/* Those that are not there. */
static bool collect(transfers *all, const vkft_hub_listing *listing, vkft_err *err)
{
    all->list = calloc(listing->count, sizeof *all->list);
    all->gets = calloc(listing->count, sizeof *all->gets);
    bool ok = (all->list && all->gets) || vkft_fail_memory(err, "for downloads");
    for (uint32_t i = 0; ok && i < listing->count; i++) {
        const vkft_hub_file *file = &listing->files[i];
        bool has = true;
        ok = !file->wanted || vkft_hub_cache_has(all->source->cache, file, all->commit, &has, err);
        if (!ok || has || is_repeated(all, file))
            continue;
        ok = set_up(all, all->count++, file, err);
        all->total_bytes += file->size;
    }
    return ok;
}

static void free_transfers(transfers *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        transfer *t = &all->list[i];
        release(t);
        free(t->url);
        free(t->what);
        free(t->blob);
        free(t->part);
        free(t->lock);
    }
    free(all->list);
    free(all->gets);
}

static bool make_directories(const transfers *all, vkft_err *err)
{
    char *blobs = vkft_path_parent(all->list[0].blob);
    bool ok = blobs ? vkft_directory_create(blobs, err) && vkft_directory_create(all->source->cache->locks, err)
                    : vkft_fail_memory(err, "for downloads");
    free(blobs);
    return ok;
}

static bool fetch_missing(const vkft_hub_source *source, const vkft_hub_listing *listing, vkft_err *err)
{
    transfers all = {.source = source, .commit = listing->commit};
    bool ok = collect(&all, listing, err);
    if (ok && all.count) {
        char size[32];
        vkft_bytes_text(all.total_bytes, size, sizeof size);
        vkft_observer_say(source->observer, "downloading %s: %u file%s, %s", source->name->repository, all.count,
                          all.count == 1 ? "" : "s", size);
        ok = make_directories(&all, err) &&
             vkft_hub_run(source->settings, all.gets, all.count, FILE_FAILURES, source->observer, NULL, err);
        if (ok)
            vkft_observer_work(source->observer, "downloading", all.total_bytes, all.total_bytes);
    }
    free_transfers(&all);
    return ok;
}

#else /* vkft_hub_run says what is missing */

static bool fetch_missing(const vkft_hub_source *source, const vkft_hub_listing *listing, vkft_err *err)
{
    (void)listing;
    return vkft_hub_run(source->settings, NULL, 0, 0, source->observer, NULL, err);
}

#endif

bool vkft_hub_fetch_wanted(const vkft_hub_source *source, const vkft_hub_listing *listing, vkft_err *err)
{
    bool ok = fetch_missing(source, listing, err);
    for (uint32_t i = 0; ok && i < listing->count; i++)
        if (listing->files[i].wanted)
            ok = vkft_hub_cache_link(source->cache, listing, i, err);
    return ok;
}
