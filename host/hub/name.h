/* Names of what the hub has: OWNER/NAME, OWNER/NAME@REVISION, and of models OWNER/NAME:FILE for a GGUF file, where FILE
 * may be a part of its name ("Q4_K_M"). Both may stand: OWNER/NAME@REVISION:FILE. */
#ifndef VKFT_HUB_NAME_H
#define VKFT_HUB_NAME_H

#include <stdbool.h>

#include "runtime/base/error.h"

typedef enum vkft_hub_type { VKFT_HUB_MODEL, VKFT_HUB_DATASET } vkft_hub_type;

typedef struct vkft_hub_name {
    vkft_hub_type type;
    char repository[200]; /* "OWNER/NAME" */
    char revision[200];   /* a branch, a tag or a commit; "main" where none is named */
    char file[256];       /* "" where none is named */
} vkft_hub_name;

/* Whether the text has this form; no error, because most paths do not. */
bool vkft_hub_name_parse(const char *text, vkft_hub_type type, vkft_hub_name *name);

/* "models" or "datasets", as addresses of the hub and its cache have it. */
const char *vkft_hub_type_name(vkft_hub_type type);

/* Whether it has this many digits of a hash, in lower case. */
bool vkft_hub_is_hash(const char *text, unsigned digits);

/* Whether a file of a repository may have this path: none that leads out of it, on any system. */
bool vkft_hub_is_path(const char *path);

#endif
