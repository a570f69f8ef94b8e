/* Which files --data means: a file, files by a pattern, or a directory as it is downloaded from the hub. Internal to
 * formats, but for vkft_dataset_find.
 *
 * In a directory with a README.md whose YAML has `configs`, these say which files a split has. Else a split is a file
 * of its name (train.jsonl), or all files with its name in theirs (data/train-00000-of-00002.parquet, train/a.csv), as
 * the datasets package finds them; where no name says a split, all files are for training.
 *
 * Test: test_data_files */
#ifndef VKFT_DATASET_FILES_H
#define VKFT_DATASET_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* Paths, malloc'ed. */
typedef struct vkft_data_files {
    char **paths;
    uint32_t count;
} vkft_data_files;

typedef struct vkft_data_request {
    const char *data;   /* a file, a pattern (data/train-*.parquet), or a directory */
    const char *config; /* of a directory with several; NULL: the default one */
    const char *split;  /* "train", "valid", "test": also under their other names; or `named` */
    bool named;         /* the user has named this split: it has to be there, under this name */
    /* Not 0: the directory's files, as paths in it, though only its README.md need be there. */
    const char *const *listed;
    uint32_t listed_count;
} vkft_data_request;

/* The files of the split; none where there is no such split, which is an error for "train" and a named one. */
bool vkft_data_files_find(const vkft_data_request *request, vkft_data_files *files, vkft_err *err);
void vkft_data_files_free(vkft_data_files *files);

#endif
