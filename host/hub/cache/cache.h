/* The cache that huggingface_hub and so transformers have, too:
 *
 *     models--OWNER--NAME/blobs/HASH                    the contents, HASH.incomplete while they come
 *                        /refs/REVISION                 the commit of a branch or a tag
 *                        /snapshots/COMMIT/PATH         links to blobs; the files themselves where there are no links
 *     .locks/models--OWNER--NAME/HASH.lock              held while one is downloaded
 *
 * All paths are malloc'ed. */
#ifndef VKFT_HUB_CACHE_H
#define VKFT_HUB_CACHE_H

#include "host/hub/listing.h"

typedef struct vkft_hub_cache {
    char *root, *repository; /* "<root>/models--OWNER--NAME" */
    char *locks;
} vkft_hub_cache;

bool vkft_hub_cache_open(const char *root, const vkft_hub_name *name, vkft_hub_cache *cache, vkft_err *err);
void vkft_hub_cache_close(vkft_hub_cache *cache);

char *vkft_hub_cache_blob(const vkft_hub_cache *cache, const char *hash, vkft_err *err);
char *vkft_hub_cache_lock(const vkft_hub_cache *cache, const char *hash, vkft_err *err);
char *vkft_hub_cache_snapshot(const vkft_hub_cache *cache, const char *commit, vkft_err *err);

/* The directory of what the cache has of a revision: a branch, a tag or a commit. *dir: NULL where there is none. */
bool vkft_hub_cache_find(const vkft_hub_cache *cache, const char *revision, char **dir, vkft_err *err);
/* Writes down the commit of a revision, unless the revision is one. */
bool vkft_hub_cache_refer(const vkft_hub_cache *cache, const char *revision, const char *commit, vkft_err *err);

/* Whether the content is there, in its size: as a blob, or at its path in the snapshot. What has another size is
 * removed. */
bool vkft_hub_cache_has(const vkft_hub_cache *cache, const vkft_hub_file *file, const char *commit, bool *has,
                        vkft_err *err);
/* Puts the files[i] of the list, whose blob is there, into the snapshot, unless it is in it. Where there are no links,
 * the blob stays only as long as a later wanted file has the same content. */
bool vkft_hub_cache_link(const vkft_hub_cache *cache, const vkft_hub_listing *listing, uint32_t i, vkft_err *err);

#endif
