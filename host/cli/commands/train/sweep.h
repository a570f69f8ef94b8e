/* vkft train --sweep: a run for each combination of values, one after another, on one base. */
#ifndef VKFT_TRAIN_SWEEP_H
#define VKFT_TRAIN_SWEEP_H

#include "host/cli/commands/train/table.h"

/* The recipe keeps the strings that are made. Returns the exit code. */
int train_sweep(const train_options *options, vkft_recipe *recipe);

#endif
