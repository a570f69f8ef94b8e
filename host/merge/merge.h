/* The weights of a model with an adapter in them, or as they are, for whoever writes them into a file.
 *
 * y = W x + scale B A x is W' x with W' = W + scale B A, and likewise for the other methods (host/trainable/methods).
 * A run that trained on quantized weights learned to correct those: from the same ones the merged model computes what
 * was evaluated, from the original ones it has weights that were never rounded, and which is better is to be measured.
 * Test: test_merge; against PEFT and transformers, by tests/golden/check_merge.py
 */
#ifndef VKFT_MERGE_H
#define VKFT_MERGE_H

#include "formats/weights/weights.h"
#include "host/merge/adapter.h"
#include "runtime/base/observer.h"

typedef enum vkft_merge_from { VKFT_MERGE_ORIGINAL, VKFT_MERGE_QUANTIZED } vkft_merge_from;

typedef struct vkft_merge_options {
    const char *model;
    const char *adapter; /* NULL: none */
    vkft_merge_from from;
    vkft_convert_options trained; /* what the run trained on, of VKFT_MERGE_QUANTIZED or `compare` */
    bool compare;                 /* measure how far the quantized weights are from the original ones in any case */
    uint32_t threads;             /* 0: one per core */
    vkft_observer observer;
} vkft_merge_options;

typedef struct vkft_merge {
    vkft_merge_options options;
    vkft_weights weights;
    vkft_merge_adapter adapter; /* of zeros without one */
    float *made[2];             /* VeRA's A and B, where they are not in the adapter's file */
    const float *shared[2];     /* these, or the adapter's */
    uint32_t stride;            /* of A */
    uint64_t done, total;       /* values */
    double difference, squares; /* sums over the quantized weights: (Wq - W)^2, W^2 */
    double worst;               /* relative root mean square difference of one of them, and its name */
    char worst_name[256];
    uint32_t compared;
} vkft_merge;

/* Error: an adapter of a kind that no weights can express, or that does not fit the model. */
bool vkft_merge_open(const vkft_merge_options *options, vkft_merge *merge, vkft_err *err);
void vkft_merge_close(vkft_merge *merge);

/* Computes a weight of the list in pieces of whole rows, each a multiple of `step` rows, and calls take with each in
 * order, on one thread at a time, while the next piece is computed. */
bool vkft_merge_weight(vkft_merge *merge, const vkft_source_weight *weight, uint64_t step,
                       bool (*take)(void *context, const float *values, uint64_t first, uint64_t rows, vkft_err *err),
                       void *context, vkft_err *err);

/* Says what was measured, and what the weights are from. */
void vkft_merge_report(const vkft_merge *merge);

/* Writes a checkpoint directory as transformers does: safetensors in shards of at most 5 GB with an index, config.json,
 * and the small files as they are. dtype: F32, F16 or BF16. The directory appears whole or not at all; replace: one
 * that holds a checkpoint and nothing else may be there. Error: what vkft_merge_open reports; the directory is the
 * model's; a value that does not fit the type; disk full. */
bool vkft_merge_write_checkpoint(vkft_merge *merge, const char *dir, vkft_dtype dtype, bool replace, vkft_err *err);

/* Writes a GGUF file with everything that llama.cpp needs: configuration, tokenizer, chat template. file_type: a number
 * of VKFT_GGUF_FILE_TYPES (gguf_types.h). The file appears whole or not at all. Error: the same; an architecture or a
 * tokenizer that llama.cpp does not know. */
bool vkft_merge_write_gguf(vkft_merge *merge, const char *path, uint32_t file_type, vkft_err *err);

#endif
