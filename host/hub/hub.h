/* Models and datasets by their name on the Hugging Face hub. */
#ifndef VKFT_HUB_H
#define VKFT_HUB_H

#include "host/hub/choice.h"
#include "host/hub/settings.h"
#include "runtime/base/observer.h"

/* Brings what is wished for into the cache, where it is not there yet, and says where it is: *path, malloc'ed, is a
 * directory, or of a GGUF model the file; in wish->local_dir, if that is set. Without a network, or where
 * HF_HUB_OFFLINE is set, what the cache has is used, if it is whole.
 *
 * settings: NULL for those of the environment.
 *
 * Error: there is no such repository, revision or file; access to it has to be asked for; the network; the disk; wrong
 * content; another content in local_dir; interrupted. */
bool vkft_hub_fetch(const vkft_hub_wish *wish, const vkft_hub_settings *settings, const vkft_observer *observer,
                    char **path, vkft_err *err);

#endif
