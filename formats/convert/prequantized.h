/* Weights that a checkpoint holds in a storage type already (formats/tensors/prequantized.h). Internal to formats. */
#ifndef VKFT_CONVERT_PREQUANTIZED_H
#define VKFT_CONVERT_PREQUANTIZED_H

#include "formats/convert/hf_checkpoint.h"
#include "formats/native/model_writer.h"
#include "formats/tensors/prequantized.h"

/* Whether the checkpoint in dir is not quantized, or by a method that can be read. quantization_config: of config.json,
 * whose path is `config`; NULL: it has none, and a method's own file is read where there is one. */
bool vkft_prequantized_check(const char *dir, const void *quantization_config, const char *config, vkft_err *err);

/* What belongs to this weight; *found is false when it is not quantized. */
bool vkft_prequantized_find(const vkft_hf_checkpoint *checkpoint, const vkft_shard_tensor *weight,
                            vkft_prequantized_weight *parts, bool *found, vkft_err *err);
/* threads: 0: one per core. Error: an element that is not finite; whatever writing reports. */
bool vkft_prequantized_write(const vkft_prequantized_weight *parts, uint32_t threads, vkft_model_writer *writer,
                             uint32_t index, vkft_err *err);

#endif
