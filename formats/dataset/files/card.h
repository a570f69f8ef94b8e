/* What the dataset card of a directory, README.md, says of its files. */
#ifndef VKFT_DATASET_CARD_H
#define VKFT_DATASET_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* The files of a split; there may be several of one split. An empty name: the split of each file is in its name. */
typedef struct vkft_card_files {
    char *split, *pattern;
} vkft_card_files;

/* One of the configurations in its YAML. */
typedef struct vkft_dataset_card {
    bool has_configs; /* else the rest is empty */
    vkft_card_files *files;
    uint32_t count;
} vkft_dataset_card;

/* config NULL: the default one. No README.md is fine unless a configuration is asked for. Error: no such configuration,
 * or none is the default, with their names; YAML that is broken. Test: test_data_files */
bool vkft_dataset_card_read(const char *directory, const char *config, vkft_dataset_card *card, vkft_err *err);
void vkft_dataset_card_free(vkft_dataset_card *card);

#endif
