/* A GGUF file in the place of a checkpoint directory. Internal to formats. */
#ifndef VKFT_CONVERT_GGUF_CHECKPOINT_H
#define VKFT_CONVERT_GGUF_CHECKPOINT_H

#include "formats/convert/source.h"

/* Both as vkft_source_open and vkft_hf_checkpoint_open fill them: the small files are made from the file's keys, the
 * tensors have the names of transformers. Error: what vkft_gguf_open and vkft_gguf_files_make report; a configuration
 * that is not supported. */
bool vkft_gguf_checkpoint_open(const char *path, vkft_source *source, vkft_hf_checkpoint *checkpoint, vkft_err *err);

/* Whether a tensor is of one of ggml's quantized types. */
bool vkft_gguf_checkpoint_is_quantized(const vkft_hf_checkpoint *checkpoint);
/* The same of a file that is not open. Error: as vkft_gguf_open. */
bool vkft_gguf_file_is_quantized(const char *path, bool *quantized, vkft_err *err);

#endif
