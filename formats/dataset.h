/* Training data: .jsonl, a .json array, or .txt; tokenized, masked, ready to batch.
 *
 * The shape is detected from the keys of the first row: text; prompt/completion; instruction/input/output; input_ids/labels.
 */
#ifndef VKFT_DATASET_H
#define VKFT_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "tokenizer.h"

typedef enum vkft_data_format {
    VKFT_DATA_TEXT,        /* {"text"} rows */
    VKFT_DATA_CORPUS,      /* .txt: one stream of tokens cut into max_seq_length pieces */
    VKFT_DATA_COMPLETION,  /* {"prompt", "completion"} */
    VKFT_DATA_INSTRUCTION, /* {"instruction", "input", "output"} */
    VKFT_DATA_TOKENS,      /* {"input_ids", "labels"} */
} vkft_data_format;

#define VKFT_IGNORE_LABEL (-100)

/* labels as transformers has them: labels[i] is ids[i] or VKFT_IGNORE_LABEL; the loss at position i-1 predicts labels[i]. labels[0] never counts. */
typedef struct vkft_sample {
    int32_t *ids;
    int32_t *labels;
    uint32_t length;
    uint32_t trained; /* labels at positions >= 1 that are not VKFT_IGNORE_LABEL; never 0 */
} vkft_sample;

typedef struct vkft_dataset_options {
    uint32_t max_seq_length; /* >= 2 */
    bool mask_prompt;        /* no effect on text and corpus */
    uint32_t vocab_size;     /* every id must be below it */
    int32_t eos_id;          /* appended to text rows and completions; -1: none */
} vkft_dataset_options;

typedef struct vkft_dataset {
    vkft_sample *samples;
    uint32_t count;
    uint64_t tokens;   /* sum of lengths */
    uint32_t max_length;
    uint32_t truncated; /* samples cut to max_seq_length */
    vkft_data_format format;
} vkft_dataset;

/* tok may be NULL for VKFT_DATA_TOKENS. Error: file, line (and column for JSON), keys found and keys expected; an empty file; a sample
 * whose prompt leaves nothing to train on within max_seq_length; labels of another length; an id outside the vocabulary. */
bool vkft_dataset_open(const char *path, const vkft_tokenizer *tok, const vkft_dataset_options *options, vkft_dataset *data,
                       vkft_err *err);
void vkft_dataset_free(vkft_dataset *data);

const char *vkft_data_format_name(vkft_data_format format); /* "instruction/input/output", for messages */

/* The file for a split inside what --data names: the file itself for "train"; in a directory, train/valid/test with .jsonl, .json or .txt
 * ("validation" and "val" also count as valid). *path is malloc'ed, NULL when the directory has no such split (an error for "train"). */
bool vkft_dataset_find(const char *data, const char *split, char **path, vkft_err *err);

/* The prompt that an instruction row becomes (the Alpaca template); input may be NULL or empty. Malloc'ed. */
char *vkft_instruction_prompt(const char *instruction, const char *input);

#endif
