/* Brings files of a repository into the cache: in parallel, going on where an earlier attempt ended, checked by size
 * and hash before they get their names. */
#ifndef VKFT_HUB_TRANSFER_H
#define VKFT_HUB_TRANSFER_H

#include "host/hub/cache/cache.h"
#include "host/hub/http/http.h"

/* What it takes to fetch from one repository at one commit. */
typedef struct vkft_hub_source {
    const vkft_hub_settings *settings;
    const vkft_hub_name *name;
    const vkft_hub_cache *cache;
    const vkft_observer *observer;
} vkft_hub_source;

/* "ENDPOINT/api/models/OWNER/NAME/revision/REVISION?blobs=true" and the address of a file; malloc'ed. */
char *vkft_hub_listing_url(const vkft_hub_settings *settings, const vkft_hub_name *name, vkft_err *err);
char *vkft_hub_file_url(const vkft_hub_settings *settings, const vkft_hub_name *name, const char *commit,
                        const char *path, vkft_err *err);

/* Fetches the list of files; *unreachable as in vkft_hub_run. */
bool vkft_hub_fetch_listing(const vkft_hub_source *source, vkft_hub_listing *listing, bool *unreachable, vkft_err *err);

/* Fetches those of the wanted files that are not there, and puts all of them into the snapshot. */
bool vkft_hub_fetch_wanted(const vkft_hub_source *source, const vkft_hub_listing *listing, vkft_err *err);

#endif
