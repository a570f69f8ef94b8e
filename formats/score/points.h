/* Texts as code points, for scores. Internal to formats/score. */
#ifndef VKFT_SCORE_POINTS_H
#define VKFT_SCORE_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* Malloc'ed code points of a text; NULL: out of memory. */
int32_t *vkft_points_of(const char *text, size_t *count, vkft_err *err);
/* What Python's str.split() separates words by. */
bool vkft_points_is_space(int32_t point);

#endif
