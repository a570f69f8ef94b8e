/* See listing.h. */
#include "host/hub/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/directory.h"
#include "runtime/base/file.h"
#include "runtime/base/json.h"
#include "runtime/base/os/os.h"
#include "runtime/base/text.h"

enum { MAX_FILES = 1000000, MAX_DEPTH = 16 };

static bool add(vkft_hub_listing *listing, const char *path, uint64_t size, const char *hash, vkft_err *err)
{
    uint32_t n = listing->count;
    if (n == MAX_FILES)
        return vkft_fail(err, VKFT_ERR_INPUT, "more than %d files", MAX_FILES);
    if ((n & (n - 1)) == 0) { /* twice as many whenever a power of two is full */
        vkft_hub_file *grown = realloc(listing->files, (n ? 2 * (size_t)n : 1) * sizeof *grown);
        if (!grown)
            return vkft_fail_memory(err, "for the list of files");
        listing->files = grown;
    }
    vkft_hub_file *f = &listing->files[n];
    *f = (vkft_hub_file){.path = vkft_string_copy(path), .size = size};
    snprintf(f->hash, sizeof f->hash, "%s", hash);
    if (!f->path)
        return vkft_fail_memory(err, "for the list of files");
    listing->count++;
    return true;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const vkft_hub_file *)a)->path, ((const vkft_hub_file *)b)->path);
}

static void sort(vkft_hub_listing *listing)
{
    if (listing->count)
        qsort(listing->files, listing->count, sizeof *listing->files, by_path);
}

static bool add_sibling(vkft_hub_listing *listing, const cJSON *entry, const char *where, vkft_err *err)
{
    const char *path = NULL, *hash = NULL;
    uint64_t size = 0;
    const cJSON *lfs = NULL;
    if (!vkft_json_get_string(entry, "rfilename", true, &path, where, err) ||
        !vkft_json_get_object(entry, "lfs", false, &lfs, where, err) ||
        !vkft_json_get_u64(lfs ? lfs : entry, "size", true, &size, where, err) ||
        !vkft_json_get_string(lfs ? lfs : entry, lfs ? "sha256" : "blobId", true, &hash, where, err))
        return vkft_fail_context(err, "the hub's list of files");
    if (!vkft_hub_is_path(path))
        return vkft_fail(err, VKFT_ERR_INPUT,
                         "%s: the hub lists a file whose path leads out of the repository, or is none", where);
    if (!vkft_hub_is_hash(hash, lfs ? VKFT_HUB_SHA256_DIGITS : VKFT_HUB_SHA1_DIGITS))
        return vkft_fail(err, VKFT_ERR_INPUT, "%s: %.200s: what the hub has as its hash is none", where, path);
    return add(listing, path, size, hash, err);
}

bool vkft_hub_listing_parse(const char *text, size_t length, const vkft_hub_name *name, vkft_hub_listing *listing,
                            vkft_err *err)
{
    *listing = (vkft_hub_listing){0};
    const char *where = name->repository, *commit = NULL;
    const cJSON *siblings = NULL, *entry;
    cJSON *root = vkft_json_parse(text, length, where, err);
    bool ok =
        root &&
        (cJSON_IsObject(root) || vkft_fail(err, VKFT_ERR_INPUT, "%s: the hub's answer is no list of files", where)) &&
        vkft_json_get_string(root, "sha", true, &commit, where, err) &&
        vkft_json_get_array(root, "siblings", true, &siblings, where, err) &&
        (vkft_hub_is_hash(commit, VKFT_HUB_SHA1_DIGITS) ||
         vkft_fail(err, VKFT_ERR_INPUT, "%s: what the hub has as its commit is none", where));
    if (ok)
        snprintf(listing->commit, sizeof listing->commit, "%s", commit);
    if (ok)
        cJSON_ArrayForEach(entry, siblings)
        {
            ok = ok && add_sibling(listing, entry, where, err);
        }
    cJSON_Delete(root);
    if (!ok)
        vkft_hub_listing_free(listing);
    sort(listing);
    return ok;
}

/* --- a directory of the cache ------------------------------------------------------------------------------------- */

typedef struct walk {
    vkft_hub_listing *listing;
    const char *root, *below; /* "" for the root itself */
    int depth;
    vkft_err *err;
} walk;

static bool walk_into(const walk *w);

static bool visit(void *context, const char *name)
{
    const walk *w = context;
    char *path = *w->below ? vkft_path_join(w->below, name) : vkft_string_copy(name);
    char *whole = path ? vkft_path_join(w->root, path) : NULL;
    vkft_os_info info;
    bool ok = whole ? true : vkft_fail_memory(w->err, "while looking into the cache");
    if (ok && vkft_os_stat(whole, &info)) { /* not a link that leads nowhere */
        if (info.is_directory && w->depth < MAX_DEPTH)
            ok = walk_into(&(walk){w->listing, w->root, path, w->depth + 1, w->err});
        else if (info.is_regular)
            ok = add(w->listing, path, info.size, "", w->err);
    }
    free(path);
    free(whole);
    return ok;
}

static bool walk_into(const walk *w)
{
    char *path = *w->below ? vkft_path_join(w->root, w->below) : vkft_string_copy(w->root);
    bool ok = path ? vkft_directory_list(path, visit, (void *)(uintptr_t)w, w->err)
                   : vkft_fail_memory(w->err, "while looking into the cache");
    free(path);
    return ok;
}

bool vkft_hub_listing_of_directory(const char *dir, vkft_hub_listing *listing, vkft_err *err)
{
    *listing = (vkft_hub_listing){0};
    snprintf(listing->commit, sizeof listing->commit, "%s", vkft_path_base(dir));
    bool ok = walk_into(&(walk){listing, dir, "", 0, err});
    if (!ok)
        vkft_hub_listing_free(listing);
    sort(listing);
    return ok;
}

void vkft_hub_listing_free(vkft_hub_listing *listing)
{
    for (uint32_t i = 0; i < listing->count; i++)
        free(listing->files[i].path);
    free(listing->files);
    *listing = (vkft_hub_listing){0};
}

vkft_hub_file *vkft_hub_listing_find(const vkft_hub_listing *listing, const char *path)
{
    const vkft_hub_file key = {.path = (char *)(uintptr_t)path};
    return listing->count ? bsearch(&key, listing->files, listing->count, sizeof *listing->files, by_path) : NULL;
}
