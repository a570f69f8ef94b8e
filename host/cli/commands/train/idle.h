#ifndef VKFT_TRAIN_IDLE_H
#define VKFT_TRAIN_IDLE_H

#include "host/cli/cli.h"

extern const flag_idle train_idle[];

#endif
