/* Parts of opening a run, one file each; trainer.h has what they fill. */
#ifndef VKFT_SETUP_PRIVATE_H
#define VKFT_SETUP_PRIVATE_H

#include "host/train/trainer.h"

/* data.c: opens the data, and holds out a part of it for validation where that is asked for. */
bool vkft_setup_data(vkft_trainer *t, vkft_err *err);
/* trained.c: chooses what is trained. Except in a dry run also t->flat with its initial values. */
bool vkft_setup_trained(vkft_trainer *t, vkft_err *err);

#endif
