/* Samples, the datasets that they make, and what decides how rows become samples. */
#ifndef VKFT_SAMPLE_H
#define VKFT_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "formats/chat/chat_template.h"
#include "formats/dataset/rows/bad_rows.h"
#include "runtime/base/file.h"

typedef enum vkft_data_format {
    VKFT_DATA_TEXT,            /* {"text"} rows */
    VKFT_DATA_CORPUS,          /* .txt */
    VKFT_DATA_COMPLETION,      /* {"prompt", "completion"}; pairs of lines */
    VKFT_DATA_INSTRUCTION,     /* {"instruction", "input", "output"} */
    VKFT_DATA_QUESTION,        /* {"question", "answer", "context"} */
    VKFT_DATA_CHOICES,         /* {"question", "choices", "answer"}: one of them (ARC, MMLU, HellaSwag) */
    VKFT_DATA_SQUAD,           /* {"paragraphs": [{"context", "qas"}]} */
    VKFT_DATA_MESSAGES,        /* {"messages", "tools"} */
    VKFT_DATA_CONVERSATIONS,   /* {"conversations", "system", "tools"} */
    VKFT_DATA_DIALOGUE,        /* {"prompt", "completion"}, both of messages (TRL) */
    VKFT_DATA_TOKENS,          /* {"input_ids", "labels"} */
    VKFT_DATA_PAIRS,           /* {"prompt", "chosen", "rejected"}: texts or messages, the prompt perhaps in both */
    VKFT_DATA_LABELLED,        /* {"prompt", "completion", "label"} (KTO) */
    VKFT_DATA_PAIR_TOKENS,     /* {"prompt_ids", "chosen_ids", "rejected_ids"} */
    VKFT_DATA_LABELLED_TOKENS, /* {"prompt_ids", "completion_ids", "label"} */
    VKFT_DATA_FORMATS
} vkft_data_format;

const char *vkft_data_format_name(vkft_data_format format); /* "instruction/input/output", for messages */

#define VKFT_IGNORE_LABEL (-100)
/* Smaller files are tokenized again by every run: that takes less time than a person notices. */
#define VKFT_CACHE_FROM_BYTES (64u << 20)

/* Which answers the rows are to have. */
typedef enum vkft_preferences {
    VKFT_PREFERENCES_NONE,     /* one to learn */
    VKFT_PREFERENCES_PAIRS,    /* a chosen and a rejected one: two samples, one after the other */
    VKFT_PREFERENCES_LABELLED, /* one that is desired or not */
} vkft_preferences;

/* CHOICE: one of several, whose likelihoods are compared; not trained. */
typedef enum vkft_answer {
    VKFT_ANSWER_PLAIN,
    VKFT_ANSWER_CHOSEN,
    VKFT_ANSWER_REJECTED,
    VKFT_ANSWER_CHOICE
} vkft_answer;

/* Of an answer of several: the length of its text. Of a sample that has such: how many, and which one is right. */
typedef struct vkft_choice_facts {
    uint32_t characters, bytes;
    uint32_t count, right;
} vkft_choice_facts;

/* labels as transformers has them: labels[i] is ids[i] or VKFT_IGNORE_LABEL; the loss at position i-1 predicts
 * labels[i]. labels[0] never counts. The tokens that an encoder reads come first, labelled VKFT_IGNORE_LABEL; the
 * decoder's follow, the first of which never counts either. */
typedef struct vkft_sample {
    const int32_t *ids;
    const int32_t *labels;
    uint32_t length;        /* of both parts */
    uint32_t source_length; /* of the encoder's part; 0 for a model without an encoder */
    uint32_t trained;       /* labels at positions >= 1 that are token ids; never 0 */
    uint32_t prompt_length; /* with preferences: tokens before the answer, which goes to the end; else 0 */
    vkft_answer answer;
    double reference; /* the log-probability of the answer before training, where training needs it; set by that */
    const struct vkft_sample *choices; /* of a row that has them: its prompt with each one, [choice.count]; else NULL */
    vkft_choice_facts choice;
    const struct vkft_sample *mismatched; /* the prompt with another sample's answer, or NULL; set by training */
} vkft_sample;

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
    const char *chat_error;         /* why there is none, or NULL */
    vkft_preferences preferences;
    bool learn_chosen_prompt;  /* with preferences: the chosen answers' prompts are labelled, too */
    bool apply_chat_template;  /* prompt/completion, instruction and question rows too become a conversation of user and
                                  assistant */
    bool error_on_bad_row;     /* else such rows are skipped and counted, unless they are more than half of all */
    bool drop_long_rows;       /* else they are cut to max_seq_length; no effect on plain text */
    uint64_t cache_from_bytes; /* size of a file from which its tokens are cached; 0: VKFT_CACHE_FROM_BYTES */
    uint64_t context_hash;     /* of the tokenizer and the template, for the cache */
    void (*progress)(void *context, uint64_t done_bytes, uint64_t all_bytes); /* may be NULL */
    void *progress_context;
    /* May be NULL: whether to stop, with VKFT_ERR_INTERRUPTED. Asked for every row, by several threads. */
    bool (*interrupted)(void *progress_context);
} vkft_dataset_options;

typedef struct vkft_dataset {
    vkft_sample *samples; /* their ids and labels lie in memory or tokens */
    uint32_t count;
    vkft_sample *choices; /* of all samples, in their order; not counted in what follows */
    uint32_t choice_count;
    uint64_t tokens;  /* sum of lengths */
    uint64_t trained; /* of them */
    uint32_t max_length;
    uint32_t truncated;      /* samples cut to max_seq_length */
    uint64_t dropped_tokens; /* cut off there */
    uint32_t made_call_ids;  /* conversations whose tool calls have no ids, which the template needs: they got some */
    vkft_data_format format;
    vkft_bad_rows bad; /* that are no samples */
    char unused[240];  /* the first row's keys that nobody uses: a list for people, "" for none */
    bool from_cache;
    int32_t *memory;
    vkft_mapping file;
} vkft_dataset;

#endif
