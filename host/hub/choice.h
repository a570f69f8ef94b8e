/* Which files of a repository are wanted. */
#ifndef VKFT_HUB_CHOICE_H
#define VKFT_HUB_CHOICE_H

#include "host/hub/listing.h"

enum { VKFT_HUB_PATTERNS = 16 };

typedef struct vkft_hub_wish {
    vkft_hub_name name;
    const char *text; /* what the user wrote, for messages */
    /* Of a dataset; NULL: the default configuration, its usual splits. */
    const char *config, *split, *validation_split;
    /* Up to a NULL. If any are here, all files that match one of the first and none of the others are wanted, whatever
     * they are for; '*' stands for any characters, also '/', as in huggingface_hub. */
    const char *const *include, *const *exclude;
    bool all;              /* the same with every file included */
    bool adapter;          /* of a model's repository: it is to have a PEFT adapter, and nothing else of it is wanted */
    const char *local_dir; /* the files are copied to this directory; NULL: they stay in the cache */
} vkft_hub_wish;

/* Marks what can be known from the list alone: a model's configuration and tokenizer, the weights that lie in one file,
 * a GGUF file; an adapter; a dataset's card. Error: nothing here that could be a model, or an adapter. */
bool vkft_hub_choose_first(const vkft_hub_wish *wish, vkft_hub_listing *listing, vkft_err *err);
/* Marks the rest, which those in dir say: the shards of an index, the files of a configuration. */
bool vkft_hub_choose_rest(const vkft_hub_wish *wish, vkft_hub_listing *listing, const char *dir, vkft_err *err);

/* The GGUF file, of a split model its first, that was chosen as the model; NULL: the model is the directory. */
const vkft_hub_file *vkft_hub_chosen_gguf(const vkft_hub_wish *wish, const vkft_hub_listing *listing);

/* Whether text matches: '*' stands for any characters, '?' for one. */
bool vkft_hub_matches(const char *pattern, const char *text);

#endif
