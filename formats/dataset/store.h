/* Where the tokens of a dataset go while they are made: memory, or for large files a file in the cache directory.
 * Internal to formats.
 *
 * The file: a header, then ids [length] and labels [length] of every sample, i32, then an index of one entry per
 * sample. Those of a sample's choices follow it.
 */
#ifndef VKFT_DATASET_STORE_H
#define VKFT_DATASET_STORE_H

#include "formats/dataset/sample.h"

typedef struct vkft_token_index {
    uint32_t length, source_length, trained, prompt_length, answer; /* as in vkft_sample */
    vkft_choice_facts choice;
} vkft_token_index;

typedef struct vkft_token_store {
    vkft_dataset *data;  /* gets the sums as samples are added */
    vkft_writer *writer; /* NULL: in memory */
    int32_t *buffer;
    size_t used, capacity; /* values */
    uint64_t written;      /* values in the file */
    vkft_token_index *index;
    uint32_t index_capacity;
    void *hash;       /* of the file's values */
    bool file_failed; /* the file could not be written; stays after the store is gone */
} vkft_token_store;

/* path NULL: in memory. A file that cannot be written sets store->file_failed, now or later. */
bool vkft_token_store_open(vkft_token_store *store, vkft_dataset *data, const char *path, vkft_err *err);
/* Copies the sample. */
bool vkft_token_store_add(vkft_token_store *store, const vkft_sample *sample, vkft_err *err);
/* Makes data's samples from what was added; for a file, commits it under path and maps it. The store is gone, also on
 * failure. */
bool vkft_token_store_finish(vkft_token_store *store, const char *path, vkft_err *err);
void vkft_token_store_abandon(vkft_token_store *store);

/* Opens a file that an earlier run committed; false when there is none or it is damaged, which is no error. */
bool vkft_token_store_load(const char *path, vkft_dataset *data);

#endif
