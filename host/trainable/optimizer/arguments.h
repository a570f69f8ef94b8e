/* Settings of one row of a table, given as "name=value,...": those of an optimizer (--optim-args) or of a learning rate
 * schedule (--lr-scheduler-kwargs). */
#ifndef VKFT_ARGUMENTS_H
#define VKFT_ARGUMENTS_H

#include <stdint.h>

#include "runtime/base/error.h"

typedef struct vkft_argument {
    const char *name;         /* NULL: the list ends */
    double value;             /* unless given */
    double minimum, below;    /* of numbers */
    const char *const *words; /* NULL-terminated, instead of numbers: the value is the word's index */
} vkft_argument;

/* values [length of the list, at most max]: those of `text` (NULL: none), else the list's. flag and owner are named in
 * errors: what the list does not have, or a value out of range. */
bool vkft_arguments_parse(const vkft_argument *list, uint32_t max, const char *flag, const char *owner,
                          const char *text, double *values, vkft_err *err);

#endif
