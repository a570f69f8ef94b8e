/* Training data: .jsonl, .json, .csv, .tsv, .txt or .parquet; tokenized, masked, ready to batch.
 *
 * The shape is detected from the keys of the first row:
 *   text         special tokens + text + EOS, all trained
 *   plain text   a .txt file as one stream of tokens (special tokens once, at its beginning), cut into pieces of
 *                max_seq_length
 *   completion   special tokens + prompt | completion + EOS; the two sides are encoded apart, so the boundary is exact
 *   instruction  the same with the Alpaca template for prompt
 *   question     the same with "### Question:" and, with a context, "### Context:" before it; also SQuAD's paragraphs
 *   messages     the model's chat template; the assistant's turns are trained; conversations are ShareGPT's spelling
 *   tokens       as given; labels are the ids where they are absent
 *
 * For a model with an encoder a prompt and its answer are each cut to max_seq_length, with the end token kept; plain
 * text and conversations have no place for it. A sample longer than max_seq_length is cut at its end and counted. Rows
 * are tokenized on all cores; large files go through a file of tokens in the user's cache directory, named by a hash of
 * everything that they depend on, so that the next run finds them done.
 */
#ifndef VKFT_DATASET_H
#define VKFT_DATASET_H

#include "formats/dataset/sample.h"
#include "formats/tokenizer/tokenizer.h"

/* tok may be NULL for VKFT_DATA_TOKENS. Error: file, line (and column for JSON), keys found and keys expected; an empty
 * file; a sample whose prompt leaves nothing to train on within max_seq_length; labels of another length; an id outside
 * the vocabulary; messages without a chat template. */
bool vkft_dataset_open(const char *path, const vkft_tokenizer *tok, const vkft_dataset_options *options,
                       vkft_dataset *data, vkft_err *err);
/* The same of several files (count > 0), whose rows come one after the other. */
bool vkft_dataset_open_files(char *const *paths, uint32_t count, const vkft_tokenizer *tok,
                             const vkft_dataset_options *options, vkft_dataset *data, vkft_err *err);
void vkft_dataset_free(vkft_dataset *data);

#endif
