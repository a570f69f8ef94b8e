/* Hashes by which the hub names the content of files. */
#ifndef VKFT_HUB_DIGEST_H
#define VKFT_HUB_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/error.h"

enum { VKFT_HUB_SHA256_DIGITS = 64, VKFT_HUB_SHA1_DIGITS = 40, VKFT_HUB_HASH_SIZE = 65 };

typedef struct vkft_hub_digest vkft_hub_digest;

/* digits: which hash, by its length. NULL: it cannot be computed here, which err says. */
vkft_hub_digest *vkft_hub_digest_new(unsigned digits, vkft_err *err);
bool vkft_hub_digest_add(vkft_hub_digest *digest, const void *data, size_t size, vkft_err *err);
/* The hash as text, in lower case. */
bool vkft_hub_digest_end(vkft_hub_digest *digest, char text[VKFT_HUB_HASH_SIZE], vkft_err *err);
void vkft_hub_digest_free(vkft_hub_digest *digest); /* NULL is fine */

#endif
