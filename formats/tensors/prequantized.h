/* Weights that a checkpoint holds in a storage type already, which are taken as they are: what a method of quantization
 * is to the converter. The codecs of storage types name the method whose checkpoints have them. */
#ifndef VKFT_PREQUANTIZED_H
#define VKFT_PREQUANTIZED_H

#include "formats/tensors/storage.h"
#include "formats/tensors/tensor_file.h"

/* A weight's parts as they lie in the checkpoint. */
typedef struct vkft_prequantized_weight {
    vkft_stored stored;
    vkft_shard_tensor source[VKFT_PARTS]; /* where a part is mapped; no tensor for parts that were made */
    void *made;                           /* memory of these, for free() */
    /* Not NULL: all parts are made as they are written, from the only source: those of `rows` rows from `first` on. */
    void (*cut)(const struct vkft_prequantized_weight *w, uint64_t first, uint64_t rows, void *const part[VKFT_PARTS]);
} vkft_prequantized_weight;

/* How the other tensors of the checkpoint are found; false: there is none of this name. */
typedef struct vkft_tensor_finder {
    bool (*find)(const void *context, const char *name, vkft_shard_tensor *found);
    const void *context;
} vkft_tensor_finder;

/* How a program that quantizes says so. */
typedef struct vkft_quant_method {
    const char *name; /* quant_method in config.json's quantization_config */
    const char *file; /* beside config.json: has the object where config.json has none; NULL: there is no such file */
    /* Whether the checkpoints of this object can be read. Error: says what cannot. */
    bool (*check)(const void *quantization_config, const char *file, vkft_err *err);
} vkft_quant_method;

#define VKFT_MAX_QUANT_METHODS 4

typedef struct vkft_prequantizer {
    vkft_quant_method methods[VKFT_MAX_QUANT_METHODS]; /* the rest has no name */
    /* What belongs to this weight; *found is false when it is not quantized. Error: a missing or wrong companion. */
    bool (*find)(const vkft_tensor_finder *checkpoint, const vkft_shard_tensor *weight, vkft_prequantized_weight *parts,
                 bool *found, vkft_err *err);
} vkft_prequantizer;

#define VKFT_FP8_BLOCK 128 /* rows and columns that share a scale */

extern const vkft_prequantizer vkft_bitsandbytes, vkft_fp8_checkpoint, vkft_gguf_blocks;

#endif
