/* The runs of a sweep, from the values that --sweep names. */
#ifndef VKFT_TRAIN_COMBINATIONS_H
#define VKFT_TRAIN_COMBINATIONS_H

#include "host/cli/commands/train/table.h"
#include "host/train/train.h"

typedef struct train_combination {
    train_options options; /* those of vkft train for this run alone */
    char name[256];        /* "lora-r 8, learning-rate 1e-4" */
    vkft_train_plan plan;
    vkft_run_outcome outcome; /* of a run that has ended */
    bool ended;
} train_combination;

typedef struct train_combinations {
    train_combination *list;
    uint32_t count;
} train_combinations;

/* Every combination of the values of options->sweep, the last flag's first; directories are named after them. Error: a
 * flag or value that cannot be swept. */
bool train_combinations_make(const train_options *options, vkft_recipe *recipe, train_combinations *made,
                             vkft_err *err);
void train_combinations_free(train_combinations *combinations);

#endif
