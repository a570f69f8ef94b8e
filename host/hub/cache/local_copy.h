/* Copies what was fetched from the cache to a directory of the user's choice. */
#ifndef VKFT_HUB_LOCAL_COPY_H
#define VKFT_HUB_LOCAL_COPY_H

#include "host/hub/listing.h"
#include "runtime/base/observer.h"

/* Copies the wanted files of the list from the snapshot to the same paths in dir. A file that is there with the same
 * content stays as it is. Error: a file is there with another content, which is said before anything is written; the
 * disk; interrupted. */
bool vkft_hub_copy_wanted(const vkft_hub_listing *listing, const char *snapshot, const char *dir,
                          const vkft_observer *observer, vkft_err *err);

#endif
