/* The flags of vkft train. */
#ifndef VKFT_TRAIN_TABLE_H
#define VKFT_TRAIN_TABLE_H

#include "host/cli/cli.h"
#include "host/train/options.h"

typedef struct train_options {
    vkft_train_options run; /* the first member: most flags are of a run */
    const char *sweep[FLAG_TEXTS_MAX + 1];
} train_options;

extern const flag_table train_table;

#endif
