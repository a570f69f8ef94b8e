/* Training data: .jsonl, .json, .csv, .tsv or .txt; tokenized, masked, ready to batch.
 *
 * The shape is detected from the keys of the first row:
 *   text         special tokens + text + EOS, all trained
 *   plain text   a .txt file as one stream of tokens (special tokens once, at its beginning), cut into pieces of
 * max_seq_length completion   special tokens + prompt | completion + EOS; the two sides are encoded apart, so the
 * boundary is exact instruction  the same with the Alpaca template for prompt question     the same with "###
 * Question:" and, with a context, "### Context:" before it; also SQuAD's paragraphs messages     the model's chat
 * template; the assistant's turns are trained; conversations are ShareGPT's spelling of them tokens       as given;
 * labels are the ids where they are absent
 *
 * For a model with an encoder a prompt and its answer are each cut to max_seq_length, with the end token kept; plain
 * text and conversations have no place for it. A sample longer than max_seq_length is cut at its end and counted. Rows
 * are tokenized on all cores; large files go through a file of tokens in the user's cache directory, named by a hash of
 * everything that they depend on, so that the next run finds them done.
 */
#ifndef VKFT_DATASET_H
#define VKFT_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/chat/chat_template.h"
#include "runtime/base/file.h"
#include "formats/tokenizer/tokenizer.h"

typedef enum vkft_data_format {
    VKFT_DATA_TEXT,          /* {"text"} rows */
    VKFT_DATA_CORPUS,        /* .txt */
    VKFT_DATA_COMPLETION,    /* {"prompt", "completion"}; pairs of lines */
    VKFT_DATA_INSTRUCTION,   /* {"instruction", "input", "output"} */
    VKFT_DATA_QUESTION,      /* {"question", "answer", "context"} */
    VKFT_DATA_SQUAD,         /* {"paragraphs": [{"context", "qas"}]} */
    VKFT_DATA_MESSAGES,      /* {"messages", "tools"} */
    VKFT_DATA_CONVERSATIONS, /* {"conversations", "system", "tools"} */
    VKFT_DATA_TOKENS,        /* {"input_ids", "labels"} */
} vkft_data_format;

#define VKFT_IGNORE_LABEL (-100)
#define VKFT_SOURCE_LABEL (-101) /* of tokens that the encoder of an encoder-decoder model reads; they come first */
/* Smaller files are tokenized again by every run: that takes less time than a person notices. */
#define VKFT_CACHE_FROM_BYTES (64u << 20)

/* labels as transformers has them: labels[i] is ids[i] or VKFT_IGNORE_LABEL; the loss at position i-1 predicts
 * labels[i]. labels[0] never counts. */
typedef struct vkft_sample {
    const int32_t *ids;
    const int32_t *labels;
    uint32_t length;
    uint32_t trained; /* labels at positions >= 1 that are token ids; never 0 */
} vkft_sample;

/* How many of a sample's tokens are for the encoder. */
uint32_t vkft_sample_source(const vkft_sample *sample);

typedef struct vkft_dataset_options {
    uint32_t max_seq_length;     /* >= 2 */
    bool mask_prompt;            /* no effect on text and plain text */
    vkft_train_on train_on;      /* messages, with mask_prompt */
    uint32_t vocab_size;         /* every id must be below it */
    int32_t eos_id;              /* appended to text rows and completions; -1: none */
    const char *keys;            /* NULL, or "question=Q,answer=A": the rows' own names for known keys */
    const char *prompt_template; /* NULL, or what builds a row's prompt, see shape.h */
    bool encoder_decoder;        /* prompts are for an encoder; answers begin with decoder_start_id in the decoder */
    int32_t decoder_start_id;
    const char *completions; /* NULL, or a second text file: line by line what --data's lines are answered with */
    const vkft_chat_template *chat; /* NULL: none; needed by messages and conversations */
    bool apply_chat_template;  /* prompt/completion, instruction and question rows too become a conversation of user and
                                  assistant */
    uint64_t cache_from_bytes; /* size of a file from which its tokens are cached; 0: VKFT_CACHE_FROM_BYTES */
    uint64_t context_hash;     /* of the tokenizer and the template, for the cache */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t all_bytes); /* may be NULL */
    void *progress_context;
} vkft_dataset_options;

typedef struct vkft_dataset {
    vkft_sample *samples; /* their ids and labels lie in memory or tokens */
    uint32_t count;
    uint64_t tokens;  /* sum of lengths */
    uint64_t trained; /* of them */
    uint32_t max_length;
    uint32_t truncated;      /* samples cut to max_seq_length */
    uint64_t dropped_tokens; /* cut off there */
    vkft_data_format format;
    bool from_cache;
    int32_t *memory;
    vkft_mapping file;
} vkft_dataset;

/* tok may be NULL for VKFT_DATA_TOKENS. Error: file, line (and column for JSON), keys found and keys expected; an empty
 * file; a sample whose prompt leaves nothing to train on within max_seq_length; labels of another length; an id outside
 * the vocabulary; messages without a chat template. */
bool vkft_dataset_open(const char *path, const vkft_tokenizer *tok, const vkft_dataset_options *options,
                       vkft_dataset *data, vkft_err *err);
void vkft_dataset_free(vkft_dataset *data);

const char *vkft_data_format_name(vkft_data_format format); /* "instruction/input/output", for messages */

/* The file for a split inside what --data names: the file itself for "train"; in a directory, train/valid/test with any
 * of the endings
 * ("validation" and "val" also count as valid). *path is malloc'ed, NULL when the directory has no such split (an error
 * for "train"). */
bool vkft_dataset_find(const char *data, const char *split, char **path, vkft_err *err);

/* The prompt that an instruction row becomes (the Alpaca template); input may be NULL or empty. Malloc'ed. */
char *vkft_instruction_prompt(const char *instruction, const char *input);
/* "### Context:\n...\n\n### Question:\n...\n\n### Answer:\n", without the first part where context is NULL or empty.
 * Malloc'ed. */
char *vkft_question_prompt(const char *question, const char *context);

#endif
