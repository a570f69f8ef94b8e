/* Directories that people give as a model and that are none. */
#ifndef VKFT_CONVERT_RECOGNIZE_H
#define VKFT_CONVERT_RECOGNIZE_H

#include <stdbool.h>

#include "runtime/base/error.h"

/* Fails with what the directory is, going by its files: an adapter, another program's model, a part of one. needed: the
 * file that a checkpoint would have and this directory lacks, for directories that are nothing known. Returns false. */
bool vkft_model_fail_directory(const char *dir, const char *needed, vkft_err *err);

/* Whether config.json (its parsed object) is not that of a quantized MLX model. */
bool vkft_model_check_mlx(const void *config, const char *file, vkft_err *err);

#endif
