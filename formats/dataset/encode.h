/* From a row to the ids and labels of its samples. Internal to formats. */
#ifndef VKFT_DATASET_ENCODE_H
#define VKFT_DATASET_ENCODE_H

#include "formats/dataset/sample.h"
#include "formats/dataset/rows/rows.h"
#include "formats/dataset/shape.h"

/* What all rows share; read-only while rows are encoded. */
typedef struct vkft_row_encoder {
    const char *path;
    const vkft_tokenizer *tok;
    const vkft_dataset_options *options;
    const vkft_row_reader *reader;
    vkft_data_keys keys;
    vkft_data_format format; /* that every row must have */
} vkft_row_encoder;

typedef struct vkft_encoded_sample {
    uint32_t length, source_length, trained; /* as in vkft_sample */
    uint32_t dropped;                        /* tokens cut off at max_seq_length */
    uint32_t prompt_length;                  /* as in vkft_sample */
    vkft_answer answer;
    vkft_choice_facts choice; /* choice.count samples of choices follow this one */
    bool made_call_ids;
} vkft_encoded_sample;

typedef struct vkft_rejected {
    vkft_bad_reason reason;
    char message[160];
} vkft_rejected;

/* The samples of one row, concatenated, and the examples that cannot be trained on. Zero it before use; reuse keeps the
 * memory. */
typedef struct vkft_encoded_row {
    vkft_ids ids, labels;
    vkft_encoded_sample *samples;
    uint32_t count, capacity;
    vkft_rejected *rejected;
    uint32_t rejected_count, rejected_capacity;
} vkft_encoded_row;

void vkft_encoded_row_free(vkft_encoded_row *row);

/* Finds the format out from a row, and checks that the tokenizer and the template are there that it needs.
 * unused: the row's keys that the format does not use, as a list for people. */
bool vkft_row_encoder_detect(vkft_row_encoder *encoder, const vkft_row_slice *slice, char *unused, size_t unused_size,
                             vkft_err *err);
/* "train.jsonl: line 7": where a row is. */
void vkft_row_encoder_place(const vkft_row_encoder *encoder, const vkft_row_slice *slice, char *place, size_t size);

/* May run on several threads at once with different rows. A corpus block gives ids only, without samples. Error: what
 * makes the whole file doubtful (no UTF-8, no JSON, another shape, ids outside the vocabulary), or out of memory; an
 * example that cannot be trained on is none. */
bool vkft_row_encode(const vkft_row_encoder *encoder, const vkft_row_slice *slice, vkft_encoded_row *out,
                     vkft_err *err);

#endif
