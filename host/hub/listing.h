/* The files of a repository at one commit: what the hub says of it, or what the cache has. */
#ifndef VKFT_HUB_LISTING_H
#define VKFT_HUB_LISTING_H

#include <stdint.h>

#include "host/hub/digest.h"
#include "host/hub/name.h"

typedef struct vkft_hub_file {
    char *path; /* in the repository, with '/' */
    uint64_t size;
    char hash[VKFT_HUB_HASH_SIZE]; /* SHA-256 of large files, else git's SHA-1; the name of the file in the cache */
    bool wanted;
} vkft_hub_file;

typedef struct vkft_hub_listing {
    char commit[VKFT_HUB_SHA1_DIGITS + 1];
    vkft_hub_file *files; /* by their paths */
    uint32_t count;
} vkft_hub_listing;

/* Parses what the hub answers to api/models/OWNER/NAME/revision/REVISION?blobs=true. Error: a file without size and
 * hash, a path that leads out of the repository. */
bool vkft_hub_listing_parse(const char *text, size_t length, const vkft_hub_name *name, vkft_hub_listing *listing,
                            vkft_err *err);
/* Lists a directory of the cache, whose name is the commit; hashes are not known. */
bool vkft_hub_listing_of_directory(const char *dir, vkft_hub_listing *listing, vkft_err *err);
void vkft_hub_listing_free(vkft_hub_listing *listing);

/* NULL: there is no such file. */
vkft_hub_file *vkft_hub_listing_find(const vkft_hub_listing *listing, const char *path);

#endif
