/* What first values are read from: a module's weight, as it is stored. */
#ifndef VKFT_START_PRIVATE_H
#define VKFT_START_PRIVATE_H

#include "host/trainable/adapters.h"

/* The tensor of a module's weight in the file. *next: where to look first, since both lists are in the model's order.
 * row_squares.c */
const vkft_model_tensor *vkft_start_tensor(const vkft_adapter_set *set, const vkft_adapted_module *m,
                                           const vkft_model_file *file, uint32_t *next);

#endif
