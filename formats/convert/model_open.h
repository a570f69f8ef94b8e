/* What --model names: a Hugging Face checkpoint directory, a GGUF file, a .vkft file, or (for planning) a config.json
 * alone. */
#ifndef VKFT_MODEL_OPEN_H
#define VKFT_MODEL_OPEN_H

#include "formats/convert/convert.h"

typedef enum vkft_model_kind {
    VKFT_MODEL_MISSING,
    VKFT_MODEL_CHECKPOINT, /* a directory */
    VKFT_MODEL_GGUF,       /* a GGUF file, of a split model the first one */
    VKFT_MODEL_CONFIG,     /* a file that holds a JSON object */
    VKFT_MODEL_NATIVE,     /* any other file; whether it is a sound .vkft file shows when it is opened */
} vkft_model_kind;

/* Decided by what lies at the path, never by its spelling. */
vkft_model_kind vkft_model_kind_of(const char *path);

/* Opens a .vkft file (whose quantization must then agree with what was asked explicitly), or a checkpoint directory
 * or GGUF file, converted on first use to DIR/vkft-<label of quant>.vkft or NAME-vkft-<label>.vkft beside the file, or
 * into the cache directory when DIR cannot be written;
 * converted again when the checkpoint's files changed (size or time). quant_explicit: whether the user gave --quant;
 * otherwise a .vkft file is taken as it is. */
vkft_model_file *vkft_model_open(const char *path, const vkft_convert_options *options, bool quant_explicit,
                                 vkft_err *err);

/* What a person should know of the model and the checkpoint that it is from, line by line. */
void vkft_model_notes(const vkft_model_file *file, void (*say)(void *context, const char *line), void *context);

#endif
