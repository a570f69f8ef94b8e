/* Hugging Face checkpoint directory or GGUF file -> native .vkft file, streaming: one tensor in memory at a time. */
#ifndef VKFT_CONVERT_H
#define VKFT_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/native/model_file.h"

typedef struct vkft_convert_options {
    /* A plain type: all linear weights and embeddings are rounded to it. A quantized one: only linear weights of the
     * layers are, and what the checkpoint has in a quantized type already is kept. none: all is kept, but blocks of a
     * GGUF file are decoded to f32. stored: these are kept, too. */
    vkft_storage quant;
    bool keep_blocks; /* what --quant is by default: from a GGUF file with quantized weights they are taken as stored */
    uint32_t threads; /* 0: one per core */
    /* Called after each tensor with bytes read so far and in total; returning false cancels (VKFT_ERR_INTERRUPTED). May
     * be NULL. */
    bool (*progress)(void *context, uint64_t done_bytes, uint64_t total_bytes);
    void *progress_context;
} vkft_convert_options;

/* Whether the model of a checkpoint directory has a head of its own although its configuration may tie it to the
 * embedding: one is stored, and holds other values. *own is false where there are no weights. */
bool vkft_convert_finds_head(const char *hf_dir, const vkft_config *config, bool *own, vkft_err *err);

/* The same options for this file alone: without keep_blocks, with the `quant` that it asks for. */
bool vkft_convert_settle(const char *path, const vkft_convert_options *options, vkft_convert_options *settled,
                         vkft_err *err);

/* hf_dir: a checkpoint directory, or a GGUF file (of a split model the first one).
 * Writes out_path through a temporary file beside it, synced and renamed; on any error nothing is left.
 * Error: missing file, LFS pointer, truncated shard, missing tensor of the index, non-finite
 * weights (tensor and first index), unsupported dtype, disk full. */
bool vkft_convert(const char *hf_dir, const char *out_path, const vkft_convert_options *options, vkft_err *err);

#endif
