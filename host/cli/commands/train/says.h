/* What vkft train says at its end: the summary of a run, or the memory plan of one. */
#ifndef VKFT_TRAIN_SAYS_H
#define VKFT_TRAIN_SAYS_H

#include "host/train/train.h"

/* On stderr, with json also as an object on stdout. Both return the exit code. */
int train_print_summary(const vkft_train_options *options, const vkft_train_result *result);
/* On stdout. name: NULL, or the directory of one of several runs. */
int train_print_plan(const vkft_train_plan *plan, const char *name, bool json);

#endif
